"""Operations that take recipients in: submit a campaign, and check what one would become.

A small list comes as JSON. A file of any size comes as CSV, JSON lines or a form, and is cleaned while it
comes: it is never held, and a client that hangs up leaves nothing.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema

from campaigns import auditing, reading, submission
from campaigns.domain.access import Scope
from campaigns.domain.blocks import Block
from campaigns.domain.errors import NotFound
from campaigns.domain.phone import REFUSED_KINDS
from campaigns.domain.recipients import Format, read_recipients
from campaigns.domain.schedule import Schedule
from campaigns.domain.tracing import TRACE_HEADER, trace_parent
from campaigns.store.submission import TakenIn
from campaigns.submission import ONCE_WITHIN_SECONDS, Submission
from worker import shapes
from worker.web.api.forms import SentForm, read_form
from worker.web.api.operations import FORM, Answer, Asked, Call, Line, Moment, Operation, Rate, Region
from worker.web.api.problems import Kind, Mistake, Refused, mistakes
from worker.web.api.serving import go_on
from worker.web.uploads import Busy, LargeSubmissions, Upload, UploadFailed

LARGE = web.AppKey("large", LargeSubmissions)
"""The large submissions of a process, in its application."""

MOST_RECIPIENTS = 10_000
"""Of a JSON body, which is held in memory whole. A file may have any number."""

BODY_BYTES = 5_000_000
"""Of a JSON body."""

MOST_QUERY_CHARACTERS = 1_600
"""Of a text in a query, where each may take twelve bytes: a head has a bound (`server.MOST_LINE_BYTES`)."""

_RETRY_AFTER_SECONDS = 10  # told where there is no room for another large submission
_TAG = "Submit"
_STREAMS: Mapping[str, Format] = {
    "text/csv": "csv",
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
}
STREAMS_IN = {
    "text/csv": "A row for each recipient, the first names the columns; any size. Fields are in the query.",
    "application/jsonl": "An object for each recipient on a line of its own. Fields are in the query.",
    "application/x-ndjson": "The same.",
    FORM: "The fields, a longer text too, then `file`, which is CSV or JSON lines.",
}


def _listed(given: object) -> object:
    return [given] if isinstance(given, str) else given  # a query with one of them


_AllowKinds = Annotated[
    tuple[Annotated[Line, WithJsonSchema({"type": "string", "enum": [*REFUSED_KINDS]})], ...],
    BeforeValidator(_listed),
    Field(
        strict=False,  # the list that the function above gives is a tuple, too
        max_length=len(REFUSED_KINDS),
        description=f"Kinds of numbers to send to, too: {', '.join(REFUSED_KINDS)}.",
    ),
]
_Text = Annotated[
    str,
    Field(
        min_length=1,
        max_length=submission.MAX_TEXT_CHARACTERS,
        description="{column} is filled in for each recipient, {column|else} where it is empty.",
        examples=["Hello {name}"],
    ),
]
_Account = Annotated[Line, Field(description="The account to send through.", examples=["main"])]
_Cell = str | int | float | bool | None


class Options(Asked):
    """How a campaign is to be sent."""

    name: Annotated[Line, Field(description="For people.")] = "API"
    sender_id: Annotated[
        Line | None, Field(description="What phones show as the sender; else the account's own.")
    ] = None
    phone_column: Annotated[Line, Field(description="The column with the number.")] = "phone"
    region: Region | None = None
    on_doubt: Annotated[
        Literal["hold", "resend"],
        Field(description="Messages in doubt: hold them, or send them again (a second text is possible)."),
    ] = "hold"
    send_at: Annotated[Moment | None, Field(description="Nothing is handed over before.")] = None
    not_after: Annotated[Moment | None, Field(description="What is left then expires.")] = None
    allow_kinds: _AllowKinds = ()
    mobile_only: Annotated[bool, Field(description="Leave out what can only be a fixed line.")] = False
    literal: Annotated[bool, Field(description="Send {{name}}, [name] and the like as they stand.")] = False


class Told(Options):
    """What is to be sent, and through which account."""

    account: _Account
    text: _Text


class Query(Options):
    """The same, in the query: for a body that is a file. A JSON body or a form has them in itself."""

    account: _Account | None = None
    text: Annotated[
        _Text | None,
        Field(max_length=MOST_QUERY_CHARACTERS, description="A longer one needs a form."),
    ] = None


def _few(given: object) -> object:
    if isinstance(given, list) and len(given) > MOST_RECIPIENTS:
        raise ValueError(
            f"too many: {MOST_RECIPIENTS} at most as JSON; send more as text/csv or application/jsonl, with "
            "the file as the body"
        )
    return given


class Recipients(Told):
    """A campaign with its recipients: objects of plain values, among them the number."""

    recipients: Annotated[
        list[dict[str, _Cell]],
        BeforeValidator(_few),
        Field(
            min_length=1,
            max_length=MOST_RECIPIENTS,
            examples=[[{"phone": "+37060000001", "name": "Ona"}]],
        ),
    ]


class Form(Told):
    """The same as a form, with the file last: what comes after it is refused."""

    # Not marked as required, though it is: generated clients send what is required first.
    file: Annotated[
        str,
        Field(description="CSV or JSON lines, a recipient each; has to be there, after all fields."),
        WithJsonSchema({"type": "string", "format": "binary"}),
    ] = ""


class KeyHeader(Asked):
    """By what a repeated request is known."""

    idempotency_key: Annotated[
        str | None,
        Field(
            alias="Idempotency-Key",
            min_length=1,
            max_length=402,  # 200 characters, each escaped, and the quotes
            description="The submission key: the same key with the same content is the same campaign."
            " In quotes or bare. Without one, the same content within 23.5 hours is the same campaign.",
        ),
    ] = None

    def key(self) -> str | None:
        """The key itself; in quotes it is a string of RFC 8941, 3.3.3."""
        given = self.idempotency_key
        if given is None or len(given) < 2 or not given.startswith('"') or not given.endswith('"'):
            return given
        return given[1:-1].replace('\\"', '"').replace("\\\\", "\\")


@dataclass(frozen=True, slots=True)
class Coming:
    """A submission on its way in: what was told, its rows, and whose threads clean them (None: asyncio's)."""

    told: Told
    rows: Iterable[Block]
    executor: Executor | None


@asynccontextmanager
async def admit(call: Call) -> AsyncIterator[None]:
    """A slot for a body that is streamed, before its first byte is read."""
    if call.request.content_type not in STREAMS_IN:
        yield
        return
    async with slot(call):
        yield


@asynccontextmanager
async def slot(call: Call) -> AsyncIterator[None]:
    """One of the large submissions that a process may have at once. Raises Refused where there is none."""
    try:
        with call.request.app[LARGE].slot():
            yield
    except Busy:
        raise Refused(
            Kind.BUSY,
            "as many large submissions are under way as there may be",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        ) from None


@asynccontextmanager
async def coming(call: Call, query: Query, body: Recipients | None) -> AsyncIterator[Coming]:
    """What was sent, to be read once within the block. Raises Refused."""
    media_type = call.request.content_type
    # What is as it is anyhow does no harm: generated clients send defaults.
    told_there = sorted(name for name, value in query if value != Query.model_fields[name].default)
    if media_type not in _STREAMS and told_there:
        where = f"/query/{told_there[0]}"
        raise Refused(Kind.INVALID_REQUEST, None, [Mistake(pointer=where, detail="give it in the body")])
    if body is not None:
        yield Coming(body, submission.blocks_of(body.recipients), None)
        return
    large = call.request.app[LARGE]
    upload: Upload | None = None
    try:
        if media_type in _STREAMS:
            told = told_of("query", query.model_dump(exclude_unset=True))
            _account_of(call, told, "query")
            await go_on(call.request)
            upload = large.upload(call.request.content.readany)
            rows = _rows(upload, _STREAMS[media_type])
        else:
            await go_on(call.request)
            form = await read_form(call.request, large)
            upload = form.file
            told = told_of("body", form.fields)
            rows = _rows(upload, format_of(form))
        yield Coming(told, rows, large.threads)
    except UploadFailed as failed:
        raise refusal_of_upload(failed) from None
    finally:
        if upload is not None:
            upload.give_up()  # its thread must not wait for a piece that nobody wants


_KINDS = {400: Kind.MALFORMED, 408: Kind.TOO_SLOW, 413: Kind.TOO_LARGE}


def refusal_of_upload(failed: UploadFailed) -> Refused:
    """How a body that did not come as it should is answered."""
    return Refused(_KINDS[failed.status], str(failed))


def format_of(form: SentForm) -> Format | None:
    """Of its file; None where that is to be seen in it: many programs call any file text/csv."""
    said = _STREAMS.get(form.media_type)
    return said if said == "jsonl" else None


def _rows(upload: Upload, file_format: Format | None) -> Iterable[Block]:
    """The rows of a file. Nothing is read before the first is asked for, in the thread that asks."""
    yield from read_recipients(upload.pieces(), format=file_format, name="the file")


def told_of(where: str, given: Mapping[str, object]) -> Told:
    """What is to be sent, of fields that came as text in the body or the query. Raises Refused."""
    try:
        return Told.model_validate(given, strict=False)
    except ValidationError as error:
        found = mistakes(where, error, Told)
    raise Refused(Kind.INVALID_REQUEST, None, found)


def _account_of(call: Call, told: Told, where: str) -> str:
    """The account that is meant. Raises Refused: one that the key may not use does not exist for it."""
    name = told.account.lower()
    try:
        call.parts.settings.account(name)
    except NotFound:
        name = ""
    if not name or not call.caller.reach.has_account(name):
        raise Refused(
            Kind.INVALID_REQUEST,
            None,
            [Mistake(pointer=f"/{where}/account", detail="there is no such account for this key")],
        )
    return name


def wanted_of(call: Call, told: Told, headers: KeyHeader) -> Submission:
    """The submission that is meant, of the key's owner. Raises Refused, SubmissionError."""
    where = "query" if call.request.content_type in _STREAMS else "body"
    return submission.completed(
        Submission(
            account=call.parts.settings.terms(_account_of(call, told, where)),
            text=told.text,
            sender_id=told.sender_id,
            name=told.name,
            submission_key=headers.key(),
            phone_column=told.phone_column,
            region=told.region,
            on_doubt=told.on_doubt,
            schedule=Schedule(told.send_at, told.not_after),
            once_within_seconds=ONCE_WITHIN_SECONDS,
            allow_kinds=told.allow_kinds,
            mobile_only=told.mobile_only,
            literal=told.literal,
            owner=call.caller.key.owner,
            allowance=call.caller.key.allowance,
            trace_parent=trace_parent(call.request.headers.get(TRACE_HEADER)),
        )
    )


async def submit_campaign(call: Call, query: Query, headers: KeyHeader, body: Recipients | None) -> Answer:
    """Take a campaign in. Answered once the database has it."""
    async with coming(call, query, body) as found:
        taken = await take_in(call, wanted_of(call, found.told, headers), found)
    overview = await reading.status(call.parts.database, taken.id)
    location = {"Location": f"/v1/campaigns/{taken.id}"}
    return Answer(shapes.SubmittedCampaign.taken(overview, taken), 201 if taken.created else 200, location)


async def take_in(call: Call, wanted: Submission, found: Coming) -> TakenIn:
    """Take a campaign in. Raises SubmissionError and UploadFailed."""
    database = call.parts.database
    await auditing.record(
        database,
        call.caller.actor,
        "campaign.submit",
        f"campaign/{wanted.campaign_id}",
        account=wanted.account.name,
    )
    return await submission.submit(
        database, call.parts.desk.policy, wanted, found.rows, executor=found.executor
    )


ABOUT = f"""At most {MOST_RECIPIENTS:,} recipients and {BODY_BYTES // 1_000_000} MB as JSON. A file of any
size is sent as the body itself, with the fields in the query, or as a form: it is read as it comes, and given
up when nothing came for 30 seconds."""

OPERATIONS = (
    Operation(
        id="submitCampaign",
        method="POST",
        path="/v1/campaigns",
        tag=_TAG,
        summary="Submit a campaign",
        description="201 and its address the first time, 200 and the same campaign after. A `traceparent` is"
        f" kept: the spans of its batches link to it. {ABOUT}",
        handler=submit_campaign,
        scope=Scope.SUBMIT,
        rate=Rate.SUBMIT,
        query=Query,
        headers=KeyHeader,
        body=Recipients,
        body_bytes=BODY_BYTES,
        streams_in=STREAMS_IN,
        form=Form,
        answers={201: shapes.SubmittedCampaign, 200: shapes.SubmittedCampaign},
        problems=(Kind.SUBMISSION_KEY_REUSED, Kind.BUSY),
        admit=admit,
    ),
)
