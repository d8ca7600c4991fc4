"""seven.io's journal as it answers questions."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from campaigns.domain.provider import Doubtful
from tests.contract.providers.wire_server import Seen

CAMPAIGN = "0123456789abcdef0123456789abcdef"
BATCH = f"{CAMPAIGN}-7"
ID = "77229135982"
MOMENT = datetime(2024, 2, 13, 22, 30, tzinfo=UTC)


def row(message_id: str, phone: str, foreign_id: str | None, **more: object) -> dict[str, object]:
    """One row as the documents show it."""
    return {
        "id": message_id,
        "to": phone.removeprefix("+"),
        "from": "sender",
        "text": "Hello World",
        "timestamp": "2024-02-13 23:31:00.500",
        "price": "0.0750",
        "dlr": "DELIVERED",
        "dlr_timestamp": "2024-02-13 23:31:07.102",
        "mccmnc": "26207",
        "latency": "14.3830",
        "type": "direct",
        "channel": "SMS",
        "connection": "http",
        "label": None,
        "foreign_id": foreign_id,
        **more,
    }


@dataclass
class Journal:
    """A server's journal: filters by number and id, gives a page of at most a hundred."""

    rows: list[dict[str, object]] = field(default_factory=list)
    questions: list[dict[str, str]] = field(default_factory=list)
    heeds_number: bool = True
    moment: float = 0.0  # by a clock that only its questions move
    takes_seconds: float = 0.0

    def __call__(self, seen: Seen) -> bytes:
        asked = seen.query
        self.moment += self.takes_seconds
        self.questions.append(asked)
        rows: Iterable[dict[str, object]] = self.rows
        if "to" in asked and self.heeds_number:
            rows = [each for each in rows if each["to"] == asked["to"]]
        if "id" in asked:
            rows = [each for each in rows if each["id"] == asked["id"]]
        first, limit = int(asked["offset"]), int(asked["limit"])
        assert 1 <= limit <= 100
        return json.dumps([*rows][first : first + limit]).encode()


def phone(at: int) -> str:
    return f"+370612{at:05}"


def doubtful(at: int, ref: str | None = None, **more: Any) -> Doubtful:
    after, before = MOMENT - timedelta(minutes=1), MOMENT
    return Doubtful(ref or f"{BATCH}-{at}", more.get("phone", phone(at)), after, before)
