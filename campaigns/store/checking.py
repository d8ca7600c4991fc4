"""What a submission would become: asked of its staged rows, in a transaction that is never committed."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from campaigns.domain.phone import TWO_DIGIT_COUNTRIES
from campaigns.domain.segments import GSM_ALPHABET, GSM_EXTENSION
from campaigns.store.person import IS_KEPT, IS_LISTED
from campaigns.store.session import Database
from campaigns.store.submission import Intake

_SLICE_ROWS = 2_000  # of texts read back at once

# `\` before a character that is no letter and no digit means the character itself (PostgreSQL, 9.7.3.3).
_NOT_GSM = (
    "[^" + "".join(each if each.isalnum() else f"\\{each}" for each in GSM_ALPHABET + GSM_EXTENSION) + "]"
)

_PRICED_BATCHES = 1_000  # the newest: more would only be slower
_PRICED_DAYS = 30  # prices of before may have changed


def _country(column: str) -> str:
    """An expression for + and the country code of a number (E.164): codes have one to three digits, and none
    is the beginning of another.
    """
    two = ", ".join(f"'+{code}'" for code in TWO_DIGIT_COUNTRIES)
    return (
        f"CASE WHEN substr({column}, 1, 2) IN ('+1', '+7') THEN substr({column}, 1, 2)"
        f" WHEN substr({column}, 1, 3) IN ({two}) THEN substr({column}, 1, 3)"
        f" ELSE substr({column}, 1, 4) END"
    )


@dataclass(frozen=True, slots=True)
class Kind:
    """So many messages to one country, of the same encoding and number of segments."""

    country: str  # + and the country code
    segment_count: int
    is_ucs2: bool | None  # None: the campaign's own text
    message_count: int


@dataclass(frozen=True, slots=True)
class StagedMessage:
    """A message that would be sent. `text` None: the campaign's own."""

    row: int
    phone: str = field(repr=False)
    text: str | None = field(repr=False)
    segment_count: int


@dataclass(frozen=True, slots=True)
class Paid:
    """What messages to one country were charged."""

    country: str
    currency: str | None
    cost: Decimal
    segment_count: int
    message_count: int


async def leave_out_suppressed(intake: Intake) -> int:
    """Take the suppressed recipients off what is staged. Gives how many they were.

    After `refuse_duplicates`: a repeat of a suppressed number is a repeat.
    """
    done = await intake.connection.execute(
        f"DELETE FROM staged r USING suppression s WHERE {IS_LISTED.format(phone='r.phone')}"
    )
    return int(done.rpartition(" ")[2])


async def kinds(intake: Intake) -> list[Kind]:
    """What is staged, by country, encoding and segments."""
    records = await intake.connection.fetch(
        f"SELECT {_country('phone')} AS country, segment_count, text ~ $1 AS is_ucs2,"
        " count(*)::int AS message_count FROM staged GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        _NOT_GSM,
    )
    return [Kind(**record) for record in records]


async def first_refused(intake: Intake, *, most: int) -> dict[str, list[int]]:
    """The first rows of each reason, at most so many."""
    records = await intake.connection.fetch(
        "SELECT reason, row FROM (SELECT reason, row, row_number() OVER (PARTITION BY reason ORDER BY row)"
        " AS n FROM refused) r WHERE n <= $1 ORDER BY reason, row",
        most,
    )
    found: dict[str, list[int]] = {}
    for record in records:
        found.setdefault(record["reason"], []).append(record["row"])
    return found


async def sample(intake: Intake, *, most: int) -> list[StagedMessage]:
    """The first rows that would be sent to."""
    return await _messages(intake, "ORDER BY row LIMIT $1", most)


async def longest(intake: Intake) -> StagedMessage | None:
    """The first of those that need the most segments and have the most characters."""
    found = await _messages(
        intake, "ORDER BY segment_count DESC, length(text) DESC NULLS LAST, row LIMIT $1", 1
    )
    return found[0] if found else None


async def first_batch(intake: Intake, *, size: int) -> list[StagedMessage]:
    """The messages of the first batch, in its order."""
    return await _messages(intake, "ORDER BY text NULLS FIRST, row LIMIT $1", size)


async def _messages(intake: Intake, which: str, most: int) -> list[StagedMessage]:
    records = await intake.connection.fetch(
        f"SELECT row, phone, text, segment_count FROM staged {which}", most
    )
    return [StagedMessage(**record) for record in records]


async def own_texts_in_ucs2(intake: Intake) -> AsyncGenerator[Sequence[tuple[int, str]], None]:
    """(row, text) of the messages with a text of their own in UCS-2, some thousand at a time."""
    statement = await intake.connection.prepare(
        "SELECT row, text FROM staged WHERE text IS NOT NULL AND text ~ $1"
    )
    cursor = await statement.cursor(_NOT_GSM)
    while records := await cursor.fetch(_SLICE_ROWS):
        yield [(record["row"], record["text"]) for record in records]


async def currency_of(database: Database, account: str) -> str | None:
    """In what an account is charged, as its provider named it with the balance."""
    async with database.connection() as connection:
        found: str | None = await connection.fetchval(
            "SELECT currency FROM account_currency WHERE account = $1", account
        )
    return found


async def paid(database: Database, account: str) -> list[Paid]:
    """What an account was charged in the last thirty days, by country and currency: of its newest 100,000
    messages or so that have a price.
    """
    async with database.connection() as connection:
        records = await connection.fetch(
            "WITH newest AS MATERIALIZED ("
            " SELECT b.id, c.currency FROM batch b JOIN campaign c ON c.id = b.campaign_id"
            " WHERE b.account = $1 AND (b.priced_count > 0 OR b.other_costs IS NOT NULL)"
            " AND b.send_at > now() - make_interval(days => $2) ORDER BY b.id DESC LIMIT $3)"
            f" SELECT {_country('m.phone')} AS country, coalesce(m.currency, n.currency) AS currency,"
            " sum(m.cost) AS cost, sum(m.segment_count)::bigint AS segment_count,"
            " count(*)::int AS message_count"
            " FROM newest n JOIN message m ON m.batch_id = n.id"
            f" WHERE m.cost IS NOT NULL AND m.segment_count > 0 AND {IS_KEPT} GROUP BY 1, 2 ORDER BY 1, 2",
            account,
            _PRICED_DAYS,
            _PRICED_BATCHES,
        )
    return [Paid(**record) for record in records]


def priced(found: Sequence[Paid], currency: str | None) -> Mapping[str, Paid]:
    """What was paid in one currency, by country."""
    return {each.country: each for each in found if each.currency == currency}
