"""The HTTP API and webhooks, with real processes: submissions and reads a second against a bare aiohttp
handler, the memory of a large upload and what it does to its neighbours, deliveries a second.

One client process on this machine; each thing that was answered is looked up in the database afterwards. A
key may ask so often a second, so the client has many keys.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.calling_back import _SETTINGS, _address
from benchmarks.calls import report
from benchmarks.ground import Ground, Refused, phones, say
from benchmarks.ours import ask
from benchmarks.rivals import OURS, Session, session
from benchmarks.table import Row, Spread, at_most, megabytes, number
from benchmarks.usage import peak_bytes
from campaigns import keys, outbox
from campaigns.domain.access import Actor, Scope
from campaigns.domain.webhooks import EventType
from worker.bootstrap import Parts
from worker.runtime import run_once
from worker.settings.reading import load_settings
from worker.stack.location import located

_CONNECTIONS = 32
_KEYS = 200
_OPERATOR = Actor("operator", "benchmark", "here")
_RECIPIENTS = 19  # of a submission: about 1 kB of JSON
_SUBMISSIONS = 500
_READS = 3_000
_DELIVERIES = 1_000
_QUIET_SECONDS = 20.0
_NEIGHBOURS_PER_SECOND = 10
_PIECE_BYTES = 65_536
_MOST_MEGABYTES = at_most(100)
_MOST_SECONDS = aiohttp.ClientTimeout(total=None)


def measure(ground: Ground, *, large: int, repeat: int, limit_seconds: float) -> list[Row]:
    """Everything, in turn, so many rounds."""
    speeds: dict[str, list[float]] = {}
    upload: dict[str, list[float]] = {}
    for _ in range(repeat):
        for what, count in (("submit", _SUBMISSIONS), ("read", _READS)):
            for name, server in (("bare", _bare), ("ours", _ours)):
                with session(ground, OURS, processes=(), limit_seconds=limit_seconds) as racing:
                    found = _drive(racing, server, what, count)
                speeds.setdefault(f"{name} {what}", []).append(count / found["seconds"])
                say(f"[front door] {name} {what}: {number(count / found['seconds'])}/s")
        for name, value in _upload(ground, large, limit_seconds).items():
            upload.setdefault(name, []).append(value)
            say(f"[front door] upload: {name} {number(value)}")
        for endpoints in (1, 10):
            found = _deliver(ground, endpoints, limit_seconds)
            speeds.setdefault(f"{endpoints} webhooks", []).append(_DELIVERIES / found["seconds"])
            say(f"[front door] {endpoints} webhooks: {number(_DELIVERIES / found['seconds'])}/s")
    spread = {name: Spread.of(values) for name, values in (speeds | upload).items()}
    rows = []
    for what, setting, unit in (
        ("submit", f"{_SUBMISSIONS:,} of {_RECIPIENTS} recipients, {_CONNECTIONS} at once", "submissions/s"),
        ("read", f"{_READS:,} of one campaign, {_CONNECTIONS} at once", "reads/s"),
    ):
        bare, ours = spread[f"bare {what}"], spread[f"ours {what}"]
        rows.append(Row(f"API, {what}: a bare aiohttp handler", setting, bare, unit))
        rows.append(Row(f"API, {what}: ours", setting, ours, unit, "the bare handler", ours.over(bare)))
    setting = f"{large:,} rows of CSV"
    rows.append(Row("upload: memory of the web at most", setting, spread["MB"], "MB", goal=_MOST_MEGABYTES))
    rows.append(Row("upload: from the first byte to 201", setting, spread["seconds"], "s"))
    for what in ("reads", "callbacks"):
        for cut in ("p50", "p99"):
            quiet, busy = spread[f"{what} {cut}, quiet"], spread[f"{what} {cut}, uploading"]
            rows.append(
                Row(f"upload: {cut} of {what} beside it", setting, busy, "ms", "without", busy.over(quiet))
            )
    rows += [
        Row(
            "webhook deliveries",
            f"{_DELIVERIES:,} events, {n} webhook(s)",
            spread[f"{n} webhooks"],
            "deliveries/s",
        )
        for n in (1, 10)
    ]
    return rows


def _drive(racing: Session, server: Any, what: str, *more: Any, file: str = "none") -> dict[str, Any]:
    with server(racing) as url:
        found: dict[str, Any] = racing.drive(
            racing.ground.directory / file,
            *(sys.executable, "-m", "benchmarks.front_door", what, url, *map(str, more)),
            what=f"{what} at {url}",
        )
        return found


@contextmanager
def _ours(racing: Session) -> Iterator[str]:
    racing.stack.settings |= _SETTINGS
    racing.stack.start("web", "campaigns", "web", "--port", "0", "--serve", "callbacks,api")
    yield _address(racing, "web")
    racing.stack.stop("web")


@contextmanager
def _bare(racing: Session) -> Iterator[str]:
    racing.start_process("bare", (sys.executable, "-m", "benchmarks.front_door", "serve"))
    yield _address(racing, "bare")
    racing.stack.stop("bare")


def _upload(ground: Ground, large: int, limit_seconds: float) -> dict[str, float]:
    recipients_file = ground.recipients(large)
    with session(ground, OURS, processes=(), limit_seconds=limit_seconds) as racing:
        racing.stack.settings |= _SETTINGS
        path = (
            racing.stack.run("account", "called", "callback-url").stdout.decode().strip().partition(":1/")[2]
        )
        with _ours(racing) as url:
            found = racing.drive(
                recipients_file,
                *(sys.executable, "-m", "benchmarks.front_door", "upload", url, str(recipients_file), path),
                what=f"an upload of {large:,} rows",
            )
            found["MB"] = megabytes(peak_bytes([racing.stack.pid("web")]))
        stored = ground.value(racing.database_url, "SELECT count(*) FROM message")
    if stored != large:
        raise Refused(f"{stored} of {large} uploaded rows are stored")
    return {name: value for name, value in found.items() if name != "peak_bytes"}


def _deliver(ground: Ground, endpoints: int, limit_seconds: float) -> dict[str, Any]:
    with session(ground, OURS, processes=(), limit_seconds=limit_seconds) as racing:
        racing.stack.settings |= {"WEBHOOK_ALLOW": "127.0.0.0/8", "ALLOW_PLAIN_HTTP": "yes"}
        racing.stack.worker()
        racing.stack.beat()
        found = racing.drive(
            ground.directory / "none",
            *(sys.executable, "-m", "benchmarks.front_door", "deliver", str(endpoints), str(_DELIVERIES)),
            what=f"{_DELIVERIES:,} deliveries to {endpoints} webhooks",
        )
        wrong = ground.value(
            racing.database_url, "SELECT count(*) FROM webhook_delivery WHERE state <> 'succeeded'"
        )
    if wrong:
        raise Refused(f"{wrong} of {_DELIVERIES} deliveries did not succeed")
    return found


# --- the two other processes -----------------------------------------------------------------------------


async def _serve_bare() -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.can_read_body:
            json.loads(await request.read())
        return web.json_response({"id": "00000000-0000-0000-0000-000000000000"}, status=201)

    application = web.Application()
    application.router.add_route("*", "/v1/campaigns{rest:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


async def _made_keys(parts: Parts) -> list[dict[str, str]]:
    made = [await keys.create(parts.database, _OPERATOR, owner="shop", scopes=[*Scope]) for _ in range(_KEYS)]
    return [{"Authorization": f"Bearer {each.key}"} for each in made]


def _client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=_MOST_SECONDS)


async def _submit(parts: Parts, url: str, count: int) -> None:
    headers = await _made_keys(parts)
    numbers = phones(count * _RECIPIENTS)
    bodies = [
        {
            "account": "main",
            "text": "Hello {name}",
            "recipients": [
                {"phone": f"+{each}", "name": "Ona"} for each in numbers[n * _RECIPIENTS :][:_RECIPIENTS]
            ],
        }
        for n in range(count)
    ]
    await _call_all(url, [("POST", "", headers[n % _KEYS], body) for n, body in enumerate(bodies)], 201)
    stored = await ask(parts, "SELECT count(*) FROM campaign")
    if stored not in {0, count}:  # 0: the bare one
        raise RuntimeError(f"{stored} of {count} are stored")


async def _read(parts: Parts, url: str, count: int) -> None:
    headers = await _made_keys(parts)
    body = {"account": "main", "text": "Hello", "recipients": [{"phone": f"+{phones(1)[0]}"}]}
    async with _client() as client, client.post(f"{url}/v1/campaigns", json=body, headers=headers[0]) as made:
        campaign_id = (await made.json())["id"]
    wanted = [("GET", f"/{campaign_id}", headers[n % _KEYS], None) for n in range(count)]
    await _call_all(url, wanted, None)


async def _call_all(url: str, wanted: list[tuple[str, str, dict[str, str], Any]], status: int | None) -> None:
    requests = iter(wanted)

    async def one_connection(client: aiohttp.ClientSession) -> None:
        for method, path, headers, body in requests:  # shared: each takes the next
            async with client.request(
                method, f"{url}/v1/campaigns{path}", headers=headers, json=body
            ) as answer:
                await answer.read()
                if answer.status not in {status, 200, 201}:
                    raise RuntimeError(f"answered {answer.status}")

    async with _client() as client:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as connections:
            for _ in range(_CONNECTIONS):
                connections.create_task(one_connection(client))
        report(seconds=time.perf_counter() - started)


async def _send_up(parts: Parts, url: str, file: str, callback_path: str) -> None:
    headers = await _made_keys(parts)
    numbers = iter(range(77_000_000_000, 78_000_000_000))
    turns = iter(range(10**9))
    found: dict[str, float] = {}

    async def pieces() -> AsyncIterator[bytes]:
        with Path(file).open("rb") as stream:  # noqa: ASYNC230  a local file, 64 kB at a time
            while piece := stream.read(_PIECE_BYTES):
                yield piece

    async def neighbour(
        client: aiohttp.ClientSession, what: str, taken: list[float], until: asyncio.Event
    ) -> None:
        """At a steady rate, whether or not earlier ones were answered: each counts from when it was due."""
        begin, running = time.perf_counter(), []

        async def one(due: float) -> None:
            path, more = f"{url}/v1/campaigns?limit=1", headers[next(turns) % _KEYS]
            if what == "callbacks":
                path, more = f"{url}/{callback_path}?msg_id={next(numbers)}&status=DELIVERED", {}
            async with client.get(path, headers=more) as answer:
                await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"{what} answered {answer.status}")
            taken.append(time.perf_counter() - due)

        for n in range(10**9):
            due = begin + n / _NEIGHBOURS_PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if until.is_set():
                break
            running.append(asyncio.create_task(one(due)))
        await asyncio.gather(*running)

    async def beside(client: aiohttp.ClientSession, when: str, work: Any) -> None:
        over = asyncio.Event()
        taken: dict[str, list[float]] = {"reads": [], "callbacks": []}
        watching = [asyncio.create_task(neighbour(client, what, each, over)) for what, each in taken.items()]
        try:
            await work
        finally:
            over.set()
        await asyncio.gather(*watching)
        for what, each in taken.items():
            cuts = quantiles(each, n=100)
            found[f"{what} p50, {when}"], found[f"{what} p99, {when}"] = cuts[49] * 1000, cuts[98] * 1000

    async def upload(client: aiohttp.ClientSession) -> None:
        started = time.perf_counter()
        async with client.post(
            f"{url}/v1/campaigns",
            params={"account": "main", "text": "Hello {name}"},
            data=pieces(),
            headers=headers[0] | {"Content-Type": "text/csv"},
        ) as answer:
            if answer.status != 201:
                raise RuntimeError(f"answered {answer.status}: {await answer.text()}")
        found["seconds"] = time.perf_counter() - started

    async with _client() as client:
        await beside(client, "quiet", asyncio.sleep(_QUIET_SECONDS))
        await beside(client, "uploading", upload(client))
    report(**found)


async def _tell(parts: Parts, endpoints: int, count: int) -> None:
    """A receiver in this process, and events that are there when the clock starts."""
    heard, all_heard = set(), asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        await request.read()
        heard.add((request.path, request.headers["webhook-id"]))
        if len(heard) == count:
            all_heard.set()
        return web.Response()

    application = web.Application()
    application.router.add_post("/{name}", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    for n in range(endpoints):
        await outbox.create(
            parts.database,
            url=f"http://127.0.0.1:{runner.addresses[0][1]}/{n}",
            secret="whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            owner=None,
            event_types=[*EventType],
            with_numbers=False,
        )
    started = time.perf_counter()
    async with parts.database.connection() as connection:
        await connection.execute(
            "INSERT INTO webhook_event (type, account, data) SELECT 'account.held', 'a' || n,"
            " jsonb_build_object('account', 'a' || n) FROM generate_series(1, $1) n",
            count // endpoints,
        )
    await all_heard.wait()
    await asyncio.sleep(1)  # the last answers are written down
    report(seconds=time.perf_counter() - started - 1)
    await runner.cleanup()


def main() -> None:
    """A process of the benchmark: what it is to do, and its arguments."""
    what, *given = sys.argv[1:]
    if what == "serve":
        with asyncio.Runner() as runner:
            runner.run(_serve_bare())
        return
    works = {
        "submit": lambda parts: _submit(parts, given[0], int(given[1])),
        "read": lambda parts: _read(parts, given[0], int(given[1])),
        "upload": lambda parts: _send_up(parts, given[0], given[1], given[2]),
        "deliver": lambda parts: _tell(parts, int(given[0]), int(given[1])),
    }
    run_once(located(load_settings()), works[what])


if __name__ == "__main__":
    main()
