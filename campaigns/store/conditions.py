"""Conditions of the law that several statements share, each said once."""

from campaigns.domain.states import SENDABLE, CampaignState
from campaigns.store.law import in_list, quoted

MAY_STILL_BE_SENT = f"""(c.state <> {quoted(CampaignState.CANCELLED)}
    AND (c.not_after IS NULL OR c.not_after > now()))"""
"""Whether what is left of campaign `c` may be handed over now or later: it is neither cancelled nor too late.
An operator may have doubt queued again then; it waits for `may_be_sent`.
"""


def may_be_sent(account: str) -> str:
    """Whether anything of campaign `c` may be handed over now through `account`, an expression. Used where
    batches are dealt, where the intent is written (what changed between the two counts), and where the
    campaign's wish sends doubt again.
    """
    return f"""({MAY_STILL_BE_SENT} AND c.state IN {in_list(SENDABLE)}
    AND NOT EXISTS (SELECT 1 FROM campaign_hold h WHERE h.campaign_id = c.id AND h.lifted_at IS NULL)
    AND NOT EXISTS (SELECT 1 FROM account_hold h WHERE h.account = {account}))"""
