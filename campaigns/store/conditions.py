"""Conditions of the law that several statements share, each said once."""

MAY_BE_SENT = """(c.state IN ('accepted', 'running')
    AND (c.not_after IS NULL OR c.not_after > now())
    AND NOT EXISTS (SELECT 1 FROM campaign_hold h WHERE h.campaign_id = c.id AND h.lifted_at IS NULL)
    AND NOT EXISTS (SELECT 1 FROM account_hold h WHERE h.account = c.account))"""
"""Whether anything of campaign `c` may be handed over now. Used where batches are dealt and where the intent
is written: what changed between the two counts.
"""
