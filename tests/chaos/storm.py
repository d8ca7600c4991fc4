"""What every scenario shares: a stack of its own to break, and one judge at the end.

The judge's question: does every message add up, and was any sent twice? The simulator's ledger is the
truth; what we say is held against it.
"""

import asyncio
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from redis import Redis

from campaigns.domain.states import SETTLED
from tests import law_trigger
from tests.acceptance.processes import Process, Stack, ledger_counts, post_fault
from tests.waiting import wait_until
from worker.stack.embedded.servers import ServerUrls, servers

RECIPIENTS = int(os.environ.get("CHAOS_RECIPIENTS", "5000"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))

# Reached the provider, whatever came of it; `unknown` is what doubt becomes at the deadline.
_TAKEN = {"accepted", "sent", "buffered", "expired", "undelivered", "delivered", "read"}


@dataclass
class Judgement:
    """What a scenario found; asserted by `Storm.judge`, printed for docs/chaos.md."""

    recipient_count: int
    lost: list[str] = field(default_factory=list)  # neither settled nor in doubt, or not known to us
    twice: list[str] = field(default_factory=list)  # in the ledger more than once
    in_doubt_count: int = 0
    totals: Mapping[str, int] = field(default_factory=dict)


class Storm(Stack):
    """A stack with servers of its own, workers by number, and ways to break them."""

    def __init__(self, directory: Path, urls: ServerUrls, settings: Mapping[str, str]) -> None:
        super().__init__(directory, settings)
        self.urls = urls
        self.random = random.Random(SEED)
        self.url = ""
        self.rows: list[dict[str, str]] = []
        self.of_account: dict[str, str] = {}  # said of an account, once there is one
        self.failing: dict[str, dict[str, str]] = {}  # by worker: what its `failing_worker` is told
        self._postmaster = directory / "servers" / "postgres" / "postmaster.pid"
        self.former_ledger: Counter[str] = Counter()  # of simulators that are no more

    # --- setting out -----------------------------------------------------------------------------

    def begin(
        self,
        *,
        workers: int = 2,
        beats: int = 1,
        simulator: tuple[str, ...] = (),
        provider: str = "lightsms",
    ) -> None:
        """Start the simulator, workers and beats."""
        self.url = self.simulator("--delivery-seconds", "1", *simulator, provider=provider)
        self.settings |= self.of_account
        for number in range(workers):
            self.worker(f"worker-{number}")
        for number in range(beats):
            self.beat(f"beat-{number}")

    def worker(self, name: str = "worker", *options: str) -> Process:
        """The production command; for a name in `failing` the same command through `failing_worker`."""
        if name not in self.failing:
            return super().worker(name, *options)
        told = {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), **self.failing[name]}
        return self.start(
            name,
            "/usr/bin/env",
            *(f"{variable}={value}" for variable, value in told.items()),
            *(sys.executable, "-m", "tests.chaos.failing_worker"),
            *("worker", "--hostname", f"{name}@%h", *options),
        )

    def stop_simulator(self) -> None:
        """End the provider. Its ledger is kept for the judge; its ids are forgotten, as those of a new one
        are others: let what was handed over be settled first.
        """
        self.former_ledger += ledger_counts(self.url)
        self.stop("simulator")

    def start_simulator_again(self, *options: str) -> None:
        """Start the provider again, on its old port."""
        log, port = self.log("simulator"), self.url.rpartition(":")[2]
        before = log.read_text().count("listening on")
        self.start("simulator", "campaigns", "simulator", "--port", port, "--delivery-seconds", "1", *options)
        wait_until(
            lambda: log.read_text().count("listening on") > before, "the simulator listens again", seconds=30
        )

    def fail_at(self, name: str, at: str, record: Path) -> None:
        """Have the worker `name`, from its next start on, fail at `point:fault:hits/passes`."""
        self.failing[name] = {
            "FAIL_AT": at,
            "FAIL_RECORD": str(record),
            "FAIL_SEED": str(SEED),
            "FAIL_POSTMASTER": str(self._postmaster),
        }

    def submit(
        self, count: int = RECIPIENTS, *more: str, first: int = 0, texts: int = 1, endings: int = 80
    ) -> str:
        """Submit `count` recipients with `texts` different texts. Gives the id. Numbers end in fewer than
        `endings`: up to 80 none has a special fate at the simulator, with 100 all fates are there.
        """
        rows = [
            {
                "phone": f"+3706{(first + n) // endings:05d}{(first + n) % endings:02d}",
                "name": f"N{n % texts}",
            }
            for n in range(count)
        ]
        self.rows += rows
        lines = "".join(f"{row['phone']},{row['name']}\n" for row in rows)
        return str(
            self.json(
                "submit",
                "-",
                "--account",
                "main",
                "--text",
                "Hi {name}",
                *more,
                stdin=f"phone,name\n{lines}".encode(),
            )["id"]
        )

    def fault(self, kind: str, endpoint: str = "send", **more: Any) -> None:
        """Ask the simulator to misbehave."""
        post_fault(self.url, {"endpoint": endpoint, "kind": kind, **more})

    def faults(self) -> list[dict[str, Any]]:
        """The simulator's faults in order, with their hits."""
        return list(self.of_simulator("/_faults")["faults"])

    def of_simulator(self, path: str, method: str = "GET") -> Any:
        """Ask the simulator itself."""
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    # --- breaking things -----------------------------------------------------------------------------------

    def signal_process(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process that stays ours."""
        self._processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """kill -9, and reap."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def stop_workers(self) -> list[int]:
        """SIGTERM to every worker, in turn. Gives their exit codes."""
        return [self.stop(name) for name in list(self._processes) if name.startswith("worker")]

    @contextmanager
    def supervised(self) -> Iterator[list[str]]:
        """Start workers and beats again when they end by themselves, as `campaigns up` does, for as long
        as the block lasts. Gives the names of those that did, one a time.
        """
        ended: list[str] = []
        over = threading.Event()

        def look_after() -> None:
            while not over.wait(0.2):
                for name, process in list(self._processes.items()):
                    if process.poll() is None or self._processes.get(name) is not process:
                        continue  # lives, or a scenario ended it
                    if not name.startswith(("worker", "beat")):
                        continue
                    assert isinstance(process.args, list)
                    self.start(name, *process.args)
                    ended.append(name)

        supervisor = threading.Thread(target=look_after, name="supervisor")
        supervisor.start()
        try:
            yield ended
        finally:
            over.set()
            supervisor.join()

    def start_missing_servers(self) -> None:
        """Start those of the storm's servers that are gone; they stay as long as the storm does."""
        with servers(self.directory / "servers"):
            return

    async def bury(self) -> None:
        """End the leases of workers that live no more, now instead of when their time is up. So do those
        that nobody took up, whose tasks may have died with a worker.
        """
        living = [str(process.pid) for process in self._processes.values() if process.poll() is None]
        await self.sql(
            "UPDATE batch SET leased_until = now() WHERE state = 'leased'"
            " AND (leased_by IS NULL OR split_part(leased_by, ':', 2) <> ALL($1::text[]))",
            living,
        )

    def redis(self) -> Redis:
        """A client of the storm's Redis."""
        return Redis.from_url(self.urls.redis_client_url)

    # --- looking ------------------------------------------------------------------------------------

    async def sql(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Ask the database."""
        connection = await asyncpg.connect(self.settings["DATABASE_URL"])
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    def has_ended(self, name: str) -> bool:
        """Whether a process of ours ended by itself."""
        return self._processes[name].poll() is not None

    def has_no_postgres(self) -> bool:
        """Whether the storm's PostgreSQL is gone."""
        return not self._postmaster.exists()

    def is_stopped(self, name: str) -> bool:
        """Whether a process of ours stands still (Linux)."""
        return "\nState:\tT" in Path(f"/proc/{self.pid(name)}/status").read_text()

    async def until(
        self,
        query: str,
        *arguments: Any,
        what: str,
        seconds: float = 60.0,
        meanwhile: Callable[[], Awaitable[object]] | None = None,
    ) -> list[asyncpg.Record]:
        """Ask the database again and again until there are rows, and give them, also while it comes and
        goes. AssertionError at the deadline. `meanwhile` is done at each look.
        """
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if rows := await self.sql(query, *arguments):
                    return rows
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
            if meanwhile is not None:
                await meanwhile()
            await asyncio.sleep(0.05)

    async def until_quiet(
        self, *, seconds: float = 120.0, meanwhile: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        """Wait until every message of every campaign is settled or in doubt, and no receipt is still to be
        merged: a late answer is kept as one, and what it says reopens what was in doubt.
        """
        await self.until(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM message"
            " WHERE state IN ('queued', 'sending', 'accepted', 'sent', 'buffered'))"
            " AND NOT EXISTS (SELECT 1 FROM batch WHERE state = 'leased')"
            " AND NOT EXISTS (SELECT 1 FROM waiting_receipt WHERE look_count = 0 AND set_aside_at IS NULL)",
            what="every message is settled or in doubt, every receipt merged",
            seconds=seconds,
            meanwhile=meanwhile,
        )

    def accepted_count(self) -> int:
        """How many messages the provider has accepted."""
        return sum(ledger_counts(self.url).values())

    def totals(self, campaign_id: str) -> dict[str, int]:
        """The campaign's totals now."""
        return dict(self.json("status", campaign_id)["totals"])

    def logs_hold(self, words: str) -> int:
        """How often some worker's log holds these words."""
        return sum(path.read_text().count(words) for path in self.directory.glob("worker*.log"))

    def quiet(self, campaign_id: str, *, seconds: float = 120.0) -> dict[str, int]:
        """Wait until every message is settled or in doubt, and give the totals."""

        def look() -> dict[str, int] | None:
            totals = self.totals(campaign_id)
            open_count = sum(
                n for state, n in totals.items() if state not in SETTLED and state not in {"in_doubt"}
            )
            return totals if open_count == 0 else None

        return wait_until(look, "every message is settled or in doubt", seconds=seconds, every=0.5)

    # --- judging ------------------------------------------------------------------------------------

    async def _seen(self, campaign_ids: Collection[str]) -> tuple[Counter[str], dict[str, dict[str, str]]]:
        """The ledger and our export, of one moment: a worker that woke late may have something sent again."""
        deadline = time.monotonic() + 60
        while True:
            ledger = ledger_counts(self.url) + self.former_ledger
            lines = {line["phone"][1:]: line for each in campaign_ids for line in self.export(each)}
            if ledger_counts(self.url) + self.former_ledger == ledger:
                return ledger, lines
            assert time.monotonic() < deadline, "the provider still gets messages"
            await self.until_quiet()

    async def judge(self, *campaign_ids: str, again: Collection[str] = ()) -> Judgement:
        """The one question. Call it when the campaigns are quiet. `again`: numbers (digits without +) that
        somebody wanted sent again, and that may be in the ledger more than once.
        """
        ledger, lines = await self._seen(campaign_ids)
        totals: Counter[str] = Counter()
        for each in campaign_ids:
            totals.update(self.totals(each))
        found = Judgement(len(self.rows), totals=dict(totals))
        found.twice = [phone for phone, count in ledger.items() if count > 1 and phone not in again]
        doubtful = {
            phone
            for phone, line in lines.items()
            if line["state"] == "in_doubt" or (line["state"] == "unknown" and not line["provider_message_id"])
        }
        found.in_doubt_count = len(doubtful)
        taken = {phone for phone, line in lines.items() if line["provider_message_id"]}
        submitted = {row["phone"][1:] for row in self.rows}
        found.lost = sorted(
            (submitted - set(lines))  # forgotten
            | (set(ledger) - taken - doubtful)  # the provider has it, and we do not know
            | (taken - set(ledger))  # we say so, and the provider does not
            | {p for p, line in lines.items() if line["state"] not in SETTLED | {"in_doubt"}}
        )
        rows = await self.sql("SELECT m.state::text AS state, count(*) AS n FROM message m GROUP BY 1")
        recounted = {row["state"]: row["n"] for row in rows}
        refused_count = await law_trigger.refused_count(self.urls.database_url)
        print(  # noqa: T201  `pytest -s` and docs/chaos.md want it
            json.dumps(
                {
                    "recipients": found.recipient_count,
                    "lost": len(found.lost),
                    "twice": len(found.twice),
                    "in_doubt": found.in_doubt_count,
                }
            )
        )
        assert not refused_count, f"{refused_count} change(s) that domain/states.py does not allow"
        assert found.twice == [], f"{len(found.twice)} sent twice"
        how = Counter((lines.get(phone, {}).get("state"), phone in ledger) for phone in found.lost)
        assert found.lost == [], f"{len(found.lost)} lost, by state and whether the provider has it: {how}"
        assert {state: n for state, n in totals.items() if n} == recounted, "tallies differ from a recount"
        assert sum(totals.values()) == found.recipient_count
        return found


@contextmanager
def storm(folder: Path, **settings: str) -> Iterator[Storm]:
    """A storm with servers of its own, which it may break; everything ends with the block."""
    with servers(folder / "servers") as urls:
        raging = Storm(
            folder,
            urls,
            {
                "DATABASE_URL": urls.database_url,
                "REDIS_URL": urls.redis_url,
                "DATA_DIR": str(folder / "servers"),
                "LEASE_SECONDS": "13",
                "POLL__FIRST_SECONDS": "1",
                "POLL__MAX_SECONDS": "3",
                "POLL__GIVE_UP_SECONDS": "600",
                "RETRY__FIRST_SECONDS": "0.5",
                "RETRY__MAX_SECONDS": "3",
                "LOG_FORMAT": "json",
                **{name: value for name, value in settings.items() if not name.startswith("ACCOUNTS__")},
            },
        )
        raging.of_account = {"ACCOUNTS__MAIN__TIMEOUT_SECONDS": "3"} | {
            name: value for name, value in settings.items() if name.startswith("ACCOUNTS__")
        }
        raging.run("migrate")
        law_trigger.apart(law_trigger.put_on(urls.database_url))
        try:
            yield raging
        finally:
            for process in raging._processes.values():
                process.send_signal(signal.SIGCONT)  # a stopped process cannot end
            raging.end()
