"""Operations on single messages: numbers and texts, so another scope than the totals."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, Literal, Self

from aiohttp import web
from pydantic import ConfigDict, Field, model_validator

from campaigns import auditing, reading
from campaigns.domain.access import Scope
from campaigns.domain.errors import NotFound
from campaigns.domain.message_ref import REFERENCE_PATTERN, MessageKey, key_of
from campaigns.domain.states import MessageState
from campaigns.reading import By
from campaigns.store.reading.pages import BEGINNING, Position
from worker import csv_cells, shapes
from worker.web.api import cursors
from worker.web.api.campaigns import CampaignPath, Cursor, Paged, header
from worker.web.api.operations import Answer, Asked, Call, Line, Operation, Rate, Region
from worker.web.api.problems import Kind, Refused
from worker.web.api.streams import stream

_TAG = "Messages"
_SEARCH_SECONDS = 30.0  # a search by number or provider id reads all messages
_PART_CHARACTERS = 65_536  # gathered before they are sent
_MEDIA_TYPES = {"csv": "text/csv", "jsonl": "application/jsonl"}


class MessageFilter(Paged):
    """Which messages of a campaign."""

    state: MessageState | None = None
    reason: Annotated[Line | None, Field(description="As `…/reasons` has it.")] = None


class ExportFilter(Asked):
    """Which messages, and how they are written."""

    format: Literal["csv", "jsonl"] = "csv"
    state: MessageState | None = None
    raw: Annotated[bool, Field(description="CSV: no apostrophe before values that look like formulas.")] = (
        False
    )


class MessagePath(Asked):
    """Names a message."""

    reference: str = Field(
        pattern=REFERENCE_PATTERN,
        description="The message's reference.",
        examples=["0de42725799e4b488047b343181269fe-1-0"],
    )


class Search(Asked):
    """What a message is looked for by: exactly one of the three."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}}}
                for name in ("phone", "reference", "provider_message_id")
            ]
        }
    )

    phone: Annotated[Line | None, Field(examples=["+37060000001"])] = None
    reference: Line | None = None
    provider_message_id: Line | None = None
    region: Region | None = None
    account: Line | None = None
    limit: Annotated[int, Field(ge=1, le=cursors.MOST_ITEMS)] = 100
    cursor: Cursor = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.given()) != 1:
            raise ValueError("give exactly one of phone, reference and provider_message_id")
        return self

    def given(self) -> list[tuple[By, str]]:
        """What is looked for, and by what."""
        named: list[tuple[By, str | None]] = [
            ("phone", self.phone),
            ("reference", self.reference),
            ("id", self.provider_message_id),
        ]
        return [(by, value) for by, value in named if value is not None]


async def list_messages(call: Call, path: CampaignPath, query: MessageFilter) -> Answer:
    """A page of a campaign's messages."""
    await header(call, path.id)
    after = BEGINNING
    if query.cursor is not None:
        after = Position(*cursors.read_numbers(query.cursor, 2))
    found = await reading.message_page(
        call.parts.database,
        path.id,
        limit=query.limit + 1,
        after=after,
        state=query.state,
        reason=query.reason,
    )
    items, last = cursors.cut(found, query.limit)
    return Answer(
        shapes.MessagePage(
            items=[shapes.Message.of(row) for _, row in items],
            next_cursor=last and cursors.write(last[0].number, last[0].position),
        )
    )


async def search_messages(call: Call, body: Search) -> Answer:
    """The messages to a number, of a reference or of a provider's id."""
    ((by, typed),) = body.given()
    value = reading.sought(by, typed, body.region)
    before = None if body.cursor is None else cursors.read_moment_and(_key, body.cursor, "/body/cursor")
    try:
        async with asyncio.timeout(_SEARCH_SECONDS):
            found = await reading.messages(
                call.parts.database,
                by=by,
                value=value,
                account=body.account,
                reach=call.caller.reach,
                limit=body.limit + 1,
                before=before,
            )
    except TimeoutError:
        raise Refused(
            Kind.BUSY, f"the search took more than {_SEARCH_SECONDS:g} s", retry_after_seconds=60
        ) from None
    items, last = cursors.cut(found, body.limit)
    return Answer(
        shapes.FoundMessages(
            items=[shapes.TracedMessage.of(row) for row in items],
            next_cursor=last and cursors.write(last.updated_at.isoformat(), last.reference),
        )
    )


def _key(reference: str) -> MessageKey:
    found = key_of(reference)
    if found is None:
        raise ValueError("no reference of ours")
    return found


async def get_message(call: Call, path: MessagePath) -> Answer:
    """One message."""
    found = await reading.messages(
        call.parts.database, by="reference", value=path.reference, reach=call.caller.reach
    )
    if not found:
        raise NotFound("there is no such message")
    return Answer(shapes.TracedMessage.of(found[0]))


@asynccontextmanager
async def _room_for_an_export(call: Call) -> AsyncIterator[None]:
    if call.shared.exports.locked():
        raise Refused(Kind.BUSY, "too many exports run already", retry_after_seconds=30)
    async with call.shared.exports:
        yield


async def export_messages(call: Call, path: CampaignPath, query: ExportFilter) -> web.StreamResponse:
    """Every message of a campaign, streamed."""
    await header(call, path.id)
    state = None if query.state is None else query.state.value
    await auditing.record(
        call.parts.database, call.caller.actor, "campaign.export", f"campaign/{path.id}", state=state
    )
    columns, lines = await reading.export(call.parts.database, path.id, state=query.state)
    async with aclosing(lines):
        parts = _parts_of(columns, lines, query)
        return await stream(call, _MEDIA_TYPES[query.format], f"{path.id}.{query.format}", parts)


async def _parts_of(
    columns: list[str], lines: AsyncGenerator[dict[str, Any], None], query: ExportFilter
) -> AsyncIterator[bytes]:
    held = [csv_cells.head_line(columns, raw=query.raw)] if query.format == "csv" else []
    held_characters = 0
    async for line in lines:
        if query.format == "csv":
            cells = ((name, line.get(name)) for name in columns)
            held.append(csv_cells.line(cells, raw=query.raw))
        else:
            held.append(json.dumps(line) + "\n")
        held_characters += len(held[-1])
        if held_characters >= _PART_CHARACTERS:
            yield "".join(held).encode(errors="backslashreplace")
            held, held_characters = [], 0
    yield "".join(held).encode(errors="backslashreplace")


OPERATIONS = (
    Operation(
        id="listMessages",
        method="GET",
        path="/v1/campaigns/{id}/messages",
        tag=_TAG,
        summary="List a campaign's messages",
        handler=list_messages,
        scope=Scope.READ_RECIPIENTS,
        rate=Rate.READ,
        path_model=CampaignPath,
        query=MessageFilter,
        answers={200: shapes.MessagePage},
        links={"getMessage": {"reference": "$response.body#/items/0/reference"}},
    ),
    Operation(
        id="exportMessages",
        method="GET",
        path="/v1/campaigns/{id}/export",
        tag=_TAG,
        summary="Export a campaign's messages",
        description="Every recipient and what became of the message, in order of row, as at one moment.",
        handler=export_messages,
        scope=Scope.READ_RECIPIENTS,
        rate=Rate.EXPORT,
        path_model=CampaignPath,
        query=ExportFilter,
        streams_out=tuple(_MEDIA_TYPES.values()),
        problems=(Kind.BUSY,),
        admit=_room_for_an_export,
    ),
    Operation(
        id="searchMessages",
        method="POST",
        path="/v1/messages/search",
        tag=_TAG,
        summary="Look for messages by number, reference or provider's id",
        description="By POST, so that no number is in an address. Newest first: what changes meanwhile is "
        "missed. A search by number or by provider's id "
        f"reads all messages, for at most {_SEARCH_SECONDS:g} s.",
        handler=search_messages,
        scope=Scope.READ_RECIPIENTS,
        rate=Rate.SEARCH,
        body=Search,
        answers={200: shapes.FoundMessages},
        links={"getMessage": {"reference": "$response.body#/items/0/reference"}},
        problems=(Kind.BUSY,),
    ),
    Operation(
        id="getMessage",
        method="GET",
        path="/v1/messages/{reference}",
        tag=_TAG,
        summary="Read one message with its timeline",
        handler=get_message,
        scope=Scope.READ_RECIPIENTS,
        rate=Rate.READ,
        path_model=MessagePath,
        answers={200: shapes.TracedMessage},
    ),
)
