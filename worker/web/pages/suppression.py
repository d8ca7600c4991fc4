"""Who must not be sent to: looked for, added, taken off, imported and exported."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import chain
from typing import Any

from aiohttp import web

from campaigns.domain.access import Scope
from campaigns.domain.blocks import Block
from campaigns.domain.errors import CampaignError
from campaigns.domain.phone import InvalidPhone, check_region, normalise
from worker import csv_cells, shapes
from worker.web.api.problems import Kind, Mistake, Refused
from worker.web.api.serving import refusal_of
from worker.web.api.streams import CSV, stream
from worker.web.api.submitting import LARGE
from worker.web.pages import uploading
from worker.web.pages.frame import N_, Done, Page, View, Visit

_MOST_AT_ONCE = 1_000  # numbers that one request of the API takes
_MOST_IMPORTED = 200_000  # numbers of a file: they are held in memory
_MOST_NAMED = 10  # rows
_PAGE = "200"  # numbers that are read at once for an export


async def show(visit: Visit) -> View:
    """The list, in order of number."""
    query = visit.query("cursor")
    found = await visit.ask("listSuppressed", shapes.SuppressionPage, query=query)
    return View("suppression.html", {"listed": found, "query": query, "sought": None})


async def search(visit: Visit) -> View:
    """Whether a number is on it."""
    given = visit.filled("phone", "region")
    body = {"phones": [given.get("phone", "")], **visit.filled("region")}
    found = await visit.ask("searchSuppressed", shapes.SuppressionPage, body=body)
    return View("suppression.html", {"listed": found, "query": {}, "sought": given})


async def add(visit: Visit) -> Done:
    """Never send to these again."""
    await visit.ask("suppress", shapes.Count, body=_typed(visit) | visit.filled("reason"))
    return Done("/suppression", "suppressed")


async def remove(visit: Visit) -> Done:
    """Send to these again."""
    found = await visit.ask("unsuppress", shapes.Count, body=_typed(visit))
    return Done("/suppression", "unsuppressed" if found.count else "not-suppressed")


def _typed(visit: Visit) -> dict[str, Any]:
    lines = visit.form.get("phones", "").replace(",", "\n").replace(";", "\n").splitlines()
    return {"phones": [line.strip() for line in lines if line.strip()], **visit.filled("region")}


async def take_in(visit: Visit) -> Done:
    """Add the numbers of a file. A row that cannot be read stops it: nothing of it is added."""
    async with uploading.reading(visit) as draft:
        rows, region = await uploading.table(draft), draft.get("region").upper() or None
        try:
            check_region(region)
            reading = asyncio.get_running_loop().run_in_executor(
                visit.request.app[LARGE].threads, _numbers, rows, draft, region
            )
            phones = await reading
        except CampaignError as error:
            raise refusal_of(visit.request.path, error) from None
    reason = {"reason": draft.get("reason")} if draft.get("reason") else {}
    for first in range(0, len(phones), _MOST_AT_ONCE):
        body = {"phones": phones[first : first + _MOST_AT_ONCE], **reason}
        await visit.ask("suppress", shapes.Count, body=body)
    return Done("/suppression", "suppressed")


def _numbers(blocks: Iterable[Block], draft: uploading.Draft, region: str | None) -> list[str]:
    """The numbers of a file in E.164. Raises Refused, which names the rows that cannot be read."""
    column = draft.get("phone_column")
    phones: dict[str, None] = {}
    wrong: list[int] = []
    for row, fields in chain.from_iterable(blocks):
        try:
            phones[normalise(fields.get(column, ""), region)] = None
        except InvalidPhone:
            wrong.append(row)
        if len(phones) + len(wrong) > _MOST_IMPORTED:
            raise Refused(Kind.TOO_LARGE, f"a file may have {_MOST_IMPORTED:,} numbers here: split it")
    if wrong or not phones:
        named = ", ".join(map(str, wrong[:_MOST_NAMED])) or "none has a number"
        more = f" and {len(wrong) - _MOST_NAMED} more" if len(wrong) > _MOST_NAMED else ""
        mistake = Mistake(pointer="/body/file", detail=f"no number can be read in row {named}{more}")
        raise Refused(Kind.INVALID_REQUEST, None, [mistake])
    return list(phones)


async def export(visit: Visit) -> web.StreamResponse:
    """The whole list as CSV."""
    first = await visit.ask("listSuppressed", shapes.SuppressionPage, query={"limit": _PAGE})
    return await stream(uploading.call_of(visit), CSV, "suppression.csv", _lines(visit, first))


async def _lines(visit: Visit, page: shapes.SuppressionPage) -> AsyncIterator[bytes]:
    yield csv_cells.head_line(["phone", "reason", "since"]).encode()
    while True:
        lines = [
            csv_cells.line(
                [("phone", each.phone), ("reason", each.reason), ("since", each.since.isoformat())]
            )
            for each in page.items
        ]
        yield "".join(lines).encode(errors="backslashreplace")
        if page.next_cursor is None:
            return
        query = {"limit": _PAGE, "cursor": page.next_cursor}
        page = await visit.ask("listSuppressed", shapes.SuppressionPage, query=query)


PAGES = (
    Page("/suppression", show, Scope.SUPPRESS, menu=N_("Suppression")),
    Page("/suppression/search", search, Scope.SUPPRESS, method="POST"),
    Page("/suppression/add", add, Scope.SUPPRESS, method="POST"),
    Page("/suppression/remove", remove, Scope.SUPPRESS, method="POST"),
    Page("/suppression/import", take_in, Scope.SUPPRESS, method="POST", reads_itself=True),
    Page("/suppression.csv", export, Scope.READ_RECIPIENTS),
)
