"""Every page of the dashboard, and what machines ask, beside ten million messages: how long each takes, and
how large it is.

The real web process over loopback, one client that asks for one page after the other, signed in as a person
is. A page may show what it knew a moment ago (`frame.RECENT_SECONDS`), so rounds are further apart than that:
each request of a round does its own work. The first of several rounds, whose plans and pages are cold, is
not counted.
"""

import asyncio
import re
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode

import aiohttp

from benchmarks.calling_back import _SETTINGS, _address
from benchmarks.calls import report
from benchmarks.ground import Ground, Refused, say
from benchmarks.ours import ask
from benchmarks.rivals import OURS, session
from benchmarks.seeding import OWNER, RARE_OWNER, RARE_REASON, seed
from benchmarks.table import Row, Spread, at_most, number
from campaigns import keys
from campaigns.domain.access import Actor, Scope
from campaigns.domain.message_ref import message_ref
from worker.bootstrap import Parts
from worker.runtime import run_once
from worker.settings.reading import load_settings
from worker.stack.location import located
from worker.web.api import cursors
from worker.web.pages.frame import RECENT_SECONDS

MOST_MILLISECONDS = at_most(100)
MOST_BYTES = 60_000
_FORM = re.compile(r'name="token" value="([^"]+)"')


@dataclass(frozen=True)
class Request:
    """Something that is asked for: by a browser that is signed in, or by a machine with a key."""

    name: str
    path: str
    form: dict[str, str] | None = None
    body: dict[str, Any] | None = None
    key: str = ""


def measure(ground: Ground, *, messages: int, repeat: int, limit_seconds: float) -> list[Row]:
    """Seed it, ask for everything so many times, and give a row a page, the slowest first."""
    with session(ground, OURS, processes=(), limit_seconds=limit_seconds) as racing:
        racing.stack.settings |= _SETTINGS

        def drive(*arguments: str) -> dict[str, Any]:
            return racing.drive(
                ground.directory / "none",
                sys.executable,
                "-m",
                "benchmarks.pages",
                *arguments,
                what=arguments[0],
            )

        made = drive("seed", str(messages))
        say(f"[pages] {made['messages']:,} messages made in {made['seconds']:.0f} s")
        port = str(_free_port())
        racing.stack.settings |= {"METRICS_PORT": port}
        racing.stack.start("web", "campaigns", "web", "--port", "0", "--serve", "api,dashboard")
        del racing.stack.settings["METRICS_PORT"]  # it is one process's alone
        url = _address(racing, "web")
        found = drive("ask", url, f"http://127.0.0.1:{port}/metrics", str(repeat))
        racing.stack.stop("web")
    return rows(found["pages"], made["messages"])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def rows(found: dict[str, list[list[float]]], messages: int) -> list[Row]:
    """A row for each: milliseconds with their spread, the slowest first, and how large it is. Takes of each
    (milliseconds, bytes) of every round. Raises Refused where a page is too large.
    """
    made = []
    for name, rounds in sorted(found.items(), key=lambda each: -max(ms for ms, _ in each[1])):
        size = max(size for _, size in rounds)
        if size > MOST_BYTES and name.startswith("page"):
            raise Refused(f"{name} has {size:.0f} bytes, and no page may have more than {MOST_BYTES}")
        spread = Spread.of([milliseconds for milliseconds, _ in rounds])
        setting = f"{messages:,} messages; {number(size / 1000)} kB"
        made.append(Row(name, setting, spread, "ms", goal=MOST_MILLISECONDS, raw={"bytes": size}))
    return made


# --- what is asked for -----------------------------------------------------------------------------------


async def requests(parts: Parts, machine: str, clinic: str) -> list[Request]:
    """All of it, from what is in the database. Takes a key for all owners, and one of the rare owner."""
    campaign = {
        record["name"].rpartition(" ")[0]: record
        for record in await _all(
            parts, "SELECT id, name, recipient_count, created_at FROM campaign WHERE name LIKE '% 1'"
        )
    }
    large, over = campaign["Autumn sale, everyone"], campaign["Members"]
    (middle,) = await _all(
        parts,
        "SELECT id, created_at FROM campaign ORDER BY created_at DESC OFFSET"
        " (SELECT count(*) / 2 FROM campaign) LIMIT 1",
    )
    (oldest,) = await _all(parts, "SELECT id, created_at FROM campaign ORDER BY created_at LIMIT 1")
    (webhook,) = await _all(parts, "SELECT id FROM webhook")
    audit = await ask(parts, "SELECT max(id) FROM audit")
    delivery = await ask(parts, "SELECT max(id) FROM webhook_delivery")
    listed = await _all(
        parts,
        "SELECT phone FROM suppression ORDER BY phone OFFSET (SELECT count(*)/2 FROM suppression) LIMIT 1",
    )
    provider_id = await ask(
        parts,
        "SELECT provider_message_id FROM message m JOIN batch b ON b.id = m.batch_id"
        " WHERE b.campaign_id = $1 AND provider_message_id IS NOT NULL LIMIT 1",
        over["id"],
    )
    month = f"{over['created_at']:%Y-%m}"
    before = f"{over['created_at'].replace(day=1) - timedelta(days=1):%Y-%m}"
    of, of_over = f"/campaigns/{large['id']}", f"/campaigns/{over['id']}"
    last = (large["recipient_count"] - 1) // 100 + 1
    refused = large["recipient_count"]

    def at(*parts: object) -> str:
        return "?" + urlencode({"cursor": cursors.write(*parts)})

    def messages(where: str, **query: str) -> str:
        return f"{where}/messages?{urlencode(query)}"

    phone = "+37060000001"
    reference = message_ref(over["id"], max(1, over["recipient_count"] // 200), 0)
    pages = [
        ("overview", "/"),
        ("campaigns", "/campaigns"),
        ("campaigns, in the middle", "/campaigns" + at(middle["created_at"].isoformat(), middle["id"])),
        ("campaigns, the last", "/campaigns" + at(oldest["created_at"].isoformat(), oldest["id"])),
        ("campaigns, running", "/campaigns?state=running"),
        ("campaigns, failed (none)", "/campaigns?state=failed"),
        ("campaigns, a part of a name", "/campaigns?q=region"),
        ("campaigns, a name of none", "/campaigns?q=nowhere"),
        ("campaigns of an account", "/campaigns?account=second"),
        ("campaign that runs, half of all", of),
        ("campaign that is over, a tenth", of_over),
        ("paused campaign in doubt", f"/campaigns/{campaign['Survey']['id']}"),
        ("small campaign", f"/campaigns/{campaign['Reminders']['id']}"),
        ("batches", f"{of}/batches"),
        ("batches, in the middle", f"{of}/batches" + at(last // 2)),
        ("batches, the last", f"{of}/batches" + at(last - 1)),
        ("refused", f"{of}/refused"),
        ("refused, in the middle", f"{of}/refused" + at(refused + refused // 200)),
        ("messages", f"{of}/messages"),
        ("messages, in the middle", f"{of}/messages" + at(last // 2, 50)),
        ("messages, the last", f"{of}/messages" + at(last, 50)),
        ("messages delivered", messages(of, state="delivered")),
        ("messages in doubt", messages(of, state="in_doubt")),
        ("messages read (none)", messages(of, state="read")),
        ("messages failed, of what is over", messages(of_over, state="failed")),
        ("messages for a common reason", messages(of, reason="absent subscriber")),
        ("messages for a rare reason", messages(of, reason=RARE_REASON)),
        ("messages for a rare reason, of what is over", messages(of_over, reason=RARE_REASON)),
        ("messages for a reason of none", messages(of, reason="no such reason")),
        ("messages, empty search", "/messages"),
        ("message with its timeline", f"/messages/{reference}"),
        ("accounts", "/accounts"),
        ("account, this month", "/accounts/main"),
        ("account, a month before", f"/accounts/main?month={before}"),
        ("suppression", "/suppression"),
        ("suppression, in the middle", "/suppression" + at(listed[0]["phone"])),
        ("webhooks", "/webhooks"),
        ("webhook", f"/webhooks/{webhook['id']}"),
        ("webhook, in the middle", f"/webhooks/{webhook['id']}" + at(delivery // 2)),
        ("webhook, given up (none)", f"/webhooks/{webhook['id']}?state=given_up"),
        ("keys", "/keys"),
        ("audit", "/audit"),
        ("audit, in the middle", "/audit" + at(audit // 2)),
        ("audit of a campaign", f"/audit?subject=campaign/{large['id']}"),
        ("new campaign", "/campaigns/new"),
    ]
    searches = {
        "a number": {"by": "phone", "value": phone},
        "a number of none": {"by": "phone", "value": "+37069999999"},
        "a reference": {"by": "reference", "value": reference},
        "the provider's id": {"by": "provider_message_id", "value": provider_id},
    }
    machines = [
        ("days", "/v1/days?count=90"),
        ("progress", f"/v1{of}/progress"),
        ("reasons of what runs", f"/v1{of}/reasons"),
        ("month of an account", f"/v1/accounts/main/month?month={month}"),
        ("reconciliation of a month before", f"/v1/accounts/main/reconciliation?month={before}"),
        ("reconciliation, this month", "/v1/accounts/main/reconciliation"),
        ("campaigns, 200", "/v1/campaigns?limit=200"),
        ("messages, 200", f"/v1{of}/messages?limit=200"),
        ("audit, 200", "/v1/audit?limit=200"),
        ("working", "/v1/working"),
    ]
    return [
        *(Request(f"page: {name}", path) for name, path in pages),
        *(Request(f"page: search for {name}", "/messages", form) for name, form in searches.items()),
        Request("page: search of the suppression list", "/suppression/search", {"phone": phone}),
        *(Request(f"API: {name}", path, key=machine) for name, path in machines),
        Request("API: audit of an owner with few rows", "/v1/audit", key=clinic),
        Request("API: search for a number", "/v1/messages/search", body={"phone": phone}, key=machine),
        Request(
            "API: erase a number of none", "/v1/erasures", body={"phones": ["+37069999999"]}, key=machine
        ),
    ]


async def _all(parts: Parts, query: str) -> list[Any]:
    async with parts.database.connection() as connection:
        return list(await connection.fetch(query))


# --- the two drivers -------------------------------------------------------------------------------------


async def _seed(parts: Parts, count: int) -> None:
    started = time.monotonic()
    await seed(parts.database, count)
    report(seconds=time.monotonic() - started, messages=await ask(parts, "SELECT count(*) FROM message"))


class Asker:
    """Asks for one thing after the other: with the cookie of a person, or with a key."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        self._client = client
        self._url = url
        self._token = ""

    async def sign_in(self, key: str) -> None:
        """As a person does. Raises Refused."""
        async with self._client.post(
            f"{self._url}/sign-in",
            data={"key": key},
            headers={"Sec-Fetch-Site": "same-origin"},
        ) as answer:
            found = _FORM.search(await answer.text())
        if found is None:
            raise Refused(f"the web does not take the key: {answer.status}")
        self._token = unescape(found[1])

    async def ask(self, request: Request) -> tuple[float, int]:
        """How many milliseconds an answer took, and its bytes. Raises Refused where it is none."""
        url = request.path if request.path.startswith("http") else self._url + request.path
        headers = {"Authorization": f"Bearer {request.key}"} if request.key else {}
        form = request.form and {**request.form, "token": self._token}
        if form:
            headers["Sec-Fetch-Site"] = "same-origin"
        method = "GET" if form is None and request.body is None else "POST"
        while True:
            started = time.perf_counter()
            async with self._client.request(
                method, url, headers=headers, data=form, json=request.body
            ) as answer:
                read = await answer.read()
            took = (time.perf_counter() - started) * 1000
            if answer.status == 429:  # a key may search once a second
                await asyncio.sleep(float(answer.headers["Retry-After"]))
                continue
            if answer.status != 200:
                raise Refused(f"{request.name} ({request.path}) is answered {answer.status}: {read[:300]!r}")
            return took, len(read)


async def _ask(parts: Parts, url: str, metrics_url: str, repeat: int) -> None:
    actor = Actor("operator", "benchmark", "here")

    async def key(owner: str, **more: Any) -> str:
        return (await keys.create(parts.database, actor, owner=owner, scopes=[*Scope], **more)).key

    person, machine = await key(OWNER), await key(OWNER, is_for_all_owners=True)
    clinic = await key(RARE_OWNER)
    wanted = [*await requests(parts, machine, clinic), Request("machines: /metrics", metrics_url)]
    found: dict[str, list[tuple[float, int]]] = defaultdict(list)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        asker = Asker(client, url)
        await asker.sign_in(person)
        for turn in range(repeat):
            if turn:
                await asyncio.sleep(RECENT_SECONDS)
            for request in wanted:
                took = await asker.ask(request)
                if turn or repeat == 1:
                    found[request.name].append(took)
    report(pages=found)


def main() -> None:
    """A process of the benchmark: what it is to do, and its arguments."""
    what, *given = sys.argv[1:]
    works: dict[str, Callable[[Parts], Awaitable[None]]] = {
        "seed": lambda parts: _seed(parts, int(given[0])),
        "ask": lambda parts: _ask(parts, given[0], given[1], int(given[2])),
    }
    run_once(located(load_settings()), works[what])


if __name__ == "__main__":
    main()
