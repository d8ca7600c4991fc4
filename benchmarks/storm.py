"""Ours and the usual Celery code under the same storm: who got no text, who got two?

    python -m benchmarks.storm --recipients 20000 --seed 1

The same recipients, the same simulator with the same seeded faults, the same Redis and PostgreSQL, two
workers; kill -9, FLUSHALL and broker restarts at the same moments. The judge is the simulator's ledger.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
from redis.exceptions import RedisError

from tests.acceptance.processes import ledger_counts
from tests.chaos.storm import Storm, storm
from tests.folders import passable_folder
from tests.waiting import wait_until
from worker.settings.addresses import broker_url
from worker.stack.embedded.servers import servers

_FAULTS: tuple[dict[str, object], ...] = (
    {"kind": "cut_after", "probability": 0.05},
    {"kind": "nonsense", "probability": 0.03},
    {"kind": "status", "code": 503, "probability": 0.1},
    {"kind": "status", "code": 429, "retry_after": 1, "probability": 0.05},
)
_BLOWS = 16
_WEIGHTS = [6, 2, 1]  # of kill -9, FLUSHALL and a broker restart
_BLOW_SECONDS = (0.5, 1.5)
_LULL_SECONDS = 25.0  # nothing new was accepted for so long: nothing more will come


def _blows(raging: Storm, seed: int, start_worker: Callable[[str], None]) -> Counter[str]:
    """Strike at seeded moments; what dies is started again, as a supervisor does."""
    wait_until(raging.accepted_count, "the provider accepted something", seconds=60)
    chance = random.Random(seed)
    struck: Counter[str] = Counter()
    for number in range(_BLOWS):
        time.sleep(chance.uniform(*_BLOW_SECONDS))
        blow = chance.choices(["kill -9", "FLUSHALL", "restart"], _WEIGHTS)[0]
        struck[blow] += 1
        if blow == "kill -9":
            raging.kill(f"worker-{number % 2}")
        elif blow == "FLUSHALL":
            with suppress(RedisError):
                raging.redis().flushall()
        else:
            with suppress(RedisError):
                raging.redis().shutdown(nosave=True)
            with servers(raging.directory / "servers"):
                pass  # `stay` starts what is missing
        for name in ("worker-0", "worker-1"):
            process = raging._processes.get(name)
            if process is None or process.poll() is not None:
                start_worker(name)
    return struck


def _until_lull(raging: Storm) -> None:
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < _LULL_SECONDS:
        accepted = sum(ledger_counts(raging.url).values())
        if accepted != seen:
            seen, since = accepted, time.monotonic()
        if len(ledger_counts(raging.url)) >= len(raging.rows) and time.monotonic() - since > 5:
            return
        time.sleep(0.5)


def _prepare(raging: Storm, recipients: int) -> None:
    raging.url = raging.simulator("--delivery-seconds", "0", "--latency-seconds", "1", "--seed", "7")
    raging.settings |= raging.of_account | {"ACCOUNTS__MAIN__REQUESTS_PER_SECOND": "8"}
    for fault in _FAULTS:
        raging.fault(**fault)
    raging.rows = [{"phone": f"+3706{n // 80:05d}{n % 80:02d}"} for n in range(recipients)]


async def _ours(raging: Storm, recipients: int, seed: int) -> dict[str, object]:
    _prepare(raging, recipients)
    for name in ("worker-0", "worker-1"):
        raging.worker(name)
    raging.beat()
    rows = "".join(f"{row['phone']}\n" for row in raging.rows)
    campaign_id = raging.json(
        "submit", "-", "--account", "main", "--text", "Hello", stdin=f"phone\n{rows}".encode()
    )["id"]
    struck = _blows(raging, seed, lambda name: _again(raging, lambda: raging.worker(name)))
    raging.quiet(campaign_id, seconds=300)
    found = await raging.judge(campaign_id)
    ledger = ledger_counts(raging.url)
    forgotten = len(raging.rows) - len(set(ledger)) - _known_doubt(raging, campaign_id, set(ledger))
    return _row("ours", recipients, ledger, forgotten, found.in_doubt_count, struck)


def _known_doubt(raging: Storm, campaign_id: str, ledger: set[str]) -> int:
    """Not accepted, and shown as in doubt: not lost."""
    return sum(
        line["state"] == "in_doubt" and line["phone"][1:] not in ledger for line in raging.export(campaign_id)
    )


def _again(raging: Storm, start: Callable[[], object]) -> None:
    raging._processes = {n: p for n, p in raging._processes.items() if p.poll() is None}
    start()


async def _naive(raging: Storm, recipients: int, seed: int) -> dict[str, object]:
    _prepare(raging, recipients)
    os.environ |= {
        "NAIVE_BROKER_URL": broker_url(raging.urls.redis_url),
        "NAIVE_DATABASE_URL": raging.urls.database_url,
        "NAIVE_BASE_URL": raging.url,
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }

    def worker(name: str) -> None:
        raging.start(name, "celery", "-A", "benchmarks.naive", "worker", "--pool", "prefork", "-c", "4",
                     "--hostname", f"{name}@%h", "--without-gossip", "--without-mingle")  # fmt: skip

    connection = await asyncpg.connect(raging.urls.database_url)
    await connection.execute("CREATE TABLE naive (phone text PRIMARY KEY, provider_message_id text)")
    phones = [row["phone"][1:] for row in raging.rows]
    await connection.copy_records_to_table("naive", records=[(phone, None) for phone in phones])
    for name in ("worker-0", "worker-1"):
        worker(name)
    from benchmarks.naive import send_batch

    for number, start in enumerate(range(0, len(phones), 100)):
        send_batch.delay(number, phones[start : start + 100])
    struck = _blows(raging, seed, lambda name: _again(raging, lambda: worker(name)))
    _until_lull(raging)
    await connection.close()
    ledger = ledger_counts(raging.url)
    return _row("the usual code", recipients, ledger, len(phones) - len(set(ledger)), 0, struck)


def _row(
    name: str, recipients: int, ledger: Counter[str], forgotten: int, doubt: int, struck: Counter[str]
) -> dict[str, object]:
    return {
        "code": name,
        "recipients": recipients,
        "lost": forgotten,
        "twice": sum(count > 1 for count in ledger.values()),
        "in doubt": doubt,
        "blows": ", ".join(f"{count} x {blow}" for blow, count in sorted(struck.items())),
    }


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipients", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calm", action="store_true", help="no blows and no faults: does each work at all?")
    parser.add_argument("--keep-broker", action="store_true", help="kill -9 alone: Redis forgets nothing")
    wanted = parser.parse_args()
    if wanted.keep_broker:
        _WEIGHTS[1:] = [0, 0]
    if wanted.calm:
        global _BLOWS, _FAULTS
        _BLOWS, _FAULTS = 0, ()
    rows = []
    for run in (_naive, _ours):
        with (
            passable_folder("campaigns-storm-") as folder,
            storm(folder) as raging,
            asyncio.Runner() as runner,
        ):
            rows.append(runner.run(run(raging, wanted.recipients, wanted.seed)))
            print(rows[-1], file=sys.stderr)
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row[column]) for column in columns) + " |")


if __name__ == "__main__":
    main()
