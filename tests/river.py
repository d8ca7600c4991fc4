"""The river for tests: submit rows, and let dealing, sending, polling and rescue flow until still."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from campaigns import aggregation, batching, reading, receipts, rescue, sending, submission
from campaigns.domain.blocks import Block, in_blocks
from campaigns.domain.limits import AccountTerms
from campaigns.domain.policy import BATCH_SIZE, Desk
from campaigns.store.reading.overviews import Overview
from campaigns.store.session import Database
from campaigns.store.submission import TakenIn
from tests.conftest import POLICY


def phones(count: int, *, first: int = 0) -> list[dict[str, str]]:
    """Rows with valid Lithuanian mobile numbers, all different, none of a special fate."""
    return [{"phone": f"+3706{(first + n) // 80:05d}{(first + n) % 80:02d}"} for n in range(count)]


def numbered(rows: Iterable[Mapping[str, str]]) -> Iterator[Block]:
    """Rows as a CSV file numbers them: the header is row 1."""
    return in_blocks(enumerate(rows, 2))


async def submit(
    database: Database,
    rows: Sequence[Mapping[str, str]],
    *,
    text: str = "Hello",
    account: str = "main",
    policy: Any = POLICY,
    currency: str | None = None,
    needs_sender_id: bool = True,
    batch_size: int = BATCH_SIZE,
    **more: Any,
) -> TakenIn:
    """Take rows in as a campaign."""
    wanted = submission.Submission(
        account=AccountTerms(account, currency=currency, needs_sender_id=needs_sender_id),
        text=text,
        sender_id=more.pop("sender_id", "Demo"),
        name=more.pop("name", "test"),
        **more,
    )
    return await submission.submit(database, policy, wanted, numbered(rows), batch_size=batch_size)


async def flow(database: Database, desk: Desk, campaign_id: Any, *, rounds: int = 50) -> Overview:
    """Let everything due happen, round after round, until the campaign is over or nothing moves."""
    for _ in range(rounds):
        await rescue.rescue(database)
        for dealt in await batching.deal_sending(database, desk):
            await sending.send_batch(database, desk, dealt)
        for dealt in await batching.deal_polling(database, desk):
            await receipts.poll_batch(database, desk, dealt)
        await aggregation.finish(database)
        overview = await reading.status(database, campaign_id)
        if overview.finished_at is not None:
            break
    return await reading.status(database, campaign_id)


async def lines(database: Database, campaign_id: Any) -> list[dict[str, Any]]:
    """The whole export."""
    _, rows = await reading.export(database, campaign_id)
    return [row async for row in rows]
