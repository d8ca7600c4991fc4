"""Receipts that match no message are bounded by account: nobody fills the database for the others."""

from campaigns import receipts
from campaigns.domain.provider import Receipt
from campaigns.domain.states import MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.contract.web.conftest import URLS, Web
from tests.integration.rows import query
from worker.web.callbacks import MOST_STRANGERS


async def fill(database: Database, account: str, count: int, *, look_count: int) -> None:
    await query(
        database,
        "INSERT INTO waiting_receipt (account, provider_message_id, provider_state, look_count)"
        " SELECT $1, 'x' || n, 'sent', $3 FROM generate_series(1, $2) AS n",
        account,
        count,
        look_count,
    )


async def tell(web: Web) -> int:
    async with web.client.get(web.path(URLS.url_of_account()) + "?id=stub-1&state=delivered") as answer:
        return answer.status


async def test_an_account_full_of_strangers_is_asked_to_come_again(web: Web, database: Database) -> None:
    await fill(database, "main", MOST_STRANGERS, look_count=1)
    assert await tell(web) == 503
    assert web.book.stored == []


async def test_another_account_s_strangers_are_not_its_own(web: Web, database: Database) -> None:
    await fill(database, "silent", MOST_STRANGERS, look_count=1)
    await fill(database, "main", MOST_STRANGERS - 1, look_count=1)
    await fill(database, "main", 10, look_count=0)  # not looked at yet: they may be anybody's
    assert await tell(web) == 200


async def test_a_receipt_that_was_looked_at_in_vain_is_a_stranger(
    database: Database, make_desk: MakeDesk
) -> None:
    await receipts.take_in_many(database, [("main", Receipt("nobody", MessageState.SENT, "sent"))])
    assert await receipts.strangers(database) == {}
    await receipts.merge_waiting(database, make_desk())
    assert await receipts.strangers(database) == {"main": 1}
