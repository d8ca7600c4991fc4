"""Puts recipients straight into their batches while the next ones are cleaned.

That is for long lists whose text is the same for everybody: there the order of rows is the order of batches.
A number that may have come before is staged instead, and compared with all others when every row is there; so
are the rows that fill no batch. What becomes of a submission is the same with and without, only sooner.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import compress
from math import ceil
from operator import not_
from typing import Any, Self
from uuid import UUID

import asyncpg

from campaigns.cleaning import StagedRecipient
from campaigns.domain.phone import BEGIN_FORMS, person_key
from campaigns.domain.states import BatchState, MessageState
from campaigns.store.law import quoted
from campaigns.store.person import IS_LISTED
from campaigns.store.person import person_key as person_key_of
from campaigns.store.session import Connection, numbers

_COLUMNS = ("batch_id", "position", "row", "state", "segment_count", "phone", "fields")
_STATE = f"\t{MessageState.QUEUED.value}\t"
_SOON_SECONDS = 1.0  # the next portion may take so long, and its statement stays open
_IDS_AT_ONCE = 1_000  # of batches: those that are not used are gaps in their numbering

# Bits, 4 MB of them. A prime: numbers that lie near each other, as those of one country do, never share one.
_SEEN_BITS = 33_554_393


@dataclass(frozen=True, slots=True)
class Filled:
    """A portion: lines of text for COPY (an empty one is NULL), and the recipients that are to be staged."""

    lines: bytes = field(repr=False)
    uncertain: Sequence[StagedRecipient]


class Filler:
    """Where the recipients of one submission belong, as they come in order of rows. For one thread at a time.

    Promises: of one person's numbers at most the first is filled, and every batch is full.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.batch_ids: list[int] = []
        """The batches that were filled, in order."""
        self.segment_count = 0  # of what was filled
        self.has_doubles = False  # whether a number was staged that may have been filled
        self._ids: deque[int] = deque()
        self._waiting: list[StagedRecipient] = []  # for their batch to be full
        self._seen = bytearray(_SEEN_BITS // 8 + 1)

    def lacks_ids(self, recipient_count: int) -> int:
        """How many ids of batches must be given before so many recipients can be filled."""
        needed = ceil((recipient_count + len(self._waiting)) / self.batch_size) - len(self._ids)
        return max(needed, _IDS_AT_ONCE) if needed > 0 else 0

    def give_ids(self, ids: Iterable[int]) -> None:
        """Take ids that no batch has."""
        self._ids.extend(ids)

    def fill(self, recipients: Sequence[StagedRecipient]) -> Filled:
        """Fill batches with what is certain of a portion, as far as there are ids for them."""
        are_repeated = self._note([recipient[1] for recipient in recipients])
        certain = [*self._waiting, *compress(recipients, map(not_, are_repeated))]
        uncertain = list(compress(recipients, are_repeated))
        self.has_doubles |= bool(uncertain)
        size = self.batch_size
        full = min(len(certain) // size, len(self._ids)) * size
        self._waiting = certain[full:]
        lines: list[bytes] = []
        for start in range(0, full, size):
            batch = certain[start : start + size]
            batch_id = self._ids.popleft()
            self.batch_ids.append(batch_id)
            self.segment_count += sum([recipient[4] for recipient in batch])
            head = f"{batch_id}\t"
            made = [
                f"{head}{position}\t{row}{_STATE}{count}\t{phone}\t{fields or ''}\n"
                for position, (row, phone, _, fields, count) in enumerate(batch)
            ]
            text = "".join(made)
            if "\\" in text:  # the only character of JSON that means something to COPY
                text = text.replace("\\", "\\\\")
            lines.append(text.encode())  # a batch at a time, for it is much smaller so
        return Filled(b"".join(lines), uncertain)

    def _note(self, phones: Sequence[str]) -> list[int]:
        """Note that these came. Gives for each whether it may have come before, as 1 or 0."""
        seen = self._seen
        are_repeated = []
        for key in [int(person_key(phone) if phone[:4] in BEGIN_FORMS else phone) for phone in phones]:
            bit = key % _SEEN_BITS
            byte = seen[bit >> 3]
            are_repeated.append(byte >> (bit & 7) & 1)
            seen[bit >> 3] = byte | 1 << (bit & 7)
        return are_repeated

    def rest(self) -> Sequence[StagedRecipient]:
        """Those that wait for their batch to be full, once there are no more: to be staged."""
        rest, self._waiting = self._waiting, []
        return rest


# Each finds its row by an index of its own: an OR of both would read all campaigns.
HAS_KEY = (
    "id = (SELECT id FROM campaign WHERE {owner} = '' AND submission_key = {key}"
    " UNION ALL SELECT id FROM campaign WHERE {owner} <> '' AND owner = {owner} AND owner_key = {key})"
)
"""SQL: whether a campaign has this key of this owner's."""

# Who submits the same just now has one of these locks. What was submitted before has its key, or its text and
# its first recipient. Without the right to the numbering of batches there are no ids before the batches.
_IS_NEW = f"""
    SELECT has_sequence_privilege(pg_get_serial_sequence('batch', 'id'), 'USAGE')
       AND ($2::text IS NULL
            OR pg_try_advisory_xact_lock(hashtextextended('submitting ' || $2 || ' of ' || $1, 0))
               AND NOT EXISTS (SELECT FROM campaign WHERE {HAS_KEY.format(key="$2", owner="$1")}))
       AND ($3::float8 IS NULL
            OR pg_try_advisory_xact_lock(hashtextextended('submitting text ' || $5 || ' of ' || $1, 0))
               AND NOT EXISTS (
                   SELECT FROM campaign c
                   JOIN batch b ON b.campaign_id = c.id AND b.number = 1
                   JOIN message m ON m.batch_id = b.id AND m.position = 0
                   WHERE c.owner = $1 AND c.account = $4 AND c.text = $5 AND m.row = $6
                     AND m.phone IN ('', $7) AND c.created_at > now() - make_interval(secs => $3)))
"""

# What batches hold that were filled already, read batch by batch: the planner knows nothing yet of rows that
# were just written, and might read all there are.
_FILLED = """
    FROM unnest({ids}) b(id)
    CROSS JOIN LATERAL (SELECT position, phone FROM message WHERE batch_id = b.id OFFSET 0) p
"""

# A number is filled at most once, and before any other of its person's is staged.
_REFUSE_DOUBLES = f"""
    WITH doubles AS (
        DELETE FROM staged s
        USING (SELECT ({person_key_of("p.phone")})::bigint AS key
               {_FILLED.format(ids="$1::text::bigint[]")}) filled
        WHERE filled.key = ({person_key_of("s.phone")})::bigint
        RETURNING s.row
    )
    INSERT INTO refused SELECT row, 'duplicate' FROM doubles
"""

# The list of the suppressed is read in the end and not while rows are filled: what counts is how it is then.
_MAKE_BATCHES = f"""
    WITH listed AS (
        UPDATE message m SET state = {quoted(MessageState.SUPPRESSED)}, reason = l.reason
        FROM (SELECT b.id, p.position, s.reason
              {_FILLED.format(ids="CASE WHEN EXISTS (SELECT FROM suppression) THEN $6::text::bigint[] END")}
              JOIN suppression s ON {IS_LISTED.format(phone="p.phone")} OFFSET 0) l
        WHERE m.batch_id = l.id AND m.position = l.position
        RETURNING m.batch_id
    ), counted AS (
        SELECT batch_id, count(*) AS suppressed_count FROM listed GROUP BY batch_id
    )
    INSERT INTO batch (id, campaign_id, account, number, state, send_at, give_up_at, message_count,
                       suppressed_count, queued_count)
    SELECT b.id, $1, $5, b.number,
           (CASE WHEN c.suppressed_count = $2 THEN {quoted(BatchState.DONE)}
                 ELSE {quoted(BatchState.READY)} END)::batch_state,
           greatest($4::timestamptz, statement_timestamp()),
           greatest($4::timestamptz, statement_timestamp()) + make_interval(secs => $3), $2,
           coalesce(c.suppressed_count, 0), $2 - coalesce(c.suppressed_count, 0)
    FROM unnest($6::text::bigint[]) WITH ORDINALITY b(id, number) LEFT JOIN counted c ON c.batch_id = b.id
    ORDER BY b.number
"""


class Filling:
    """The recipients of one submission being filled, in its transaction.

    A statement goes on for as many portions as come one soon after another: else the server waits after each
    until the thread that cleans the next lets go of the interpreter. As a context it settles, or, after an
    error, writes nothing more down.
    """

    def __init__(self, connection: Connection, batch_size: int) -> None:
        self.filler = Filler(batch_size)
        self.filled_count = 0
        self._connection = connection
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._copying: asyncio.Task[str] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.settle()
        elif self._copying is not None:  # the transaction is to be rolled back, on a connection that is free
            self._copying.cancel()
            await asyncio.gather(self._copying, return_exceptions=True)

    async def give_ids(self, recipient_count: int) -> None:
        """Give the filler the ids of batches that it needs for so many more recipients."""
        if count := self.filler.lacks_ids(recipient_count):
            await self.settle()
            records = await self._connection.fetch(
                "SELECT nextval(pg_get_serial_sequence('batch', 'id')) AS id FROM generate_series(1, $1)",
                count,
            )
            self.filler.give_ids(record["id"] for record in records)

    async def store(self, filled: Filled) -> None:
        """Have what was filled written down. Returns as soon as the next may be given: until `settle` nothing
        else may be asked of the connection.
        """
        if filled.lines:
            if self._copying is None:
                self._copying = asyncio.create_task(self._copy())
            await self._give(filled.lines)

    async def settle_unless(self, coming: asyncio.Future[Any]) -> None:
        """Settle, unless more comes soon: no statement stays open for a file that somebody types in."""
        if not (await asyncio.wait([coming], timeout=_SOON_SECONDS))[0]:
            await self.settle()

    async def settle(self) -> None:
        """Wait until all that was given is written down."""
        if self._copying is not None:
            await self._give(None)
            done = await self._copying
            self._copying = None
            self.filled_count += int(done.rpartition(" ")[2])

    async def _give(self, lines: bytes | None) -> None:
        if self._copying is None:
            return
        giving = asyncio.create_task(self._lines.put(lines))
        await asyncio.wait({giving, self._copying}, return_when=asyncio.FIRST_COMPLETED)
        if not giving.done():  # then it failed
            giving.cancel()
            await self._copying

    async def _copy(self) -> str:
        def lost(_: object) -> None:
            # The driver may be waiting for room in the socket, and hears nothing of its end.
            if self._copying is not None:
                self._copying.cancel()

        self._connection.add_termination_listener(lost)
        try:
            done: str = await self._connection.copy_to_table(
                "message", source=self._given(), columns=_COLUMNS, null=""
            )
        except asyncio.CancelledError:
            if self._connection.is_closed():
                raise asyncpg.ConnectionDoesNotExistError("the connection was lost") from None
            raise
        finally:
            self._connection.remove_termination_listener(lost)
        return done

    async def _given(self) -> AsyncIterator[bytes]:
        while (lines := await self._lines.get()) is not None:
            yield lines

    async def refuse_doubles(self) -> int:
        """Refuse the staged rows of whose person a number was filled. Gives how many they are."""
        if not self.filler.has_doubles:
            return 0
        done = await self._connection.execute(_REFUSE_DOUBLES, numbers(self.filler.batch_ids))
        return int(done.rpartition(" ")[2])

    async def make_batches(
        self,
        campaign_id: UUID,
        batch_size: int,
        give_up_seconds: float,
        send_at: datetime | None,
        account: str,
    ) -> int:
        """Make the batches of what was filled, the first ones of the campaign. Gives how many they are."""
        batch_ids = self.filler.batch_ids
        if batch_ids:
            await self._connection.execute(
                _MAKE_BATCHES, campaign_id, batch_size, give_up_seconds, send_at, account, numbers(batch_ids)
            )
        return len(batch_ids)


async def is_new(
    connection: Connection,
    owner: str,
    submission_key: str | None,
    known_within_seconds: float | None,
    account: str,
    text: str,
    first: StagedRecipient,
) -> bool:
    """Whether a submission surely was not made before and is not being made, and its batches may be filled.

    Takes what it is known by: its key, and how long ago the same content was it (None: not by that), for
    which its text and its `first` recipient stand here.

    From now on, until the transaction ends, whoever asks the same of the same is told no.
    """
    found: bool = await connection.fetchval(
        _IS_NEW, owner, submission_key, known_within_seconds, account, text, *first[:2]
    )
    return found
