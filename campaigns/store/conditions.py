"""Conditions of the law that statements share, each said once: of batch `b`, campaign `c`, message `m`."""

from campaigns.domain.states import SENDABLE, UNLEASED, BatchState, CampaignState, MessageState
from campaigns.store.law import in_list, quoted

IS_READY = f"b.state = {quoted(BatchState.READY)}"
"""Whether something of batch `b` waits to be handed over, and nobody works on it."""

IS_LEASED = f"b.state = {quoted(BatchState.LEASED)}"
"""Whether batch `b` is under a lease. As the index of what is leased has it."""

IS_QUEUED = f"m.state = {quoted(MessageState.QUEUED)}"
IS_SENDING = f"m.state = {quoted(MessageState.SENDING)}"
IS_IN_DOUBT = f"m.state = {quoted(MessageState.IN_DOUBT)}"

IS_NOT_DONE = f"b.state <> {quoted(BatchState.DONE)}"
"""Whether something in batch `b` is not settled. As the index of open batches has it."""

IS_OVER = (
    f"(SELECT b.id FROM batch b WHERE b.campaign_id = c.id AND {IS_NOT_DONE}"
    " ORDER BY b.account LIMIT 1) IS NULL"
)
"""Whether every message of campaign `c` is settled. The first open batch in order of the index of open ones:
for a plain NOT EXISTS PostgreSQL would rather read all that are or were open.
"""

IS_UNLEASED = f"b.state IN {in_list(UNLEASED)}"
"""Whether nobody works on batch `b`, and something in it is not settled. As the indexes of what is to be
polled and of deadlines have it.
"""

IS_LEASED_BY_ID = f"b.state::text = {quoted(BatchState.LEASED)}"
"""Whether batch `b`, found by its id, is under a lease. As text: the index of what is leased, which holds all
that was leased since the last VACUUM, is then not read for it.
"""

IS_CANCELLED = f"(c.state = {quoted(CampaignState.CANCELLED)})"
"""Whether a person stopped campaign `c`."""

MAY_STILL_BE_SENT = f"""(NOT {IS_CANCELLED}
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
