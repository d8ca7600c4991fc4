"""How many callbacks a second are taken: ours, which stores before it answers, and a handler that does not.

    python -m benchmarks.callbacks --per-second 2000 --seconds 30

One client process on this machine offers them at a steady rate, whether or not earlier ones were answered;
each is about a message of its own. Afterwards every one that was answered 200 must be in the database.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import quantiles

import aiohttp
import asyncpg
from aiohttp import web

from tests.acceptance.processes import Stack
from tests.folders import passable_folder
from tests.waiting import wait_until
from worker.stack.embedded.servers import servers

_CONNECTIONS = 200


async def offer(url: str, per_second: int, seconds: int) -> tuple[int, int, list[float], float]:
    """Offer callbacks at a steady rate. Gives how many were made, how many answered 200, the seconds each
    took from the moment it was due, and how long all of it lasted.
    """
    taken: list[float] = []
    made = per_second * seconds
    begin = time.perf_counter()
    numbers = iter(range(made))

    async def one_connection(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            due = begin + number / per_second
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            async with session.get(f"{url}?msg_id={77_000_000_000 + number}&status=DELIVERED") as answer:
                await answer.read()
                if answer.status == 200:
                    taken.append(time.perf_counter() - due)

    connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(one_connection(session) for _ in range(_CONNECTIONS)))
    return made, len(taken), taken, time.perf_counter() - begin


def _row(name: str, found: tuple[int, int, list[float], float], stored: int | None) -> dict[str, object]:
    made, answered, taken, lasted = found
    cuts = quantiles(taken, n=100)
    return {
        "": name,
        "offered": made,
        "answered 200": answered,
        "stored": "" if stored is None else stored,
        "per second": round(answered / lasted),
        "p50 ms": round(cuts[49] * 1000, 1),
        "p99 ms": round(cuts[98] * 1000, 1),
    }


async def _ours(folder: Path, wanted: argparse.Namespace) -> dict[str, object]:
    with servers(folder / "servers") as urls:
        stack = Stack(
            folder,
            {
                "DATABASE_URL": urls.database_url,
                "REDIS_URL": urls.redis_url,
                "PUBLIC_URL": "http://127.0.0.1:1",
                "CALLBACK_SECRET": "a-secret-for-benchmarks",
                "ACCOUNTS__MAIN__PROVIDER": "seven",
                "ACCOUNTS__MAIN__API_KEY": "none",
            },
        )
        try:
            stack.run("migrate")
            stack.start("web", "campaigns", "web", "--port", "0")
            log = stack.log("web")
            wait_until(lambda: "listening on" in log.read_text(), "the web listens", seconds=60)
            address = log.read_text().split("listening on ")[1].split()[0].rstrip('",}')
            path = stack.run("account", "main", "callback-url").stdout.decode().strip().partition(":1/")[2]
            found = await offer(f"{address}/{path}", wanted.per_second, wanted.seconds)
            connection = await asyncpg.connect(urls.database_url)
            stored = await connection.fetchval(
                "SELECT count(DISTINCT provider_message_id) FROM waiting_receipt"
            )
            await connection.close()
        finally:
            stack.end()
    assert stored >= found[1], f"{found[1] - stored} were answered 200 and are not stored"
    return _row("ours", found, stored)


async def _bare(wanted: argparse.Namespace) -> dict[str, object]:
    server = subprocess.Popen(  # noqa: ASYNC220  before anything is measured
        [sys.executable, "-m", "benchmarks.callbacks", "--serve-bare"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().decode().strip()
        found = await offer(f"{address}/callbacks/main/token", wanted.per_second, wanted.seconds)
    finally:
        server.terminate()
        server.wait()
    return _row("a handler that stores nothing", found, None)


async def _serve_bare() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.router.add_get("/callbacks/{account}/{token}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Run both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-second", type=int, default=2_000)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--serve-bare", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    with asyncio.Runner() as runner:
        if wanted.serve_bare:
            runner.run(_serve_bare())
            return
        rows = [runner.run(_bare(wanted))]
        with passable_folder("campaigns-bench-") as folder:
            rows.append(runner.run(_ours(folder, wanted)))
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(str(row[column]) for column in columns) + " |")


if __name__ == "__main__":
    main()
