"""The operation that says what a campaign would become: stores nothing, sends nothing."""

from collections.abc import AsyncIterator, Iterable

from aiohttp import web

from campaigns import checking
from campaigns.checking import Checked, Through
from campaigns.domain.access import Scope
from campaigns.submission import Submission
from worker import shapes
from worker.mending import Mending, mending
from worker.web.api.operations import Answer, Call, Operation, Rate
from worker.web.api.problems import Kind
from worker.web.api.streams import CSV, stream, wants_csv
from worker.web.api.submitting import (
    ABOUT,
    BODY_BYTES,
    STREAMS_IN,
    Coming,
    Form,
    KeyHeader,
    Query,
    Recipients,
    admit,
    coming,
    wanted_of,
)


async def check_campaign(
    call: Call, query: Query, headers: KeyHeader, body: Recipients | None
) -> Answer | web.StreamResponse:
    """Say what a campaign would become; as CSV, which rows of it are to be mended."""
    if not wants_csv(call):
        return Answer(shapes.Check.of(await _checked(call, query, headers, body, None)))
    with mending() as kept:
        await _checked(call, query, headers, body, kept)
        return await stream(call, CSV, "refused.csv", each(kept.parts()))


async def each(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Parts that are there already, as a stream sends them."""
    for part in parts:
        yield part


async def _checked(
    call: Call, query: Query, headers: KeyHeader, body: Recipients | None, kept: Mending | None
) -> Checked:
    async with coming(call, query, body) as found:
        return await judge(call, wanted_of(call, found.told, headers), found, kept)


async def judge(call: Call, wanted: Submission, found: Coming, kept: Mending | None = None) -> Checked:
    """What a submission would become; `kept` keeps its refused rows. Raises SubmissionError, UploadFailed."""
    parts = call.parts
    name = wanted.account.name
    through = Through(parts.settings.account(name).requests_per_second, parts.desk.accounts[name].provider)
    return await checking.check(
        parts.database,
        wanted,
        found.rows,
        through,
        executor=found.executor,
        hear=kept.add if kept is not None else None,
        keeps_refused=kept is not None,
    )


OPERATIONS = (
    Operation(
        id="checkCampaign",
        method="POST",
        path="/v1/campaigns/check",
        tag="Submit",
        summary="Say what a campaign would become and cost",
        description="Nothing is stored and nothing is sent. With `Accept: text/csv` the answer is the refused"
        f" rows, to be mended and submitted: own cells, row, reason, how_to_mend. {ABOUT}",
        handler=check_campaign,
        scope=Scope.SUBMIT,
        rate=Rate.SUBMIT,
        query=Query,
        headers=KeyHeader,
        body=Recipients,
        body_bytes=BODY_BYTES,
        streams_in=STREAMS_IN,
        form=Form,
        answers={200: shapes.Check},
        streams_out=(CSV,),
        problems=(Kind.SUBMISSION_KEY_REUSED, Kind.BUSY),
        admit=admit,
    ),
)
