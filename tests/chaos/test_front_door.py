"""kill -9 at the front door: the web in the middle of uploads, workers in the middle of deliveries."""

import json
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@contextmanager
def _receiver() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An address that takes a moment to answer, and what came there: ids of events, and bodies."""
    heard: list[tuple[str, str]] = []
    moment = threading.Event()  # set by nobody: a receiver that works for a moment

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            heard.append((self.headers["webhook-id"], body))
            moment.wait(0.05)
            try:
                self.send_response(204)
                self.end_headers()
            except OSError:
                self.close_connection = True  # it was killed while it waited

        def log_message(self, *_: object) -> None:
            """Not to standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, name="receiver")
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


async def test_30_workers_killed_in_the_middle_of_deliveries(folder: Path) -> None:
    """Each event comes at least once, those of a campaign in order; what comes twice is the same."""
    with _receiver() as (address, heard), storm(folder, ACCOUNTS__MAIN__REQUESTS_PER_SECOND="20") as raging:
        raging.settings |= {"WEBHOOK_ALLOW": "127.0.0.0/8", "ALLOW_PLAIN_HTTP": "yes"}
        events = ("campaign.accepted", "campaign.started", "message.settled", "campaign.finished")
        options = [option for each in events for option in ("--event", each)]
        raging.json("webhook", "create", address, *options)
        raging.begin(workers=2, simulator=("--latency-seconds", "0.05"))
        ids = [raging.submit(RECIPIENTS // 2, first=n * RECIPIENTS // 2) for n in range(2)]

        def came(before: int) -> bool:
            return len(heard) > before

        kills = 0
        for number in range(_KILLS):
            wait_until(
                partial(came, len(heard)),
                "something is delivered between two kills",
                seconds=90,
                every=raging.random.uniform(0.01, 0.06),
            )
            raging.kill(f"worker-{number % 2}")
            raging.worker(f"worker-{number % 2}")
            kills += 1
        await raging.until_quiet(meanwhile=raging.bury)
        await raging.until(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM webhook_delivery WHERE state = 'waiting')"
            " AND NOT EXISTS (SELECT FROM webhook_event WHERE handed_out_at IS NULL)",
            what="every event is delivered",
            seconds=180,
        )
        written = await raging.sql(
            "SELECT event_id::text AS id, campaign_id, type, data->>'batch_id' AS batch FROM webhook_event e"
            " ORDER BY e.id"
        )
        bodies: dict[str, set[str]] = defaultdict(set)
        for event_id, body in heard:
            bodies[event_id].add(body)
        assert set(bodies) == {row["id"] for row in written}, "an event was lost, or made up"
        assert {len(each) for each in bodies.values()} == {1}, "another body under the same id"
        first = list(dict.fromkeys(event_id for event_id, _ in heard))
        for campaign_id in {row["campaign_id"] for row in written}:
            own = {row["id"]: row for row in written if row["campaign_id"] == campaign_id}
            came_as = [own[each] for each in first if each in own]
            kinds = list(dict.fromkeys(row["type"] for row in came_as))
            assert kinds == [*events], "not in order"
            assert came_as[-1]["type"] == "campaign.finished", "something came after its end"
            for batch in {row["batch"] for row in came_as}:  # two batches may be settled at the same moment
                of_batch = [row["id"] for row in written if row["batch"] == batch and row["id"] in own]
                came = [row["id"] for row in came_as if row["batch"] == batch]
                assert came == of_batch, "not in order"
        await raging.judge(*ids)
        assert kills == _KILLS
        print(  # noqa: T201  for docs/chaos.md
            json.dumps({"scenario": "30", "kills": kills, "events": len(written), "came": len(heard)})
        )
