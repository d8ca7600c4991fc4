"""Takes a submission in, in one transaction: rows stream into a temporary table and become a campaign.

Until it commits nothing is visible to anybody; if the submitter dies, the temporary table dies with the
transaction. One transaction is one session of the server, also behind a pooler.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from campaigns.cleaning import Refused, StagedRecipient
from campaigns.domain.allowance import UNBOUNDED, Allowance, Used
from campaigns.domain.errors import DatabaseUnavailable, SubmissionError, SubmissionKeyConflict
from campaigns.domain.following import Followed
from campaigns.domain.schedule import ALWAYS, Schedule
from campaigns.domain.states import CampaignState
from campaigns.store import allowances, following
from campaigns.store.allowances import Bound, bounds_of
from campaigns.store.filling import HAS_KEY, Filling, is_new
from campaigns.store.law import quoted
from campaigns.store.person import IS_LISTED, person_key
from campaigns.store.session import CHANNEL, Connection, Database


@dataclass(frozen=True, slots=True)
class NewCampaign:
    """What is known of a campaign when it is taken in."""

    id: UUID
    name: str
    account: str
    sender_id: str
    text: str = field(repr=False)
    submission_key: str | None  # unique per owner
    content_hash: str
    currency: str | None
    give_up_seconds: float
    on_doubt: str
    schedule: Schedule = ALWAYS
    once_within_seconds: float | None = None  # the same content since then is the same campaign …
    is_once_by_content: bool = False  # … not only where there is no key
    noted: Mapping[str, int] = field(default_factory=dict)
    owner: str = ""  # '': the operators' and the tasks'
    followed: Followed | None = None  # whose messages the rows are; their numbers are those messages' rows
    allowance: Allowance = UNBOUNDED  # of its owner's key
    account_allowance: Allowance = UNBOUNDED
    trace_parent: str | None = None

    @property
    def known_within_seconds(self) -> float | None:
        """How long ago the same content is the same campaign; None: it never is by its content."""
        is_by_content = self.submission_key is None or self.is_once_by_content
        return self.once_within_seconds if is_by_content else None

    @property
    def bounds(self) -> list[Bound]:
        """What bounds how much of this owner and on this account may be taken in."""
        return bounds_of(self.owner, self.allowance, self.account, self.account_allowance)


@dataclass(frozen=True, slots=True)
class TakenIn:
    """The campaign a submission became, or already was."""

    id: UUID
    created: bool
    recipient_count: int
    refused: Mapping[str, int]
    created_at: datetime | None = field(default=None, compare=False)  # of the one that was known already
    noted: Mapping[str, int] = field(default_factory=dict)  # rows that were taken in and are worth a look
    costly: Sequence[str] = ()  # characters for which texts need more segments, of a new campaign
    saved_segment_count: int = 0  # how many fewer they would need without


class NobodyToSendTo(Exception):
    """Not one recipient is left; nothing was stored."""

    def __init__(self, refused: Mapping[str, int]) -> None:
        super().__init__("nobody to send to")
        self.refused = refused


_RECIPIENT_COLUMNS = ("row", "phone", "text", "fields", "segment_count")

# Two of the same key: the second waits for the first however long a million rows take, for if the first
# then fails, the second is all there is. Sorting 100,000 rows stays in memory, which is bounded: a million
# goes through files. Plans need to know how many rows there are, and a full ANALYZE costs as much as
# finding the duplicates. Fields are read as JSON while the next rows are cleaned, not while all wait.
# Whoever types the rows in may pause between two of them.
_OPEN = """
    BEGIN;
    SET LOCAL lock_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL work_mem = '32MB';
    SET LOCAL temp_buffers = '32MB';
    SET LOCAL default_statistics_target = 1;
    CREATE TEMPORARY TABLE staged (row int NOT NULL, phone text NOT NULL, text text, fields jsonb,
                                   segment_count smallint NOT NULL) ON COMMIT DROP;
    CREATE TEMPORARY TABLE refused (row int NOT NULL, reason text NOT NULL, column_name text) ON COMMIT DROP
"""

# A phone is + and at most 15 digits. As numbers they sort twice as fast: as texts they all begin alike.
# Forms of one person's number are one: the first is sent to.
_REFUSE_DUPLICATES = f"""
    WITH duplicate AS (
        INSERT INTO refused
        SELECT row, 'duplicate'
        FROM (SELECT row, row_number() OVER (PARTITION BY ({person_key("phone")})::bigint ORDER BY row) AS nth
              FROM staged) r
        WHERE nth > 1
        RETURNING row
    )
    SELECT count(*)::int FROM duplicate
"""

# Equal texts are neighbours, so that a provider that takes one text a request gets full requests. Batches and
# messages are made in one statement: no intermediate table is written.
_MAKE_BATCHES = f"""
    WITH numbered AS MATERIALIZED (
        SELECT r.row, r.phone, r.text, r.fields, r.segment_count, s.reason,
               s.phone IS NOT NULL AS is_suppressed,
               (row_number() OVER (ORDER BY r.text NULLS FIRST, r.row) - 1)::int AS nth
        FROM staged r
        LEFT JOIN suppression s ON {IS_LISTED.format(phone="r.phone")}
    ), made AS (
        INSERT INTO batch (campaign_id, account, number, state, send_at, give_up_at, message_count,
                           suppressed_count, queued_count)
        SELECT $1, $5, $6 + nth / $2 + 1,
               (CASE WHEN bool_and(is_suppressed) THEN 'done' ELSE 'ready' END)::batch_state,
               greatest($4::timestamptz, statement_timestamp()),
               greatest($4::timestamptz, statement_timestamp()) + make_interval(secs => $3), count(*),
               count(*) FILTER (WHERE is_suppressed), count(*) FILTER (WHERE NOT is_suppressed)
        FROM numbered GROUP BY nth / $2 ORDER BY nth / $2
        RETURNING id, number
    )
    INSERT INTO message (batch_id, position, row, state, segment_count, phone, text, fields, reason)
    SELECT b.id, p.nth % $2, p.row,
           (CASE WHEN p.is_suppressed THEN 'suppressed' ELSE 'queued' END)::message_state, p.segment_count,
           p.phone, p.text, p.fields, p.reason
    FROM numbered p JOIN made b ON b.number = $6 + p.nth / $2 + 1
"""

# That it was accepted is told first, which else waits for the end of the transaction.
_TELL = "SET CONSTRAINTS campaign_accepted_is_told IMMEDIATE"
_PAUSE = f"UPDATE campaign SET state = {quoted(CampaignState.PAUSED)} WHERE id = $1"

_KNOWN = (
    "SELECT id, content_hash, recipient_count, refused::text AS refused, noted::text AS noted, created_at"
    " FROM campaign"
)


class Intake:
    """One submission being taken in. Made by `intake`; not to be used by two tasks at once."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection  # in its transaction: `staged` and `refused` are its temporary tables
        self.recipient_count = 0
        self._refused: Counter[str] = Counter()
        self._filling: Filling | None = None
        self._is_whole = False

    async def open_filling(
        self, campaign: NewCampaign, first: StagedRecipient, batch_size: int
    ) -> Filling | None:
        """What stores recipients where they stay before all are known. None: all of them are to be staged.

        Takes what is known of a campaign whose text is everybody's, and the first recipient. What is filled
        and not accepted in the end leaves dead rows where all messages are. So nothing is filled of what may
        be refused as a whole: content that is known, or that somebody is submitting just now, and what an
        allowance bounds.
        """
        if not campaign.bounds and await is_new(
            self.connection,
            campaign.owner,
            campaign.submission_key,
            campaign.known_within_seconds,
            campaign.account,
            campaign.text,
            first,
        ):
            self._filling = Filling(self.connection, batch_size)
        return self._filling

    async def add(self, recipients: Sequence[StagedRecipient], refusals: Sequence[Refused]) -> None:
        """Stage a portion (some thousands): recipients, and the refused."""
        await self._stage(recipients)
        if refusals:
            await self.connection.copy_records_to_table(
                "refused", records=refusals, columns=("row", "reason", "column_name")
            )
            self._refused.update(reason for _, reason, _ in refusals)

    async def _stage(self, recipients: Sequence[StagedRecipient]) -> None:
        if recipients:
            await self.connection.copy_records_to_table(
                "staged", records=recipients, columns=_RECIPIENT_COLUMNS
            )
            self.recipient_count += len(recipients)

    async def accept(self, campaign: NewCampaign, *, batch_size: int) -> TakenIn:
        """Make what was staged a campaign, cut into batches, and commit. To be called once.

        A submission key that is known with the same content gives the campaign it made then. Raises
        SubmissionKeyConflict when the content differs, OverAllowance when it is more than may be submitted,
        NobodyToSendTo when no recipient is left. What somebody else is to approve is paused.
        Two at the same instant make one campaign: the unique key makes the second wait for the first.
        """
        async with self._committed():
            if campaign.known_within_seconds is not None:
                # Two at the same instant: the second waits here until the first has committed, or has failed.
                await self.connection.execute(
                    "SELECT pg_advisory_xact_lock(hashtextextended($2 || $1, 0))",
                    campaign.content_hash,
                    campaign.owner,
                )
            await allowances.lock(self.connection, campaign.bounds)
            known = await known_campaign(self.connection, campaign)
            if known is not None:
                return known
            if self._filling is not None:
                self.recipient_count += self._filling.filled_count
                await self._stage(self._filling.filler.rest())
            refused = await self.refuse_duplicates()
            if campaign.followed is not None:
                self.recipient_count -= await following.leave_out_changed(self.connection, campaign.followed)
            if self.recipient_count == 0:
                raise NobodyToSendTo(refused)
            segment_count = await self.check_allowance(campaign)
            most = campaign.allowance.approval_above
            needs_approval = most is not None and segment_count > most
            created = await self.connection.fetchval(
                "INSERT INTO campaign (id, state, name, account, sender_id, text, submission_key,"
                " content_hash, currency, recipient_count, refused, on_doubt, send_at, not_after, noted,"
                " owner, owner_key, follow_up_of, segment_count, needs_approval, trace_parent)"
                " VALUES ($1, 'accepted', $2, $3, $4, $5, CASE WHEN $15 = '' THEN $6 END, $7, coalesce($8,"
                " (SELECT currency FROM account_currency WHERE account = $3)), $9, $10, $11, $12, $13, $14,"
                " $15, CASE WHEN $15 <> '' THEN $6 END, $16, $17, $18, $19)"
                " ON CONFLICT DO NOTHING RETURNING true",
                campaign.id,
                campaign.name,
                campaign.account,
                campaign.sender_id,
                campaign.text,
                campaign.submission_key,
                campaign.content_hash,
                campaign.currency,
                self.recipient_count,
                json.dumps(refused),
                campaign.on_doubt,
                campaign.schedule.send_at,
                campaign.schedule.not_after,
                json.dumps(dict(campaign.noted)),
                campaign.owner,
                campaign.followed and campaign.followed.campaign_id,
                segment_count,
                needs_approval,
                campaign.trace_parent,
            )
            if not created:
                # Somebody else committed the same key while we were counting.
                known = await known_campaign(self.connection, campaign)
                if known is None:
                    raise RuntimeError("the campaign with this submission key vanished while it was read")
                return known
            if refused:
                await self.connection.execute(
                    "INSERT INTO refusal (campaign_id, row, reason, column_name)"
                    " SELECT $1, row, reason, column_name FROM refused",
                    campaign.id,
                )
            terms = (
                campaign.id,
                batch_size,
                campaign.give_up_seconds,
                campaign.schedule.send_at,
                campaign.account,
            )
            filled_count = batch_count = 0
            if self._filling is not None:
                filled_count = self._filling.filled_count
                batch_count = await self._filling.make_batches(*terms)
            made = await self.connection.execute(_MAKE_BATCHES, *terms, batch_count)
            await self._check_made(campaign.id, filled_count + int(made.rpartition(" ")[2]))
            if needs_approval:
                await self.connection.execute(_TELL)
                await self.connection.execute(_PAUSE, campaign.id)
            await self.connection.execute(f"NOTIFY {CHANNEL}")  # heard when this commits
            self._is_whole = True
        return TakenIn(campaign.id, True, self.recipient_count, refused, noted=campaign.noted)

    async def check_allowance(self, campaign: NewCampaign) -> int:
        """How many segments were taken in. Raises OverAllowance where that is more than may be submitted."""
        segment_count: int = await self.connection.fetchval(
            "SELECT coalesce(sum(segment_count), 0)::bigint FROM staged"
        )
        if self._filling is not None:
            segment_count += self._filling.filler.segment_count
        wanted = Used(self.recipient_count, segment_count)
        await allowances.check_left(self.connection, campaign.bounds, wanted)
        return segment_count

    async def refuse_duplicates(self) -> dict[str, int]:
        """Refuse every row of a number but the first. Gives how many rows were refused in all, by reason.

        To be called once, after all rows were added.
        """
        await self.connection.execute("ANALYZE staged")
        duplicate_count = await self._filling.refuse_doubles() if self._filling is not None else 0
        duplicate_count += await self.connection.fetchval(_REFUSE_DUPLICATES)
        if duplicate_count:
            await self.connection.execute(
                "DELETE FROM staged WHERE row IN (SELECT row FROM refused WHERE reason = 'duplicate')"
            )
            self.recipient_count -= duplicate_count
            self._refused["duplicate"] += duplicate_count
        return dict(sorted(self._refused.items()))

    @asynccontextmanager
    async def _committed(self) -> AsyncIterator[None]:
        """Commit at the end of the block what is whole. What raises leaves the transaction to end with its
        connection.
        """
        yield
        await self.connection.execute("COMMIT" if self._is_whole else "ROLLBACK")

    async def _check_made(self, campaign_id: UUID, message_count: int) -> None:
        """What was made is what was taken in, to the message; else nothing of it is kept."""
        tally = await self.connection.fetchval(
            "SELECT COALESCE(sum(message_count), 0) FROM batch WHERE campaign_id = $1", campaign_id
        )
        if not self.recipient_count == message_count == tally:
            raise SubmissionError(
                f"{self.recipient_count} recipients were taken in, and the database made {message_count} "
                f"messages in batches of {tally} of them: nothing was stored; is there a pooler before "
                "PostgreSQL, or a trigger in it? see: campaigns doctor"
            )


async def known_campaign(connection: Connection, campaign: NewCampaign) -> TakenIn | None:
    """The campaign that the same submission made before, None where there is none.

    Raises SubmissionKeyConflict where the key belongs to other content.
    """
    if campaign.submission_key is None:
        return await _known_by_content(connection, campaign)
    record = await connection.fetchrow(
        f"{_KNOWN} WHERE {HAS_KEY.format(key='$1', owner='$2')}", campaign.submission_key, campaign.owner
    )
    if record is not None and record["content_hash"] != campaign.content_hash:
        raise SubmissionKeyConflict(
            # The key itself is not repeated: it may be anything, a number or a page of text.
            f"the submission key was used before, by campaign {record['id']}, with other content; "
            "use another key for another campaign"
        )
    return _known_of(record) or await _known_by_content(connection, campaign)


async def _known_by_content(connection: Connection, campaign: NewCampaign) -> TakenIn | None:
    if campaign.known_within_seconds is None:
        return None
    return _known_of(
        await connection.fetchrow(
            f"{_KNOWN} WHERE content_hash = $1 AND owner = $3"
            " AND created_at > now() - make_interval(secs => $2) ORDER BY created_at DESC LIMIT 1",
            campaign.content_hash,
            campaign.known_within_seconds,
            campaign.owner,
        )
    )


def _known_of(record: asyncpg.Record | None) -> TakenIn | None:
    if record is None:
        return None
    refused, noted = json.loads(record["refused"]), json.loads(record["noted"])
    return TakenIn(record["id"], False, record["recipient_count"], refused, record["created_at"], noted)


@asynccontextmanager
async def intake(database: Database) -> AsyncIterator[Intake]:
    """Open an intake: a connection of its own in one transaction, whose temporary tables end with it."""
    try:
        async with database.own_connection() as connection:
            await connection.execute(_OPEN)
            yield Intake(connection)
    except asyncpg.InternalClientError as error:
        # The server has ended the session but not closed the socket yet; the driver has no better error.
        raise DatabaseUnavailable("PostgreSQL is closing the connection") from error
