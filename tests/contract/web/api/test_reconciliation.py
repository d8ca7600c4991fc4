"""A provider's own month beside ours, over the API."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from campaigns.domain.errors import NotOffered, ProviderRefused
from campaigns.domain.provider import Accepted, DayStatistics, InDoubt
from tests.conftest import MakeDesk
from tests.contract.web.api.conftest import Api, is_problem
from tests.integration.sent_and_polled import send_all
from tests.river import flow, phones, submit
from tests.stub import Stub

PATH = "/v1/accounts/main/reconciliation"


async def test_a_month_beside_the_providers(
    api: Api, make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted one part more than we know: that of the message in doubt."""
    rows = phones(4)
    outcomes = {row["phone"]: [Accepted(row["phone"], Decimal("0.10"), 1)] for row in rows[:3]}
    desk = make_desk(Stub("main", outcomes=outcomes | {rows[3]["phone"]: [InDoubt("cut")]}))
    taken = await submit(api.database, rows[:3], owner="shop", currency="EUR")
    await flow(api.database, desk, taken.id)
    await submit(api.database, rows[3:], owner="clinic", currency="EUR")
    await send_all(api.database, desk)
    today = datetime.now(UTC).date().isoformat()
    asked = []

    async def statistics(month: str) -> list[DayStatistics]:
        asked.append(month)
        return [
            DayStatistics(today, "deliver", Decimal("0.400"), 4),
            DayStatistics(today, "expired", Decimal(0), 0),
        ]

    monkeypatch.setattr(api.web.stub, "statistics", statistics)
    everybody = await api.with_key(is_for_all_owners=True)

    said = await everybody.get(PATH)

    assert said.status == 200, said.text
    (day,) = said.json["days"]
    assert day == {
        "day": today,
        "ours": {
            "segment_count": 3,
            "cost": "0.30",
            "message_count": 3,
            "unpriced_count": 0,
            "open_segment_count": 0,
            "unsure_segment_count": 1,
        },
        "theirs": {"segment_count": 4, "cost": "0.40"},
        "segment_difference": 1,
        "cost_difference": "0.10",
        "agrees": False,
        "explanations": [
            {
                "why": "unsure",
                "count": 1,
                "sentence": "1 parts are in doubt or unknown: 1 of them were probably sent",
            }
        ],
    }
    assert (said.json["currency"], said.json["agrees"], said.json["trouble"]) == ("EUR", False, None)
    await everybody.get(PATH, month=today[:7])
    assert asked == [today[:7]]  # once within a minute
    assert (await everybody.get(PATH, month="2020-01")).json["days"][0]["ours"]["segment_count"] == 0


async def test_a_provider_without_a_month_says_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that cannot be asked now is a problem, as is a key that sees a part of the account."""
    sentence = "The stub does not tell statistics."

    async def none(_month: str) -> list[DayStatistics]:
        raise NotOffered(sentence)

    async def away(_month: str) -> list[DayStatistics]:
        raise ProviderRefused("login 12345 is wrong")

    everybody = await api.with_key(is_for_all_owners=True)
    monkeypatch.setattr(api.web.stub, "statistics", none)
    said = (await everybody.get(PATH)).json
    assert (said["trouble"], said["days"], said["agrees"]) == (sentence, [], False)
    monkeypatch.setattr(api.web.stub, "statistics", away)
    refused = await everybody.get(PATH, month="2026-01")
    assert is_problem(refused, 502, "provider-refused")
    assert "12345" not in refused.text
    assert is_problem(await api.get(PATH), 403, "missing-scope")
    limited = await api.with_key(accounts=["silent"], is_for_all_owners=True)
    assert is_problem(await limited.get(PATH), 404, "not-found")
