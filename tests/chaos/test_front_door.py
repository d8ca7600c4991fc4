"""kill -9 at the front door: the web in the middle of uploads."""

import json
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.chaos.storm import RECIPIENTS, Storm, storm
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

_KILLS = max(2, RECIPIENTS // 500)
_WHOLE = (
    "SELECT c.owner_key, c.recipient_count,"
    " (SELECT sum(message_count) FROM batch WHERE campaign_id = c.id) AS in_batches,"
    " (SELECT count(*) FROM message m JOIN batch b ON b.id = m.batch_id WHERE b.campaign_id = c.id) AS stored"
    " FROM campaign c ORDER BY c.owner_key"
)


def _web(raging: Storm) -> str:
    """Start the web, on any free port."""
    log = raging.log("web")
    before = log.read_text().count("listening on") if log.exists() else 0
    raging.start("web", "campaigns", "web", "--port", "0", "--serve", "api")
    wait_until(lambda: log.read_text().count("listening on") > before, "the web listens", seconds=60)
    return re.findall(r"listening on (http://[0-9.]+:\d+)", log.read_text())[-1]


class _Upload:
    """One submission of a CSV, a piece at a time."""

    def __init__(self, url: str, key: str, submission_key: str, rows: list[str]) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port or 80), timeout=60)
        self._pieces = [f"{row}\n".encode() for row in ["phone", *rows]]
        self._socket.sendall(
            f"POST /v1/campaigns?account=main&text=Hello&name={submission_key} HTTP/1.1\r\n"
            f"Host: localhost\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: {submission_key}\r\n"
            "Content-Type: text/csv\r\n"
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
        )

    def send(self, share: float) -> None:
        """Send this share of the rows, and no end."""
        count = int(len(self._pieces) * share)
        body = b"".join(self._pieces[:count])
        self._pieces = self._pieces[count:]
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(body), body))

    def finish(self) -> None:
        """Send the rest, and the end."""
        if self._pieces:
            self.send(1.0)
        self._socket.sendall(b"0\r\n\r\n")

    def status(self, seconds: float = 60.0) -> int | None:
        """Of the answer; None where none came within that time."""
        self._socket.settimeout(seconds)
        try:
            head = self._socket.recv(65_536)
        except (TimeoutError, ConnectionError):
            return None
        return int(head.split()[1]) if head else None

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@pytest.mark.short
async def test_29_the_web_killed_in_the_middle_of_uploads(folder: Path) -> None:
    """Every second time when all was sent, somewhere between the last byte and the answer. Nothing half is
    there; the same key makes it whole, once.
    """
    with storm(folder) as raging:
        raging.settings |= {
            "ACCOUNTS__MAIN__PROVIDER": "seven",
            "ACCOUNTS__MAIN__API_KEY": "none",
            "ACCOUNTS__MAIN__SENDER_ID": "Demo",
            "ACCOUNTS__MAIN__TIMEOUT_SECONDS": "3",
        }
        key = raging.json("key", "create", "--owner", "shop", "--scope", "submit")["key"]
        rows = [f"+3706{n // 80:05d}{n % 80:02d}" for n in range(RECIPIENTS)]
        url = _web(raging)
        stored_before = 0
        for number in range(_KILLS):
            name = f"order-{number:03}"
            upload = _Upload(url, key, name, rows)
            upload.send(raging.random.uniform(0.2, 0.9))
            if number % 2:
                upload.finish()
                upload.status(raging.random.uniform(0.0, 0.4))
            raging.kill("web")
            upload.close()
            # PostgreSQL learns of it when it next looks at the connection.
            await raging.until(
                "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend')",
                what="the sessions of the killed web end",
            )
            found = [dict(row) for row in await raging.sql(_WHOLE)]
            assert {tuple(each.values())[1:] for each in found} <= {(RECIPIENTS,) * 3}, "half a campaign"
            was_stored = name in {each["owner_key"] for each in found}
            assert number % 2 or not was_stored, "it was stored before it had come whole"
            stored_before += was_stored

            url = _web(raging)
            again = _Upload(url, key, name, rows)
            again.finish()
            assert again.status() == (200 if was_stored else 201)
            again.close()
        found = [dict(row) for row in await raging.sql(_WHOLE)]
        assert [tuple(each.values()) for each in found] == [
            (f"order-{n:03}", *(RECIPIENTS,) * 3) for n in range(_KILLS)
        ]
        print(json.dumps({"scenario": "29", "kills": _KILLS, "stored_before": stored_before}))  # noqa: T201
