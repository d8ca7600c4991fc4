"""Operations that read campaigns and change nothing."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import Field

from campaigns import reading
from campaigns.domain.access import Scope
from campaigns.domain.states import CampaignState
from campaigns.store.progress import MOST_POINTS, POINT_SECONDS
from campaigns.store.reading.overviews import Header, Overview, Wanted
from worker import csv_cells, shapes
from worker.web.api import cursors
from worker.web.api.operations import Answer, Asked, Call, Line, Moment, Operation, Rate
from worker.web.api.streams import CSV, stream, wants_csv

_TAG = "Campaigns"
_LINES_A_PART = 1_000  # of CSV, sent at once

Limit = Annotated[int, Field(ge=1, le=cursors.MOST_ITEMS, description="Items of a page.")]
Cursor = Annotated[
    str | None, Field(max_length=cursors.LONGEST, description="The `next_cursor` of the page before.")
]


class CampaignPath(Asked):
    """Names a campaign."""

    id: UUID = Field(description="The campaign's id.", examples=["0de42725-799e-4b48-8047-b343181269fe"])


class Paged(Asked):
    """Goes through a list."""

    limit: Limit = 50
    cursor: Cursor = None


class CampaignFilter(Paged):
    """Which campaigns."""

    state: CampaignState | None = None
    account: Line | None = None
    owner: Line | None = None
    q: Annotated[Line | None, Field(description="A part of the name, in any case.")] = None
    open: Annotated[
        bool | None, Field(description="Those in which something may still happen, or those that are over.")
    ] = None
    created_after: Moment | None = None
    created_before: Moment | None = None


async def owned(call: Call, campaign_id: UUID) -> Overview:
    """The campaign, where the key may see it. Raises NotFound: another owner's does not exist for it."""
    return await reading.status(call.parts.database, campaign_id, reach=call.caller.reach)


async def header(call: Call, campaign_id: UUID) -> Header:
    """The same without its totals, which of a large campaign are many rows."""
    return await reading.header(call.parts.database, campaign_id, reach=call.caller.reach)


async def list_campaigns(call: Call, query: CampaignFilter) -> Answer:
    """A page of campaigns."""
    after: tuple[datetime, UUID] | None = None
    if query.cursor is not None:
        after = cursors.read_moment_and_id(query.cursor)
    wanted = Wanted(
        state=query.state,
        account=query.account,
        owner=query.owner,
        name=query.q,
        created_after=query.created_after,
        created_before=query.created_before,
        after=after,
        is_open=query.open,
    )
    found = await reading.newest(call.parts.database, wanted, reach=call.caller.reach, limit=query.limit + 1)
    items, last = cursors.cut(found, query.limit)
    return Answer(
        shapes.CampaignPage(
            items=[shapes.OwnedCampaign.of(each) for each in items],
            next_cursor=last and cursors.write(last.created_at.isoformat(), last.id),
        )
    )


class Days(Asked):
    """How many days."""

    count: Annotated[int, Field(ge=1, le=100, description="Of which today, in UTC, is the last.")] = 14


async def list_days(call: Call, query: Days) -> Answer:
    """What was taken in of late."""
    found = await reading.days(call.parts.database, query.count, reach=call.caller.reach)
    return Answer(shapes.TakenInDays(items=[shapes.TakenInDay.of(each) for each in found], next_cursor=None))


async def get_campaign(call: Call, path: CampaignPath) -> Answer:
    """One campaign."""
    return Answer(shapes.OwnedCampaign.of(await owned(call, path.id)))


async def get_content(call: Call, path: CampaignPath) -> Answer:
    """What a campaign says, and as whom."""
    await header(call, path.id)
    return Answer(shapes.Content.of(await reading.content(call.parts.database, path.id)))


async def list_progress(call: Call, path: CampaignPath) -> Answer:
    """How a campaign went over time."""
    campaign = await header(call, path.id)
    points = await reading.progress(call.parts.database, path.id)
    items = [shapes.ProgressPoint.of(each, campaign.currency) for each in points]
    stops = [shapes.Stop.like(each) for each in await reading.stops(call.parts.database, path.id)]
    return Answer(shapes.Progress(items=items, stops=stops, next_cursor=None))


async def list_reasons(call: Call, path: CampaignPath) -> Answer:
    """Why messages of a campaign reached nobody."""
    overview = await owned(call, path.id)
    reasons = [shapes.Reason.like(each) for each in overview.reasons]
    return Answer(shapes.ReasonPage(items=reasons, next_cursor=None))


async def list_batches(call: Call, path: CampaignPath, query: Paged) -> Answer:
    """A page of a campaign's batches."""
    await header(call, path.id)
    after = cursors.read_numbers(query.cursor, 1)[0] if query.cursor is not None else 0
    found = await reading.batch_page(call.parts.database, path.id, limit=query.limit + 1, after=after)
    items, last = cursors.cut(found, query.limit)
    return Answer(
        shapes.BatchPage(
            items=[shapes.Batch.of(each) for each in items],
            next_cursor=last and cursors.write(last.number),
        )
    )


async def list_refused(call: Call, path: CampaignPath, query: Paged) -> Answer | web.StreamResponse:
    """A page of the rows that were not taken in; as CSV all of them."""
    await header(call, path.id)
    if wants_csv(call):
        return await stream(call, CSV, f"{path.id}-refused.csv", _refused_csv(call, path.id))
    after = cursors.read_numbers(query.cursor, 1)[0] if query.cursor is not None else -1
    found = await reading.refusal_page(call.parts.database, path.id, limit=query.limit + 1, after=after)
    items, last = cursors.cut(found, query.limit)
    return Answer(
        shapes.RefusalPage(
            items=[shapes.Refusal.of(each) for each in items], next_cursor=last and cursors.write(last.row)
        )
    )


async def _refused_csv(call: Call, campaign_id: UUID) -> AsyncIterator[bytes]:
    columns, lines = await reading.export_refused(call.parts.database, campaign_id)
    held = [csv_cells.head_line(columns)]
    async with aclosing(lines):
        async for line in lines:
            held.append(csv_cells.line((name, line[name]) for name in columns))
            if len(held) >= _LINES_A_PART:
                yield "".join(held).encode()
                held = []
    yield "".join(held).encode()


OPERATIONS = (
    Operation(
        id="listCampaigns",
        method="GET",
        path="/v1/campaigns",
        tag=_TAG,
        summary="List campaigns, newest first",
        handler=list_campaigns,
        scope=Scope.READ,
        rate=Rate.READ,
        query=CampaignFilter,
        answers={200: shapes.CampaignPage},
    ),
    Operation(
        id="listDays",
        method="GET",
        path="/v1/days",
        tag=_TAG,
        summary="Read what was taken in on the last days",
        description="A campaign belongs to the day on which it was taken in, with what became of it by now.",
        handler=list_days,
        scope=Scope.READ,
        rate=Rate.READ,
        query=Days,
        answers={200: shapes.TakenInDays},
    ),
    Operation(
        id="getCampaign",
        method="GET",
        path="/v1/campaigns/{id}",
        tag=_TAG,
        summary="Read one campaign with its totals",
        handler=get_campaign,
        scope=Scope.READ,
        rate=Rate.READ,
        path_model=CampaignPath,
        answers={200: shapes.OwnedCampaign},
    ),
    Operation(
        id="getContent",
        method="GET",
        path="/v1/campaigns/{id}/content",
        tag=_TAG,
        summary="Read what a campaign says",
        description="Its text as it was submitted, with its placeholders, and its sender id.",
        handler=get_content,
        scope=Scope.READ_RECIPIENTS,
        rate=Rate.READ,
        path_model=CampaignPath,
        answers={200: shapes.Content},
    ),
    Operation(
        id="listProgress",
        method="GET",
        path="/v1/campaigns/{id}/progress",
        tag=_TAG,
        summary="Read how a campaign went over time",
        description=f"Totals when they had changed, {POINT_SECONDS} s apart or more, {MOST_POINTS} at most "
        "however long it runs; the last is that of its end.",
        handler=list_progress,
        scope=Scope.READ,
        rate=Rate.READ,
        path_model=CampaignPath,
        answers={200: shapes.Progress},
    ),
    Operation(
        id="listReasons",
        method="GET",
        path="/v1/campaigns/{id}/reasons",
        tag=_TAG,
        summary="Read why messages reached nobody",
        description="The five commonest reasons.",
        handler=list_reasons,
        scope=Scope.READ,
        rate=Rate.READ,
        path_model=CampaignPath,
        answers={200: shapes.ReasonPage},
    ),
    Operation(
        id="listBatches",
        method="GET",
        path="/v1/campaigns/{id}/batches",
        tag=_TAG,
        summary="List a campaign's batches",
        handler=list_batches,
        scope=Scope.READ,
        rate=Rate.READ,
        path_model=CampaignPath,
        query=Paged,
        answers={200: shapes.BatchPage},
    ),
    Operation(
        id="listRefused",
        method="GET",
        path="/v1/campaigns/{id}/refused",
        tag=_TAG,
        summary="List the rows that were not taken in",
        description="With `Accept: text/csv` all of them as CSV, streamed: row, reason, column.",
        handler=list_refused,
        scope=Scope.READ,
        rate=Rate.READ,
        path_model=CampaignPath,
        query=Paged,
        answers={200: shapes.RefusalPage},
        streams_out=(CSV,),
    ),
)
