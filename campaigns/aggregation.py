"""The end of a campaign, and its totals: is it finished, and do the tallies and the messages agree?

Each batch keeps a tally of its messages by state, counted in the same transaction that changes them; a
campaign's totals are the sum over its batches. `verify` counts the messages themselves and must agree.
"""

import asyncio
from contextlib import suppress
from uuid import UUID

from campaigns.domain.errors import DatabaseUnavailable
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store import aggregation as rows
from campaigns.store import days, progress
from campaigns.store.rescue import sweep
from campaigns.store.session import Database

_BATCHES_A_SWEEP = 200
_SUMMED_UP_A_TICK = 10
_DAYS_SECONDS = 2.0  # before the next look for a campaign that is over
_LOOK_SECONDS = progress.POINT_SECONDS / 2  # what has not changed is summed for it as well


async def finish(database: Database, campaign_id: UUID | None = None) -> list[UUID]:
    """End the campaign (None: every campaign) whose messages are all settled. Gives those ended now.

    Idempotent. To be called after a batch is done, and on every tick for what a crash left open.
    """
    if campaign_id is None:
        return await rows.finish_all(database)
    return [campaign_id] if await rows.finish(database, campaign_id) else []


async def sum_up(database: Database) -> None:
    """Keep the totals of campaigns that are over: `status` of a million then costs what it costs of a few.

    Idempotent; for every tick. Where a late receipt changes one after all, it is summed again.
    """
    await rows.sum_up(database, limit=_SUMMED_UP_A_TICK)


async def keep_days(database: Database) -> None:
    """Count what went through accounts by day, of campaigns that are over, for ever: one process at a time,
    and beside the ticks, for a campaign of a million messages takes seconds. To be cancelled at the end; what
    was begun is then counted from its beginning another time.
    """
    while True:
        with suppress(DatabaseUnavailable):  # the tick says so
            while await days.count(database) is not None:
                continue
        await asyncio.sleep(_DAYS_SECONDS)


class Progress:
    """Notes how campaigns go over time, for every tick; it does not look at each."""

    def __init__(self) -> None:
        self._looked_at = float("-inf")

    async def note(self, database: Database) -> None:
        """Give each open campaign whose totals have changed a point, and tell webhooks that hear of progress.

        Idempotent; also where several processes do it. The last point comes with the totals, by `sum_up`.
        """
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            await progress.note(database)


async def change_state(database: Database, campaign_id: UUID, target: CampaignState) -> bool:
    """Pause, resume (target running) or cancel. Gives False when it was so already.

    Handing over stops within one batch: the intent of each request is written only while the campaign
    runs. Polling of what was handed over goes on. Raises NotFound, NotAllowed.
    """
    _before, changed = await rows.change_state(database, campaign_id, target)
    if target is CampaignState.CANCELLED:
        # A million rows in bounded transactions; if we die in the middle, the tick goes on.
        while await sweep.cancel_queued(database, limit=_BATCHES_A_SWEEP, campaign_id=campaign_id):
            continue
        await finish(database, campaign_id)
    return changed


async def rename(database: Database, campaign_id: UUID, name: str) -> None:
    """Give a campaign another name, in any state. Raises NotFound."""
    await rows.rename(database, campaign_id, name)


async def verify(database: Database, campaign_id: UUID) -> dict[MessageState, tuple[int, int]]:
    """States whose tally and recount differ: state -> (tally, recount). Empty when all adds up.

    Also while the campaign runs: both are taken at the same moment. Raises NotFound.
    """
    counts = await rows.recount(database, campaign_id)
    return {state: (tally, counted) for state, (tally, counted) in counts.items() if tally != counted}
