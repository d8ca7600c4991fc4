"""Takes a campaign in: normalise, dedupe, suppress, render, persist; once per submission key.

Rows stream through in portions, memory stays flat; nothing is visible before everything is stored.
A row that cannot be sent to is refused with its number and reason; what makes the whole submission
doubtful (a missing column, a torn row) is an error, and nothing is stored.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from uuid import UUID, uuid4

from campaigns.cleaning import REASONS, Cleaner, Portion, Wanted
from campaigns.domain.allowance import UNBOUNDED, Allowance
from campaigns.domain.blocks import Block, Row, in_blocks
from campaigns.domain.errors import NotWhatWasChecked, SubmissionError, is_harmless, shown_column
from campaigns.domain.following import Followed
from campaigns.domain.limits import AccountTerms, too_long, wrong_sender
from campaigns.domain.phone import REFUSED_KINDS, check_region
from campaigns.domain.policy import BATCH_SIZE, Policy
from campaigns.domain.recipients import MAX_ROW_CHARACTERS
from campaigns.domain.schedule import ALWAYS, Schedule, check_schedule
from campaigns.domain.text import TemplateError
from campaigns.domain.unstorable import UNSTORABLE_CHARACTERS, check_storable
from campaigns.staging import staged
from campaigns.store.filling import Filling
from campaigns.store.session import Database
from campaigns.store.submission import Intake, NewCampaign, NobodyToSendTo, TakenIn

MAX_TEXT_CHARACTERS = 10_000  # before columns are filled in
MAX_NAME_CHARACTERS = 200  # of a campaign, a submission key, an account, a phone column
MAX_SENDER_ID_CHARACTERS = 16  # less where the provider says so
MAX_TASK_RECIPIENTS = 100_000
"""Of one list that another program made, which is held in memory whole. A file may have any number."""

ONCE_WITHIN_SECONDS = 23.5 * 3600
"""A day, less half an hour: a daily job may start a bit earlier than the day before, and is no repeat."""

_MOST_BITS = 1024  # of a whole number: more is nobody's, and past 4300 digits Python writes none out

# A name and a sender id are shown on one line, in terminals too: nothing may break it or reverse it.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

OnDoubt = Literal["hold", "resend"]
"""What becomes of messages in doubt: wait for evidence, a person or the deadline; or send again."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What somebody wants sent. `text` may hold {column} placeholders; `region` (ISO 3166, in either case) is
    where numbers without a country code are at home. `sender_id`: None for the account's own. Without a key,
    a campaign of the same content within `once_within_seconds` is the one meant.
    `allow_kinds` are kinds of `REFUSED_KINDS` that are sent to all the same; `mobile_only` leaves out what
    can only be a fixed line; `literal` sends what looks like another program's placeholders as it stands.
    """

    account: AccountTerms
    text: str = field(repr=False)
    sender_id: str | None
    name: str
    submission_key: str | None = None  # unique per owner
    phone_column: str = "phone"
    region: str | None = None
    on_doubt: OnDoubt = "hold"
    schedule: Schedule = ALWAYS
    once_within_seconds: float | None = None
    is_once_by_content: bool = False  # with a key, too
    allow_kinds: Sequence[str] = ()
    mobile_only: bool = False
    literal: bool = False
    owner: str = ""  # of the API key; '': an operator's, or a task's
    followed: Followed | None = None  # whose messages the rows are: see `follow_up`
    allowance: Allowance = UNBOUNDED  # of the API key
    content_hash: str | None = None  # a check's: nothing else is taken in
    trace_parent: str | None = None  # the span that asks for it; see `domain.tracing.trace_parent`
    campaign_id: UUID = field(default_factory=uuid4, compare=False)  # of the campaign that is made, if one is


async def submit(
    database: Database,
    policy: Policy,
    submission: Submission,
    rows: Iterable[Block],
    *,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], None] | None = None,
    executor: Executor | None = None,
) -> TakenIn:
    """Take a campaign in, whole or not at all.

    Takes rows in blocks, read once, in a thread beside the loop: one of `executor`, which must have one free
    (None: of asyncio's own).
    Gives the campaign; for a key that was used before with the same content, the one it made then (`created`
    is False). `progress` hears how many rows were read.
    Raises SubmissionError, with nothing stored; NotWhatWasChecked where it is not the content it must be.
    """
    submission = completed(submission)
    cleaner = cleaner_of(submission)

    def hear(portion: Portion) -> None:
        if progress is not None:
            progress(portion.row_count)

    try:
        early = new_campaign(submission, cleaner, policy.give_up_seconds)

        async def open_filling(door: Intake, first: Portion) -> Filling | None:
            return await door.open_filling(early, first.recipients[0], batch_size)

        # A follow-up may still leave out any row when all are there.
        is_filled = cleaner.is_plain and submission.followed is None
        async with staged(
            database,
            cleaner,
            rows,
            executor=executor,
            hear=hear,
            open_filling=open_filling if is_filled else None,
        ) as door:
            wanted = new_campaign(submission, cleaner, policy.give_up_seconds)
            if submission.content_hash not in {None, wanted.content_hash}:
                raise NotWhatWasChecked("text, settings or file are not what was checked; check them again")
            taken = await door.accept(wanted, batch_size=batch_size)
    except NobodyToSendTo as nobody:
        if not nobody.refused:  # a follow-up, and meanwhile all of them were reached
            raise SubmissionError("nobody is left to send to: all were reached meanwhile") from nobody
        raise SubmissionError(nobody_to_send_to(cleaner, nobody.refused)) from nobody
    return replace(
        taken,
        costly=tuple(cleaner.costly.characters),
        saved_segment_count=cleaner.costly.saved_segment_count,
    )


def new_campaign(submission: Submission, cleaner: Cleaner, give_up_seconds: float) -> NewCampaign:
    """What a completed submission becomes, now that its rows are cleaned."""
    return NewCampaign(
        id=submission.campaign_id,
        name=submission.name,
        account=submission.account.name,
        sender_id=submission.sender_id or "",
        text=submission.text if not cleaner.is_plain else cleaner.plain_text,
        submission_key=submission.submission_key,
        content_hash=_content_hash(submission, cleaner),
        currency=submission.account.currency,
        give_up_seconds=give_up_seconds,
        on_doubt=submission.on_doubt,
        schedule=submission.schedule,
        once_within_seconds=submission.once_within_seconds,
        is_once_by_content=submission.is_once_by_content,
        noted=dict(sorted(cleaner.noted.items())),
        owner=submission.owner,
        followed=submission.followed,
        allowance=submission.allowance,
        account_allowance=submission.account.allowance,
        trace_parent=submission.trace_parent,
    )


def _content_hash(submission: Submission, cleaner: Cleaner) -> str:
    if submission.followed is None:
        return cleaner.content_hash()
    # Which messages it takes in changes from hour to hour: a request that is repeated must be the same.
    identity = [
        *submission.followed.identity(),
        submission.account.name,
        submission.sender_id,
        submission.text,
        submission.on_doubt,
        *submission.schedule.words(),
        submission.literal,
    ]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def completed(submission: Submission) -> Submission:
    """The same with what its account decides, checked: what can be said of it before its rows are read.

    Idempotent. Raises SubmissionError.
    """
    account, text, region = submission.account, submission.text, submission.region
    # Other programs are not held to our types: what is no text is refused by `_check`.
    if isinstance(text, str) and "{" not in text and (wrong := too_long(account.limits, text)):
        raise SubmissionError(wrong)
    submission = replace(
        submission,
        sender_id=sender_of(account, submission.sender_id),
        region=(region.upper() or None) if isinstance(region, str) else region,
    )
    _check(submission)
    return submission


def sender_of(account: AccountTerms, sender_id: str | None) -> str | None:
    """Who a campaign is from: what was given, else the account's own; None where the provider takes no sender
    id. Raises SubmissionError for none where one is needed, or one that the provider's documents rule out.
    """
    chosen = sender_id or account.sender_id
    if chosen is None and account.needs_sender_id:
        raise SubmissionError(
            f"there is no sender id; give one, or set CAMPAIGNS_ACCOUNTS__{account.name.upper()}__SENDER_ID"
        )
    if isinstance(chosen, str) and (wrong := wrong_sender(account.limits, chosen)):
        raise SubmissionError(wrong)
    return chosen


def cleaner_of(submission: Submission, *, keeps_refused: bool = False) -> Cleaner:
    """What cleans the rows of a completed submission. Raises SubmissionError if its text cannot be read."""
    choices = [submission.allow_kinds and sorted(submission.allow_kinds), submission.mobile_only]
    identity = [
        submission.account.name,
        submission.sender_id,
        submission.text,
        submission.region,
        submission.on_doubt,
        submission.phone_column.strip().casefold(),
        *submission.schedule.words(),
        # Left out where they are not made: what was submitted before there were any keeps its hash.
        *(choices if any(choices) else ()),
    ]
    wanted = Wanted(
        text=submission.text,
        region=submission.region,
        phone_column=submission.phone_column,
        identity=identity,
        allow_kinds=frozenset(submission.allow_kinds),
        is_mobile_only=submission.mobile_only,
        is_literal=submission.literal,
    )
    try:
        return Cleaner(wanted, keeps_refused=keeps_refused)
    except TemplateError as error:
        raise SubmissionError(f"the text cannot be used: {error}") from error


def blocks_of(recipients: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    """Blocks of rows out of a list another program made: numbered from 1, scalars as text, null as nothing.

    Raises SubmissionError when it is no list, and at the first recipient that is not an object of scalars.
    """
    return in_blocks(_rows_of(recipients))


def _rows_of(recipients: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    if not isinstance(recipients, list | tuple):
        raise SubmissionError("the recipients are no list; give a list of objects such as {'phone': '…'}")
    if len(recipients) > MAX_TASK_RECIPIENTS:
        raise SubmissionError(
            f"there are {len(recipients)} recipients in one list, which may have {MAX_TASK_RECIPIENTS}; "
            "cut it into several submissions, or hand a file to: campaigns submit"
        )
    for row, recipient in enumerate(recipients, 1):
        if not isinstance(recipient, Mapping):
            raise SubmissionError(f"recipient {row} is not an object; give objects such as {{'phone': '…'}}")
        for position, (name, value) in enumerate(recipient.items(), 1):
            if not isinstance(name, str):  # 7 and "7" would become one field, and one of them be lost
                raise SubmissionError(f"recipient {row}: the name of field {position} is no text; give text")
            if not _is_plain(value):
                raise SubmissionError(
                    f"recipient {row}: the field {shown_column(name, position)} holds no plain value; "
                    "give text or a number"
                )
        fields = {name: _as_text(value) for name, value in recipient.items()}
        if sum(map(len, fields)) + sum(map(len, fields.values())) > MAX_ROW_CHARACTERS:
            raise SubmissionError(
                f"recipient {row} has more than {MAX_ROW_CHARACTERS} characters; shorten it"
            )
        yield row, fields


def _is_plain(value: object) -> bool:
    match value:
        case None | bool() | str():
            return True
        case int():
            return value.bit_length() <= _MOST_BITS
        case float():
            return math.isfinite(value)
        case _:
            return False


def _as_text(value: str | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _check(submission: Submission) -> None:
    check_region(submission.region)
    if submission.on_doubt not in get_args(OnDoubt):
        raise SubmissionError("on_doubt must be hold or resend")
    check_schedule(submission.schedule, datetime.now(UTC))
    for name, value in (
        ("text", submission.text),
        ("sender id", "" if submission.sender_id is None else submission.sender_id),
        ("name", submission.name),
        ("account", submission.account.name),
        ("phone column", submission.phone_column),
        ("submission key", "" if submission.submission_key is None else submission.submission_key),
    ):
        check_storable(name, value)
    if not submission.text.strip():
        raise SubmissionError("the text is empty; give the words to be sent")
    if len(submission.text) > MAX_TEXT_CHARACTERS:
        raise SubmissionError(f"the text has more than {MAX_TEXT_CHARACTERS} characters; shorten it")
    if submission.sender_id is not None and not submission.sender_id.strip():
        raise SubmissionError("there is no sender id; give one, or set the account's SENDER_ID")
    if submission.submission_key is not None and not 0 < len(submission.submission_key) <= 200:
        raise SubmissionError("the submission key must have 1 to 200 characters")
    _check_line("name", submission.name, MAX_NAME_CHARACTERS)
    if submission.sender_id is not None:
        _check_line("sender id", submission.sender_id, MAX_SENDER_ID_CHARACTERS)
    for name, value in (("account", submission.account.name), ("phone column", submission.phone_column)):
        if len(value) > MAX_NAME_CHARACTERS:
            raise SubmissionError(f"the {name} has more than {MAX_NAME_CHARACTERS} characters; shorten it")
    _check_kinds(submission.allow_kinds)
    for name, choice in (("mobile_only", submission.mobile_only), ("literal", submission.literal)):
        if not isinstance(choice, bool):  # the text "false" would mean true
            raise SubmissionError(f"{name} must be true or false")


def check_name(name: str) -> str:
    """A campaign's name, as it may be. Raises SubmissionError."""
    check_storable("name", name)
    _check_line("name", name, MAX_NAME_CHARACTERS)
    return name


def _check_line(name: str, value: str, most: int) -> None:
    if not 0 < len(value.strip()) <= most or len(value) > most or _UNPRINTABLE.search(value):
        raise SubmissionError(f"the {name} must be 1 to {most} printable characters on one line")


def _check_kinds(kinds: Sequence[str]) -> None:
    # Other programs are not held to our types.
    is_list = isinstance(kinds, Sequence) and not isinstance(kinds, str)
    if not is_list or not all(isinstance(kind, str) and kind in REFUSED_KINDS for kind in kinds):
        raise SubmissionError(f"the kinds that can be allowed are: {', '.join(REFUSED_KINDS)}")


def name_of(title: str) -> str:
    """A campaign's name out of a file's: what is printable of it, cut to what is allowed."""
    name = _UNPRINTABLE.sub("", UNSTORABLE_CHARACTERS.sub("", title)).strip()[:MAX_NAME_CHARACTERS]
    return name.strip() or "campaign"


def nobody_to_send_to(cleaner: Cleaner, refused: Mapping[str, int]) -> str:
    """Why a submission is refused whose every row was, in one sentence."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(refused.items()))
    row, reason, column = cleaner.first_refusal or (0, "duplicate", None)
    about = f" (column {column})" if column is not None and is_harmless(column) else ""
    return (
        f"not one of the {cleaner.row_count} recipients can be sent to ({reasons}); "
        f"the first is row {row}{about}: {REASONS[reason]}"
    )
