"""What a submission would become, and what it would cost: a dry run that stores nothing.

The rows are cleaned, staged and compared by the same code as a submission's, in a transaction that is never
committed. So what is said here is what `submission.submit` would then store.
"""

import asyncio
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass, field
from math import ceil
from uuid import UUID

from campaigns.cleaning import Cleaner, Portion
from campaigns.domain.blocks import Block
from campaigns.domain.errors import OverAllowance
from campaigns.domain.message_ref import message_refs
from campaigns.domain.policy import BATCH_SIZE
from campaigns.domain.provider import OutboundMessage, Provider
from campaigns.domain.segments import PLAIN_FORMS, Encoding, count_segments, plain_saving
from campaigns.estimating import Estimate, estimate
from campaigns.staging import staged
from campaigns.store import checking as staged_rows
from campaigns.store.checking import Kind, StagedMessage
from campaigns.store.session import Database
from campaigns.store.submission import Intake, NewCampaign, TakenIn, known_campaign
from campaigns.submission import Submission, cleaner_of, completed, new_campaign, nobody_to_send_to

MOST_ROWS_NAMED = 10  # of each reason
_MOST_COSTLY = 50  # characters that are named, the commonest
_SAMPLE_ROWS = 3
_SOME_CAMPAIGN = UUID(int=0)  # the references that requests are cut with only have to be as long as real ones


@dataclass(frozen=True, slots=True)
class Through:
    """What the estimate must know of the account: the requests that leave in a second, and its adapter (None:
    no balance, and one message a request).
    """

    requests_per_second: float
    provider: Provider | None = None


@dataclass(frozen=True, slots=True)
class RefusedRows:
    """Rows that would not be taken in for one reason; the first of them by number."""

    reason: str
    count: int
    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class CostlyCharacter:
    """A character that makes messages need more segments; what a keyboard has for it, where it has something.

    `row` is the first whose message holds it; `is_in_text`: it is in the campaign's text, not in a column.
    """

    character: str
    name: str
    replacement: str | None
    message_count: int
    row: int
    is_in_text: bool


@dataclass(frozen=True, slots=True)
class SampleMessage:
    """One message as it would be sent."""

    row: int
    phone: str = field(repr=False)
    text: str = field(repr=False)
    encoding: Encoding
    segment_count: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What a submission would become. Counts are of messages that would be sent unless a line says more."""

    row_count: int  # that were read
    recipient_count: int  # that would be taken in: sent to, or suppressed
    suppressed_count: int
    batch_count: int
    refused: Sequence[RefusedRows]
    trouble: str | None  # why the submission would be refused as a whole
    known: TakenIn | None  # the campaign that it already is: nothing would be stored again
    noted: Mapping[str, int]
    columns: Sequence[str]  # beside the number
    unused_columns: Sequence[str]
    segment_count: int
    encodings: Mapping[Encoding, int]
    segments: Mapping[int, int]  # messages by how many segments they need
    costly: Sequence[CostlyCharacter]
    saved_segment_count: int  # fewer, without the costly characters
    longest: SampleMessage | None
    sample: Sequence[SampleMessage]
    estimate: Estimate
    request_count: int
    duration_seconds: float  # of handing over, at the account's pace, where nothing else is sent
    content_hash: str

    @property
    def message_count(self) -> int:
        """How many texts would be sent."""
        return self.recipient_count - self.suppressed_count


async def check(
    database: Database,
    submission: Submission,
    rows: Iterable[Block],
    through: Through,
    *,
    executor: Executor | None = None,
    hear: Callable[[Portion], None] | None = None,
    keeps_refused: bool = False,
) -> Checked:
    """What `submission.submit` would make of the same. Stores nothing; any number may check at once.

    Takes what `submit` takes. `hear` hears each portion in order of rows, with `keeps_refused` also the cells
    of its refused rows; repeats of a number are not among them, and need no mending. Raises SubmissionError
    for what makes the whole submission doubtful, as `submit` does; having nobody to send to is a value.
    """
    submission = completed(submission)
    cleaner = cleaner_of(submission, keeps_refused=keeps_refused)
    async with staged(database, cleaner, rows, executor=executor, hear=hear) as intake:
        wanted = new_campaign(submission, cleaner, 0)
        known = await known_campaign(intake.connection, wanted)
        refused = await intake.refuse_duplicates()
        recipient_count = intake.recipient_count
        trouble = await _trouble(intake, wanted, cleaner, refused) if known is None else None
        suppressed_count = await staged_rows.leave_out_suppressed(intake)
        kinds = await staged_rows.kinds(intake)
        first_rows = await staged_rows.first_refused(intake, most=MOST_ROWS_NAMED)
        costly = await _costly(intake, submission, cleaner, kinds, executor)
        sample = await staged_rows.sample(intake, most=_SAMPLE_ROWS)
        longest = await staged_rows.longest(intake)
        first_batch = await staged_rows.first_batch(intake, size=BATCH_SIZE)
    message_count = recipient_count - suppressed_count
    batch_count = ceil(recipient_count / BATCH_SIZE)
    request_count = _request_count(through.provider, submission, cleaner, first_batch, message_count)
    plain = cleaner.plain_text
    columns, unused_columns = cleaner.columns()
    return Checked(
        row_count=cleaner.row_count,
        recipient_count=recipient_count,
        suppressed_count=suppressed_count,
        batch_count=batch_count,
        refused=[RefusedRows(reason, count, first_rows[reason]) for reason, count in refused.items()],
        trouble=trouble,
        known=known,
        noted=dict(sorted(cleaner.noted.items())),
        columns=columns,
        unused_columns=unused_columns,
        segment_count=sum(kind.message_count * kind.segment_count for kind in kinds),
        encodings=_encodings(kinds, count_segments(plain).encoding),
        segments=dict(sorted(_summed((kind.segment_count, kind.message_count) for kind in kinds).items())),
        costly=costly.named(submission.text),
        saved_segment_count=costly.saved_segment_count,
        longest=_shown(longest, plain) if longest is not None else None,
        sample=[_shown(each, plain) for each in sample],
        estimate=await estimate(database, submission.account, through.provider, kinds),
        request_count=request_count,
        duration_seconds=request_count / through.requests_per_second,
        content_hash=cleaner.content_hash(),
    )


async def _trouble(
    intake: Intake, wanted: NewCampaign, cleaner: Cleaner, refused: Mapping[str, int]
) -> str | None:
    if intake.recipient_count == 0:
        return nobody_to_send_to(cleaner, refused)
    try:
        await intake.check_allowance(wanted)
    except OverAllowance as over:
        return str(over)
    return None


def _summed(counts: Iterable[tuple[int, int]]) -> Counter[int]:
    summed: Counter[int] = Counter()
    for key, count in counts:
        summed[key] += count
    return summed


def _encodings(kinds: Sequence[Kind], of_plain: Encoding) -> dict[Encoding, int]:
    found: dict[Encoding, int] = {"gsm7": 0, "ucs2": 0}
    for kind in kinds:
        own: Encoding = "ucs2" if kind.is_ucs2 else "gsm7"
        found[of_plain if kind.is_ucs2 is None else own] += kind.message_count
    return found


def _shown(message: StagedMessage, plain: str) -> SampleMessage:
    text = plain if message.text is None else message.text
    encoding = count_segments(text).encoding
    return SampleMessage(message.row, message.phone, text, encoding, message.segment_count)


# --- characters that cost ----------------------------------------------------------------------------


@dataclass(slots=True)
class _Costly:
    """Costly characters, counted as messages pass by."""

    message_counts: Counter[str] = field(default_factory=Counter)
    first_rows: dict[str, int] = field(default_factory=dict)
    saved_segment_count: int = 0

    def count(self, row: int, text: str, message_count: int = 1) -> None:
        characters, saved_count = plain_saving(text)
        self.saved_segment_count += saved_count * message_count
        for character in characters:
            self.message_counts[character] += message_count
            self.first_rows[character] = min(row, self.first_rows.get(character, row))

    def count_all(self, texts: Sequence[tuple[int, str]]) -> None:
        for row, text in texts:
            self.count(row, text)

    def named(self, text: str) -> list[CostlyCharacter]:
        return [
            CostlyCharacter(
                character=character,
                name=unicodedata.name(character, f"U+{ord(character):04X}"),
                replacement=PLAIN_FORMS.get(character),
                message_count=count,
                row=self.first_rows[character],
                is_in_text=character in text,
            )
            for character, count in self.message_counts.most_common(_MOST_COSTLY)
        ]


async def _costly(
    intake: Intake,
    submission: Submission,
    cleaner: Cleaner,
    kinds: Sequence[Kind],
    executor: Executor | None,
) -> _Costly:
    costly = _Costly()
    if cleaner.is_plain:
        first = await staged_rows.sample(intake, most=1)
        if first:
            costly.count(first[0].row, cleaner.plain_text, sum(kind.message_count for kind in kinds))
        return costly
    loop = asyncio.get_running_loop()
    async with aclosing(staged_rows.own_texts_in_ucs2(intake)) as slices:
        async for texts in slices:
            await loop.run_in_executor(executor, costly.count_all, texts)
    return costly


# --- time ----------------------------------------------------------------------------------------


def _request_count(
    provider: Provider | None,
    submission: Submission,
    cleaner: Cleaner,
    batch: Sequence[StagedMessage],
    message_count: int,
) -> int:
    """How many requests it takes, if all batches are cut like the first."""
    if provider is None or not batch:
        return message_count
    references = message_refs(_SOME_CAMPAIGN, 1, range(len(batch)))
    messages = [
        OutboundMessage(reference, each.phone, cleaner.plain_text if each.text is None else each.text)
        for reference, each in zip(references, batch, strict=True)
    ]
    cut = provider.requests(messages, submission.sender_id or "")
    return ceil(message_count * len(cut) / len(batch))
