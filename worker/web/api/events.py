"""How a campaign goes, as server-sent events: one state after the other, until it is over."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from aiohttp import web
from pydantic import Field

from campaigns import reading
from campaigns.domain.access import Scope
from worker.web.api.campaigns import CampaignPath, owned
from worker.web.api.operations import Asked, Call, Operation, Rate
from worker.web.api.problems import Kind, Refused
from worker.web.streams import (
    HEARTBEAT_SECONDS,
    MEDIA_TYPE,
    MOST_STREAMS_OF_A_KEY,
    State,
    Streams,
    TooMany,
    event_stream,
    tell,
)

STREAMS = web.AppKey("streams", Streams)

LONGEST_SECONDS = 900.0
"""A stream ends after so long, and the client comes again: its key is looked at anew."""

_RETRY_SECONDS = 30  # before a client for whom there was no room asks again


class LastSeen(Asked):
    """What a client that comes again saw last."""

    last_event_id: Annotated[
        str | None,
        Field(
            alias="Last-Event-ID",
            max_length=100,
            description="The `id` of the last event that was seen: that state is not told again.",
        ),
    ] = None


@asynccontextmanager
async def room_for_a_stream(call: Call) -> AsyncIterator[None]:
    """For the length of the block. Raises Refused where there is none."""
    try:
        with call.request.app[STREAMS].client(call.caller.key.id):
            yield
    except TooMany as full:
        kind = Kind.TOO_MANY_REQUESTS if full.is_of_key else Kind.BUSY
        detail = (
            f"a key may hold {MOST_STREAMS_OF_A_KEY} streams at once" if full.is_of_key else "too many watch"
        )
        raise Refused(kind, detail, retry_after_seconds=_RETRY_SECONDS) from None


async def watch_campaign(call: Call, path: CampaignPath, headers: LastSeen) -> web.StreamResponse:
    """A campaign's states as they come, and its end."""

    async def look() -> State:
        return State.of_campaign(await reading.status(call.parts.database, path.id))

    first = State.of_campaign(await owned(call, path.id))
    if first.is_last and first.id == headers.last_event_id:
        return web.Response(status=204, headers={"Cache-Control": "no-store"})
    return await tell(
        call.request,
        event_stream(),
        first,
        call.request.app[STREAMS].watch(path.id, look),
        seen=headers.last_event_id,
        longest_seconds=LONGEST_SECONDS,
    )


OPERATIONS = (
    Operation(
        id="watchCampaign",
        method="GET",
        path="/v1/campaigns/{id}/events",
        tag="Campaigns",
        summary="Watch a campaign",
        description="Server-sent events: `status` with the campaign whenever it has changed, once a second "
        "at most, and `end` with it when it is over; then the stream ends. Both hold the same object as "
        f"`getCampaign`. A comment comes each {HEARTBEAT_SECONDS:g} s. A stream that ends without `end` "
        f"(after {LONGEST_SECONDS / 60:g} minutes, or when the server stops) is asked for again with "
        "`Last-Event-ID`.",
        handler=watch_campaign,
        scope=Scope.READ,
        rate=Rate.READ,
        path_model=CampaignPath,
        headers=LastSeen,
        streams_out=(MEDIA_TYPE,),
        no_content="It is over, and the client has seen its end: do not come again.",
        problems=(Kind.BUSY,),
        admit=room_for_a_stream,
    ),
)
