"""Moves of campaigns: the row is locked, and the law asked, before a statement changes the state."""

from uuid import UUID

from campaigns.domain.errors import NotAllowed, no_such_campaign
from campaigns.domain.states import CAMPAIGN_MOVES, CampaignState
from campaigns.store.session import Connection


async def lock_to_move(connection: Connection, campaign_id: UUID, target: CampaignState) -> CampaignState:
    """Lock a campaign for the rest of the transaction. Gives its state, which may be `target` already.

    Raises NotFound, and NotAllowed where it cannot become `target`.
    """
    found = await connection.fetchval(
        "SELECT state::text FROM campaign WHERE id = $1 FOR NO KEY UPDATE", campaign_id
    )
    if found is None:
        raise no_such_campaign(campaign_id)
    before = CampaignState(found)
    if before is not target and target not in CAMPAIGN_MOVES.get(before, frozenset()):
        raise NotAllowed(f"campaign {campaign_id} is {before}; it cannot become {target}")
    return before
