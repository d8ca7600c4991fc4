"""Recipients that go straight into their batches: what is stored is what it were if all had been staged."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import reading, suppression
from campaigns.domain.allowance import Allowance
from campaigns.domain.blocks import Row, in_blocks
from campaigns.domain.limits import AccountTerms
from campaigns.store import filling
from campaigns.store.filling import Filled, Filling
from campaigns.store.session import Database
from campaigns.store.submission import TakenIn
from campaigns.submission import Submission
from campaigns.submission import submit as submit_rows
from tests.conftest import POLICY
from tests.integration.rows import query
from tests.integration.submitted import cut_into_portions, messages, stored
from tests.river import numbered, phones, submit
from tests.waiting import until

ALL_STAGED = 10_000
_FEW_BITS = 5
_WHERE = "b.number, m.position"
SUPPRESSED = "+37060000002"
_PHONES = [
    *(f"+3706000000{n}" for n in range(10)),
    "+5491123456789",  # one person's with and without the 9
    "+541123456789",
    "+5215512345678",  # … the 1
    "+525512345678",
    "12",
]


@pytest.fixture
def portions_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets how many rows a portion has. Gives how many were filled so far."""
    filled: list[int] = []
    store = Filling.store

    async def counted(self: Filling, portion: Filled) -> None:
        filled.append(portion.lines.count(b"\n"))
        await store(self, portion)

    monkeypatch.setattr(Filling, "store", counted)

    def set_rows(count: int) -> list[int]:
        cut_into_portions(monkeypatch, count)
        return filled

    return set_rows


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(_PHONES), st.sampled_from(["", "Ona", "a\\nb\t\n", "ė"])), min_size=1),
    st.integers(1, 4),
    st.integers(1, 9),
    st.sampled_from([_FEW_BITS, filling._SEEN_BITS]),
)
async def test_what_is_filled_is_what_would_be_staged(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    portions_of: Any,
    given_rows: list[tuple[str, str]],
    batch_size: int,
    portion_rows: int,
    seen_bits: int,
) -> None:
    """Repeats, suppressed numbers, odd cells, batches and tallies; also where numbers look like repeats that
    are none.
    """
    for table in ("message", "campaign", "suppression"):
        await query(database, f"DELETE FROM {table}")  # noqa: S608  our own tables
    await suppression.suppress(database, [SUPPRESSED, "+541123456789"], None, "STOP")
    rows = [{"phone": "+37060000099"}, *({"phone": phone, "name": name} for phone, name in given_rows)]
    monkeypatch.setattr(filling, "_SEEN_BITS", seen_bits)
    found = []
    for rows_at_once in (ALL_STAGED, portion_rows):
        portions_of(rows_at_once)
        taken = await submit(database, rows, batch_size=batch_size)
        kept = await messages(
            database, f"{_WHERE}, m.row, m.phone, m.state, m.reason, m.fields, m.text, m.segment_count"
        )
        batches = await query(
            database, "SELECT number, message_count, state, queued_count FROM batch ORDER BY number"
        )
        if seen_bits == _FEW_BITS:  # who looks like a repeat and is none comes last
            kept = [*sorted(row[2:] for row in kept), *(row[:2] for row in kept)]
            batches = [(batch["number"], batch["message_count"]) for batch in batches]
        overview = await reading.status(database, taken.id)
        refused = (dict(taken.refused), await reading.refusals(database, taken.id))
        found.append((kept, batches, taken.recipient_count, refused, overview.totals))
        await query(database, "DELETE FROM message")
        await query(database, "DELETE FROM campaign")
    assert found[0] == found[1]


async def test_nothing_is_filled_of_what_may_be_refused_as_a_whole(
    database: Database, portions_of: Any
) -> None:
    """Dead rows among all messages would be its price."""
    filled = portions_of(4)
    rows = phones(10)
    wanted: dict[str, dict[str, Any]] = {
        "new": {"submission_key": "key"},
        "a known key": {"submission_key": "key"},
        "other content": {"text": "Hi", "once_within_seconds": 60},
        "known content": {"text": "Hi", "once_within_seconds": 60},
        "an allowance": {"text": "Ho", "allowance": Allowance(recipients_per_day=1_000), "owner": "shop"},
    }
    counts = {}
    for what, terms in wanted.items():
        filled.clear()
        await submit(database, rows, batch_size=2, **terms)
        counts[what] = sum(filled)
    assert counts == {"new": 10, "a known key": 0, "other content": 10, "known content": 0, "an allowance": 0}
    assert (await stored(database))["message"] == 30


async def test_portions_that_follow_closely_share_a_statement_and_none_stays_open_for_slow_ones(
    database: Database, monkeypatch: pytest.MonkeyPatch, portions_of: Any
) -> None:
    filled = portions_of(4)
    loop = asyncio.get_running_loop()
    copies: list[Filling] = []
    copy = Filling._copy

    async def counted(self: Filling) -> str:
        copies.append(self)
        return await copy(self)

    async def idle() -> bool:
        found = await query(
            database,
            "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%'",
        )
        return [row["state"] for row in found] == ["idle in transaction"]

    def slow() -> Iterator[Row]:
        for row in enumerate(phones(24), 2):
            if row[0] == 20:
                asyncio.run_coroutine_threadsafe(until(idle, "nothing is copied"), loop).result(60)
            yield row

    monkeypatch.setattr(Filling, "_copy", counted)
    await submit(database, phones(24), batch_size=2)
    assert (sum(filled), len(copies)) == (24, 1)

    monkeypatch.setattr(filling, "_SOON_SECONDS", 0.01)
    wanted = Submission(AccountTerms("main"), "Hi", "Demo", "test", once_within_seconds=60)
    await submit_rows(database, POLICY, wanted, in_blocks(slow()), batch_size=2)
    assert sum(filled) == 48
    assert len(copies) > 2
    assert (await stored(database))["message"] == 48


async def test_of_two_that_are_the_same_one_is_filled_and_one_is_stored(
    database: Database, portions_of: Any
) -> None:
    """The second comes while the first one is read; then one that is read at once overtakes a third."""
    filled = portions_of(4)
    loop = asyncio.get_running_loop()
    others: list[TakenIn] = []

    def rows(other: Submission) -> Iterator[Row]:
        for row in enumerate(phones(12), 2):
            if row[0] == 11:
                made = submit_rows(database, POLICY, other, numbered(phones(12)), batch_size=2)
                others.append(asyncio.run_coroutine_threadsafe(made, loop).result(60))
            yield row

    def wanted(text: str, key: str | None) -> Submission:
        return Submission(
            AccountTerms("main"), text, "Demo", "test", submission_key=key, once_within_seconds=60
        )

    first = await submit_rows(
        database, POLICY, wanted("Hi", None), in_blocks(rows(wanted("Hi", None))), batch_size=2
    )

    assert (first.id, first.created) == (others[0].id, False)
    assert sum(filled) == 12
    assert await stored(database) | {"message": 12, "batch": 6, "campaign": 1} == await stored(database)
