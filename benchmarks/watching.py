"""What clients cost that watch a campaign by server-sent events: `campaigns web`, and a campaign that changes
once a second.

    python -m benchmarks.watching --clients 500 --seconds 30

One client process on this machine. A client is late by the time from the change's commit to its event: half a
second on average, for a campaign is looked at once a second.
"""

import argparse
import asyncio
import re
import time
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles

import aiohttp
import asyncpg

from benchmarks import usage
from tests.acceptance.processes import Stack
from tests.folders import passable_folder
from tests.waiting import until, wait_until
from worker.stack.embedded.servers import servers
from worker.web.streams import MOST_STREAMS_OF_A_KEY

_CHANGE = "UPDATE campaign SET name = $1"
_NAME = re.compile(rb'"name": "change (\d+)"')


async def _listen(session: aiohttp.ClientSession, url: str, key: str, heard: list[tuple[int, float]]) -> None:
    async with session.get(url, headers={"Authorization": f"Bearer {key}"}) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if found := _NAME.search(line):
                heard.append((int(found[1]), time.perf_counter()))


async def _measure(
    stack: Stack, url: str, database_url: str, wanted: argparse.Namespace
) -> dict[str, object]:
    submitted = stack.json(
        "submit", "-", "--account", "main", "--text", "Hi", "--region", "LT", stdin=b"phone\n+37060000001\n"
    )
    keys = [
        stack.json("key", "create", "--owner", "bench", "--all", "--scope", "read")["key"]
        for _ in range(-(-wanted.clients // MOST_STREAMS_OF_A_KEY))
    ]
    web = (stack.pid("web"),)
    idle_bytes = usage.resident_bytes(web)
    connection = await asyncpg.connect(database_url)
    changed_at: list[float] = []
    heard: list[tuple[int, float]] = []
    path = f"{url}/v1/campaigns/{submitted['id']}/events"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        listening = [
            asyncio.create_task(_listen(session, path, keys[number % len(keys)], heard))
            for number in range(wanted.clients)
        ]
        await connection.execute(_CHANGE, "change 0")

        async def all_are_there() -> bool:
            return len(heard) >= wanted.clients

        await until(all_are_there, "each has connected", seconds=60)
        heard.clear()
        used, began_at = usage.cpu_seconds(web), time.perf_counter()
        for number in range(wanted.seconds):
            await connection.execute(_CHANGE, f"change {number + 1}")
            changed_at.append(time.perf_counter())
            await asyncio.sleep(1)
        used, lasted = usage.cpu_seconds(web) - used, time.perf_counter() - began_at
        for each in listening:
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each
    await connection.close()
    late = [at - changed_at[number - 1] for number, at in heard if number]
    return {
        "clients": wanted.clients,
        "events": len(heard),
        "µs of processor an event": round(used / len(heard) * 1e6),
        "of one core": f"{used / lasted:.1%}",
        "memory above idle, MB": round((usage.peak_bytes(web) - idle_bytes) / 1e6),
        "late p50 ms": round(median(late) * 1000),
        "late p99 ms": round(quantiles(late, n=100)[98] * 1000),
    }


async def _run(folder: Path, wanted: argparse.Namespace) -> dict[str, object]:
    with servers(folder / "servers") as urls:
        stack = Stack(
            folder,
            {
                "DATABASE_URL": urls.database_url,
                "REDIS_URL": urls.redis_url,
                "ACCOUNTS__MAIN__PROVIDER": "seven",
                "ACCOUNTS__MAIN__API_KEY": "none",
                "ACCOUNTS__MAIN__SENDER_ID": "Demo",
            },
        )
        try:
            stack.run("migrate")
            stack.start("web", "campaigns", "web", "--port", "0", "--serve", "api")
            log = stack.log("web")
            wait_until(lambda: "listening on" in log.read_text(), "the web listens", seconds=60)
            address = log.read_text().split("listening on ")[1].split()[0].rstrip('",}')
            return await _measure(stack, address, urls.database_url, wanted)
        finally:
            stack.end()


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=int, default=30)
    wanted = parser.parse_args()
    with asyncio.Runner() as runner, passable_folder("campaigns-bench-") as folder:
        row = runner.run(_run(folder, wanted))
    print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
    print("| " + " | ".join(str(value) for value in row.values()) + " |")


if __name__ == "__main__":
    main()
