"""How a campaign goes, as server-sent events: one state after the other, until it is over."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from aiohttp import web
from pydantic import Field

from campaigns.domain.access import Scope
from worker.web.api.campaigns import CampaignPath, owned
from worker.web.api.operations import Asked, Call, Operation, Rate
from worker.web.api.problems import Kind, Refused
from worker.web.streams import LOOK_SECONDS, MOST_STREAMS_OF_A_KEY, State, Streams, TooMany, Watched, Writer

STREAMS = web.AppKey("streams", Streams)

HEARTBEAT_SECONDS = 15.0
"""After which a stream that has nothing to tell says that it lives."""

LONGEST_SECONDS = 900.0
"""A stream ends after so long, and the client comes again: its key is looked at anew."""

_RETRY_SECONDS = 30  # before a client for whom there was no room asks again
_AGAIN_MILLISECONDS = 3_000  # before a client whose stream ended comes again
_SEND_BUFFER_BYTES = 16 * 1024  # that the kernel keeps for a client who does not read
_HEARTBEAT = ": \n\n"
_MEDIA_TYPE = "text/event-stream"


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
async def _room_for_a_stream(call: Call) -> AsyncIterator[None]:
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
    first = State.of(await owned(call, path.id))
    if first.is_last and first.id == headers.last_event_id:
        return web.Response(status=204, headers={"Cache-Control": "no-store"})
    response = web.StreamResponse(
        headers={
            "Content-Type": _MEDIA_TYPE,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Accel-Buffering": "no",  # nginx would hold events back
        }
    )
    _hold_little(call.request)
    await response.prepare(call.request)
    writer = Writer(call.request, response)
    try:
        if first.is_last:
            await writer.end(first.text)
        else:
            await writer.write(f"retry: {_AGAIN_MILLISECONDS}\n\n")
            async with call.request.app[STREAMS].watch(path.id) as watched:
                await _tell(writer, watched, first, headers.last_event_id)
    except ConnectionError:
        return response  # nobody is there to be told
    return response


async def _tell(writer: Writer, watched: Watched, state: State, seen: str | None) -> None:
    now = asyncio.get_running_loop().time
    ends_at = now() + LONGEST_SECONDS
    while True:
        if state.is_last:
            return await writer.end(state.text)
        if watched.is_over or now() >= ends_at:
            return await writer.end()
        was_taken = await writer.write(_HEARTBEAT if state.id == seen else state.text)
        seen = state.id if was_taken else seen
        if not watched.is_over and (watched.state is None or watched.state.id == state.id):
            await watched.wait(HEARTBEAT_SECONDS if was_taken else LOOK_SECONDS)
        state = watched.state or state


def _hold_little(request: web.Request) -> None:
    """A client that does not read is noticed the sooner the less the kernel keeps for it."""
    connection = request.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)


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
        streams_out=(_MEDIA_TYPE,),
        no_content="It is over, and the client has seen its end: do not come again.",
        problems=(Kind.BUSY,),
        admit=_room_for_a_stream,
    ),
)
