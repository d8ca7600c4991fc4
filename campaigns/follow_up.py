"""Follow-ups: a new campaign of exactly those whom another did not reach.

It is a submission whose rows are messages, and it keeps four rules, so that nobody whom the database knows to
have got the text gets it again:

* only settled messages: what is open may still arrive, or be sent by its own campaign;
* those that may have arrived only with a person's sentence;
* nobody whom an earlier follow-up of the same campaign has taken in: that one is followed up in its turn;
* looked at again in the transaction that stores it: what was delivered meanwhile is left out.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from uuid import UUID, uuid4

from campaigns.domain.allowance import UNBOUNDED, Allowance
from campaigns.domain.blocks import Block, Row, in_blocks
from campaigns.domain.errors import NotAllowed, SubmissionError, no_such_campaign
from campaigns.domain.following import Followed
from campaigns.domain.limits import AccountTerms
from campaigns.domain.phone import REFUSED_KINDS
from campaigns.domain.policy import BATCH_SIZE, Policy
from campaigns.domain.schedule import ALWAYS, Schedule
from campaigns.domain.text import Template
from campaigns.domain.visible import column_key, visible
from campaigns.store import following
from campaigns.store.following import Chosen, Source
from campaigns.store.session import Database
from campaigns.store.submission import TakenIn, known_campaign
from campaigns.submission import (
    ONCE_WITHIN_SECONDS,
    OnDoubt,
    Submission,
    cleaner_of,
    completed,
    name_of,
    new_campaign,
    submit,
)

_PHONE = "phone"


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What somebody wants sent to whom. None: as the campaign has it that is followed up. `text` may use the
    recipients' own columns, `literal` is about it alone.
    """

    followed: Followed
    text: str | None = field(default=None, repr=False)
    sender_id: str | None = None
    name: str | None = None
    submission_key: str | None = None
    on_doubt: OnDoubt | None = None
    schedule: Schedule = ALWAYS
    literal: bool = False
    once_within_seconds: float | None = ONCE_WITHIN_SECONDS
    allowance: Allowance = UNBOUNDED  # of the API key
    campaign_id: UUID = field(default_factory=uuid4, compare=False)  # of the campaign that is made
    trace_parent: str | None = None  # the span that asks for it


async def follow_up(
    database: Database,
    policy: Policy,
    wanted: FollowUp,
    terms_of: Callable[[str], AccountTerms],
    *,
    batch_size: int = BATCH_SIZE,
    executor: Executor | None = None,
) -> TakenIn:
    """Make a campaign of the chosen messages of another, whole or not at all. It has the other's owner.

    Takes what gives the terms of an account by its name (it may raise NotFound), and the executor whose
    threads clean the rows. Gives the campaign; for the same wish within a day, or of the same key, the one
    that it made then, whatever became of the messages since. Any number may run at once: those of one
    campaign wait for each other. Raises NotFound, NotAllowed, SubmissionError, with nothing stored.
    """
    followed = wanted.followed
    async with following.chosen(database, followed) as messages:
        source = await following.source(messages.connection, followed.campaign_id)
        if source is None:
            raise no_such_campaign(followed.campaign_id)
        submission = completed(_submission(wanted, source, terms_of(source.account)))
        asked = new_campaign(submission, cleaner_of(submission), policy.give_up_seconds)
        known = await known_campaign(messages.connection, asked)
        if known is not None:
            return known
        if source.is_distrusted:
            raise NotAllowed(
                f"account {source.account} is on hold, for the database went back in time: what was sent may "
                "look as if it never was; see: campaigns doctor"
            )
        found = await messages.look()
        if not found.count:
            raise SubmissionError(
                f"campaign {followed.campaign_id} has no such message that is settled and not followed up "
                "yet; nothing was stored"
            )
        phone_column = _phone_column(wanted, submission.text, found.columns)
        await messages.open()
        return await submit(
            database,
            policy,
            replace(submission, phone_column=phone_column),
            _rows(messages, phone_column),
            batch_size=batch_size,
            executor=executor,
        )


def _submission(wanted: FollowUp, source: Source, terms: AccountTerms) -> Submission:
    text, literal = wanted.text, wanted.literal
    if text is None:
        # It was taken in once, and braces that were sent are no placeholders.
        text = source.text.replace("{", "{{").replace("}", "}}") if source.is_plain else source.text
        literal = True
    return Submission(
        account=terms,
        text=text,
        sender_id=wanted.sender_id or source.sender_id or None,
        name=wanted.name or name_of(f"{source.name} (follow-up)"),
        submission_key=wanted.submission_key,
        on_doubt=wanted.on_doubt or _on_doubt(source.on_doubt),
        schedule=wanted.schedule,
        once_within_seconds=wanted.once_within_seconds,
        allow_kinds=tuple(REFUSED_KINDS),  # whoever was sent to once may be
        literal=literal,
        owner=source.owner,
        campaign_id=wanted.campaign_id,
        trace_parent=wanted.trace_parent,
        followed=wanted.followed,
        allowance=wanted.allowance,
    )


def _on_doubt(stored: str) -> OnDoubt:
    return "resend" if stored == "resend" else "hold"


def _phone_column(wanted: FollowUp, text: str, columns: Sequence[str]) -> str:
    """A name for the number that is no recipient's own column.

    The campaign's own text may use the column that the number was in, whose name is not kept: it is the one
    that no recipient has.
    """
    own = {column_key(name) for name in columns}
    used = Template(visible(text)).columns if wanted.text is None else ()
    return next((name for name in used if column_key(name) not in own), _free(own))


def _free(own: set[str]) -> str:
    name = _PHONE
    while column_key(name) in own:
        name = f"recipient_{name}"
    return name


def _rows(messages: Chosen, phone_column: str) -> Iterator[Block]:
    """The rows of the messages, for the thread that cleans them. Made on the loop."""
    loop = asyncio.get_running_loop()

    def read() -> Iterator[Row]:
        while rows := asyncio.run_coroutine_threadsafe(messages.next(), loop).result():
            for each in rows:
                yield each.row, each.fields | {phone_column: each.phone}

    return in_blocks(read())
