"""The messages of a campaign that a follow-up sends to again.

They are chosen twice: when they are read, and in the transaction that stores the follow-up. What was learned
between the two counts: a message that was delivered meanwhile is left out.
"""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from campaigns.domain.following import Followed
from campaigns.domain.holds import WENT_BACK
from campaigns.domain.states import FOLLOWED_UP, PERHAPS_REACHED, MessageState
from campaigns.store.law import in_list, sum_of
from campaigns.store.person import IS_KEPT
from campaigns.store.session import Connection, Database

_ROWS_AT_ONCE = 2000

# Where doubt was resent, by a person or by the campaign's wish, an attempt before the last may have arrived:
# of a message that waited for its next attempt only the number of attempts tells.
_HAD_RESENDS = """(c.on_doubt = 'resend'
    OR EXISTS (SELECT FROM resolution r WHERE r.campaign_id = c.id AND r.word = 'resend'))"""
_SAID_BY_PROVIDER = in_list({MessageState.UNDELIVERED, MessageState.REJECTED})
_IS_CERTAIN = f"""(m.attempt = 0 OR NOT {_HAD_RESENDS}
    OR (m.attempt = 1 AND m.state IN {_SAID_BY_PROVIDER}))"""


def _is_chosen(followed: Followed) -> str:
    """SQL: whether message `m` of batch `b` of campaign `c` is one of them."""
    certain = []
    if followed.states:
        certain.append(f"m.state IN {in_list(followed.states)}")
    if followed.takes_never_handed_over:
        certain.append(f"(m.state IN {in_list(FOLLOWED_UP)} AND m.attempt = 0)")
    choices = [f"(({' OR '.join(certain)}) AND {_IS_CERTAIN})"] if certain else []
    if followed.takes_doubtful:
        choices.append(f"m.state IN {in_list(PERHAPS_REACHED)}")
        choices.append(f"(m.state IN {in_list(FOLLOWED_UP)} AND NOT {_IS_CERTAIN})")
    # Most batches have none: their tallies say so, and their messages are not read.
    return f"{sum_of(FOLLOWED_UP | PERHAPS_REACHED, 'b')} > 0 AND ({' OR '.join(choices)})"


def _chosen(followed: Followed) -> str:
    """SQL, from FROM on: the messages `m` that are chosen, without those that an earlier follow-up has."""
    campaign = f"'{followed.campaign_id}'::uuid"
    return f"""
        FROM campaign c JOIN batch b ON b.campaign_id = c.id JOIN message m ON m.batch_id = b.id
        WHERE c.id = {campaign} AND {_is_chosen(followed)} AND {IS_KEPT}
          AND NOT EXISTS (
              SELECT FROM campaign f JOIN batch fb ON fb.campaign_id = f.id
              JOIN message fm ON fm.batch_id = fb.id
              WHERE f.follow_up_of = {campaign} AND fm.row = m.row
          )"""


@dataclass(frozen=True, slots=True)
class Source:
    """What a follow-up takes over from its campaign, unless it is told otherwise."""

    name: str
    account: str
    sender_id: str
    text: str = field(repr=False)
    on_doubt: str
    owner: str
    is_plain: bool  # everybody gets `text` word for word: it is no template any more
    is_distrusted: bool  # the database went back in time: what left may look as if it never had


@dataclass(frozen=True, slots=True)
class Found:
    """The messages that are chosen: how many, and their own columns."""

    count: int
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class FollowedRow:
    """One of them: where it stood in its campaign, its number, its own columns."""

    row: int
    phone: str = field(repr=False)
    fields: dict[str, str] = field(repr=False)


class Chosen:
    """The chosen messages at one moment, read once. Made by `chosen`."""

    def __init__(self, connection: Connection, followed: Followed) -> None:
        self.connection = connection
        self._followed = followed

    async def look(self) -> Found:
        """What there is of them."""
        (record,) = await self.connection.fetch(
            f"WITH m AS MATERIALIZED (SELECT m.fields {_chosen(self._followed)})"
            " SELECT (SELECT count(*)::int FROM m) AS count, ARRAY(SELECT f.name"
            " FROM m CROSS JOIN LATERAL jsonb_object_keys(m.fields) AS f(name) GROUP BY f.name) AS columns"
        )
        return Found(record["count"], record["columns"])

    async def next(self) -> list[FollowedRow]:
        """Some thousands of them, in order of row; none at the end. To be called by one at a time."""
        records = await self.connection.fetch(f"FETCH {_ROWS_AT_ONCE} FROM followed")
        return [
            FollowedRow(
                record["row"], record["phone"], json.loads(record["fields"]) if record["fields"] else {}
            )
            for record in records
        ]

    async def open(self) -> None:
        """Begin to read them. To be called once, after `look`."""
        await self.connection.execute(
            "DECLARE followed NO SCROLL CURSOR FOR"
            f" SELECT m.row, m.phone, m.fields::text AS fields {_chosen(self._followed)} ORDER BY m.row"
        )


@asynccontextmanager
async def chosen(database: Database, followed: Followed) -> AsyncIterator[Chosen]:
    """Follow a campaign up: one at a time, for as long as the block lasts.

    Two follow-ups of one campaign at the same instant would take in the same messages. The second waits here
    until the first has committed, and then finds what is left.
    """
    async with database.own_connection() as connection:
        await connection.execute(
            "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;"
            " SET LOCAL work_mem = '32MB'; SET LOCAL cursor_tuple_fraction = 1"
        )
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('follow-up of ' || $1, 0))",
            str(followed.campaign_id),
        )
        yield Chosen(connection, followed)


async def source(connection: Connection, campaign_id: UUID) -> Source | None:
    """What a follow-up takes over from a campaign; None where there is no such campaign."""
    record = await connection.fetchrow(
        "SELECT c.name, c.account, c.sender_id, c.text, c.on_doubt, c.owner,"
        " coalesce((SELECT m.text IS NULL FROM batch b JOIN message m ON m.batch_id = b.id"
        " WHERE b.campaign_id = c.id ORDER BY b.number, m.position LIMIT 1), true) AS is_plain,"
        " EXISTS (SELECT FROM account_hold h WHERE h.account = c.account AND h.code = $2) AS is_distrusted"
        " FROM campaign c WHERE c.id = $1",
        campaign_id,
        WENT_BACK,
    )
    return None if record is None else Source(**dict(record))


async def leave_out_changed(connection: Connection, followed: Followed) -> int:
    """Leave out of what is staged what is no longer one of the chosen messages. Gives how many rows."""
    done = await connection.execute(
        f"WITH chosen AS MATERIALIZED (SELECT m.row {_chosen(followed)})"
        " DELETE FROM staged s WHERE NOT EXISTS (SELECT FROM chosen c WHERE c.row = s.row)"
    )
    return int(done.rpartition(" ")[2])
