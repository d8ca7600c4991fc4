"""How much an owner and an account may submit: counted where the campaign is made, however many at once."""

import asyncio
from datetime import UTC, datetime

import pytest

from campaigns import checking, submission
from campaigns.checking import Through
from campaigns.domain.allowance import Allowance, Used, check
from campaigns.domain.errors import OverAllowance
from campaigns.domain.limits import AccountTerms
from campaigns.store.session import Database
from tests.conftest import POLICY
from tests.integration.rows import query
from tests.river import numbered, phones, submit

LIMITED = Allowance(recipients_per_day=100)


async def test_concurrent_submissions_do_not_use_the_same_rest(database: Database) -> None:
    """Of six with 40 recipients each, two fit into 100, however they come; of each account likewise."""
    took = await asyncio.gather(
        *(
            submit(database, phones(40, first=100 * n), owner="shop", name=f"n{n}", allowance=LIMITED)
            for n in range(6)
        ),
        return_exceptions=True,
    )
    refused = [each for each in took if isinstance(each, OverAllowance)]
    assert len(refused) == 4, took
    assert "100 recipients a day (UTC), of which 20 are left, and this has 40" in str(refused[0])
    assert refused[0].retry_after_seconds is not None
    assert 1 <= refused[0].retry_after_seconds <= 86_400
    assert len(await query(database, "SELECT 1 FROM campaign")) == 2

    await submit(database, phones(20, first=900), owner="shop", allowance=LIMITED)
    await submit(database, phones(100), owner="clinic", allowance=LIMITED)
    await submit(database, phones(500), owner="shop")  # a key of it that has no bound


async def test_segments_of_an_account_are_counted_whoever_submits(database: Database) -> None:
    """By month: what was taken in before it began counts no more. A text of two segments counts twice."""
    account = AccountTerms("main", allowance=Allowance(segments_per_month=150))

    async def take_in(count: int, owner: str) -> None:
        wanted = submission.Submission(
            account=account, text="x" * 200, sender_id="Demo", name="n", owner=owner
        )
        await submission.submit(database, POLICY, wanted, numbered(phones(count)))

    await take_in(50, "shop")
    with pytest.raises(OverAllowance, match="account main may submit 150 segments a month"):
        await take_in(30, "")
    await query(
        database, "UPDATE campaign SET created_at = date_trunc('month', now(), 'UTC') - interval '1 second'"
    )
    await take_in(30, "")
    assert [row["segment_count"] for row in await query(database, "SELECT segment_count FROM campaign")] == [
        100,
        60,
    ]


async def test_a_repeat_is_the_same_campaign_though_nothing_is_left(database: Database) -> None:
    more = {"owner": "shop", "submission_key": "k", "allowance": LIMITED}
    first = await submit(database, phones(100), **more)
    again = await submit(database, phones(100), **more)
    assert (again.id, again.created) == (first.id, False)


async def test_a_check_says_so_and_uses_nothing(database: Database) -> None:
    wanted = submission.Submission(
        account=AccountTerms("main"), text="Hi", sender_id="Demo", name="n", owner="shop", allowance=LIMITED
    )
    for _ in range(2):
        checked = await checking.check(database, wanted, numbered(phones(60)), Through(1.0, None))
        assert checked.trouble is None
    checked = await checking.check(database, wanted, numbered(phones(101)), Through(1.0, None))
    assert checked.trouble is not None
    assert "of which 100 are left" in checked.trouble


def test_when_there_is_room_again() -> None:
    december = datetime(2026, 12, 31, 23, 0, tzinfo=UTC)
    for allowance, most_asked, seconds in (
        (Allowance(recipients_per_day=10), 10, 3600),
        (Allowance(segments_per_month=10), 10, 3600),
        (Allowance(recipients_per_day=10), 11, None),  # more than a whole day's
    ):
        with pytest.raises(OverAllowance) as over:
            check("it", allowance, Used(1, 1), Used(most_asked, most_asked), december)
        assert over.value.retry_after_seconds == seconds
    check("it", Allowance(10, 10), Used(1, 1), Used(9, 9), december)
