"""What is known of one number, erased: its messages keep their state, their money and the provider's id."""

from collections.abc import Sequence
from dataclasses import dataclass

from campaigns.domain.access import Reach
from campaigns.domain.states import SETTLED
from campaigns.store.law import in_list
from campaigns.store.session import Database

# Locked in the order of the primary key, as others lock them. A text that is NULL is the campaign's own.
_ERASE = f"""
    WITH named AS MATERIALIZED (
        SELECT m.batch_id, m.position, m.state IN {in_list(SETTLED)} AS is_settled
        FROM message m JOIN batch b ON b.id = m.batch_id JOIN campaign c ON c.id = b.campaign_id
        WHERE m.phone = ANY($1)
          AND ($2::text IS NULL OR c.owner = $2) AND ($3::text[] IS NULL OR b.account = ANY($3))
        ORDER BY m.batch_id, m.position FOR UPDATE OF m
    ),
    erased AS (
        UPDATE message m
        SET phone = '', fields = NULL, text = CASE WHEN m.text IS NOT NULL THEN '' END
        FROM named n
        WHERE n.is_settled AND m.batch_id = n.batch_id AND m.position = n.position
        RETURNING 1
    )
    SELECT (SELECT count(*)::int FROM erased) AS erased_count,
           (SELECT count(*)::int FROM named WHERE NOT is_settled) AS open_count
"""


@dataclass(frozen=True, slots=True)
class Erased:
    """How many messages were erased, and how many could not be yet: something may still become of them."""

    erased_count: int
    open_count: int


async def erase(database: Database, phones: Sequence[str], reach: Reach) -> Erased:
    """Erase number, own text and columns of the settled messages to these numbers (E.164, in every form)."""
    accounts = None if reach.accounts is None else list(reach.accounts)
    # Without a statement timeout: without an index of numbers all messages are read.
    async with database.own_connection() as connection:
        record = await connection.fetchrow(_ERASE, phones, reach.owner, accounts)
    assert record is not None  # noqa: S101  a SELECT without FROM gives its row
    return Erased(**record)
