"""Callbacks a second, as many as can be: `campaigns web`, which stores before it answers, against a bare
aiohttp handler that does not.

One client process on this machine keeps some connections busy, each with one callback at a time, with
bytes made beforehand: the client must not be what is measured. Afterwards each callback that was answered
200 must be in the database. (`benchmarks.callbacks` asks another question: how long an answer takes at a
given rate.)
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from aiohttp import web

from benchmarks.calls import report
from benchmarks.ground import Ground, Refused, say, wait_for_log
from benchmarks.rivals import BIN, OURS, Session, session
from benchmarks.table import Row, Spread, at_least, number

_CONNECTIONS = 100
_FIRST_ID = 77_000_000_000
_LISTENING = re.compile(r"listening on (http://[0-9.]+:\d+)")
_COUNT = "SELECT count(DISTINCT provider_message_id) FROM waiting_receipt"
_SETTINGS = {
    "PUBLIC_URL": "http://127.0.0.1:1",
    "CALLBACK_SECRET": "a-secret-for-benchmarks",
    "ACCOUNTS__CALLED__PROVIDER": "seven",
    "ACCOUNTS__CALLED__API_KEY": "none",
}


def measure(ground: Ground, *, count: int, repeat: int, limit_seconds: float) -> list[Row]:
    """So many callbacks at each, in turn. No row where this version takes no callbacks."""
    if not _has_web():
        say("callbacks are left out: there is no `campaigns web` here")
        return []
    speeds: dict[str, list[float]] = {"bare": [], "ours": []}
    costs: dict[str, list[float]] = {"bare": [], "ours": []}  # µs of processor a callback
    for turn in range(repeat):
        for name, server in (("bare", _bare), ("ours", _ours)):
            with session(ground, OURS, processes=(), limit_seconds=limit_seconds) as racing:
                with server(racing) as url:
                    meter = racing.meter()
                    found = racing.drive(
                        ground.directory / "none",
                        *(sys.executable, "-m", "benchmarks.calling_back", "call", url, str(count)),
                        what=f"{name}, {count:,} callbacks",
                    )
                    used = meter.used()
                stored = ground.value(racing.database_url, _COUNT) if name == "ours" else count
            if stored != count:
                raise Refused(f"{count - stored} of {count} callbacks were answered 200 and are not stored")
            speeds[name].append(count / found["seconds"])
            web, postgresql = (used[role] / count * 1e6 for role in ("workers", "postgresql"))
            costs[name].append(web + postgresql)
            say(
                f"[callbacks] round {turn + 1}/{repeat}: {name}: {number(speeds[name][-1])}/s,"
                f" {web:.0f} µs of processor each, and {postgresql:.0f} of PostgreSQL's"
            )
    bare, ours = Spread.of(speeds["bare"]), Spread.of(speeds["ours"])
    bare_cost, our_cost = Spread.of(costs["bare"]), Spread.of(costs["ours"])
    where = f"{count:,} callbacks, {_CONNECTIONS} at once"
    return [
        Row("a bare aiohttp handler that stores nothing", where, bare, "callbacks/s"),
        Row(
            "ours: `campaigns web`, stored before they are answered",
            where,
            ours,
            "callbacks/s",
            "the bare handler",
            ours.over(bare),
            at_least(0.5),
        ),
        Row(
            "the same, processor time of `campaigns web` and of PostgreSQL",
            where,
            our_cost,
            "µs a callback",
            "the bare handler",
            our_cost.over(bare_cost),
        ),
    ]


def _has_web() -> bool:
    asked = subprocess.run([BIN / "campaigns", "web", "--help"], capture_output=True, check=False)  # noqa: S603  ours
    return asked.returncode == 0


@contextmanager
def _ours(racing: Session) -> Iterator[str]:
    racing.stack.settings |= _SETTINGS
    path = racing.stack.run("account", "called", "callback-url").stdout.decode().strip().partition(":1/")[2]
    racing.stack.start("web", "campaigns", "web", "--port", "0")
    yield f"{_address(racing, 'web')}/{path}"
    racing.stack.stop("web")


@contextmanager
def _bare(racing: Session) -> Iterator[str]:
    racing.start_process("bare", (sys.executable, "-m", "benchmarks.calling_back", "serve"))
    yield f"{_address(racing, 'bare')}/callbacks/called/token"
    racing.stack.stop("bare")


def _address(racing: Session, name: str) -> str:
    wait_for_log(racing.stack, name, _LISTENING.pattern)
    found = _LISTENING.search(racing.stack.log(name).read_text())
    assert found is not None
    return found[1]


# --- the two other processes -----------------------------------------------------------------------------


async def _serve_bare() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    application = web.Application()
    application.router.add_get("/callbacks/{account}/{token}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


async def _call(url: str, count: int) -> None:
    """Make `count` callbacks. Ends with an error unless each is answered 200."""
    parts = urlsplit(url)
    requests = iter(
        [
            f"GET {parts.path}?msg_id={_FIRST_ID + n}&status=DELIVERED HTTP/1.1\r\n"
            f"Host: {parts.netloc}\r\n\r\n".encode()
            for n in range(count)
        ]
    )

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        for request in requests:  # shared: each takes the next
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200 "):
                said = head.splitlines()[0].decode()
                raise RuntimeError(f"a callback was answered {said}")
            length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
            if length is not None and int(length[1]):
                await reader.readexactly(int(length[1]))
        writer.close()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as connections:
        for _ in range(_CONNECTIONS):
            connections.create_task(one_connection())
    report(seconds=time.perf_counter() - started)


if __name__ == "__main__":
    with asyncio.Runner() as own:
        own.run(_serve_bare() if sys.argv[1] == "serve" else _call(sys.argv[2], int(sys.argv[3])))
