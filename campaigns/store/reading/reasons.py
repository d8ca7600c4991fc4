"""Why messages of a campaign did not reach anybody, or may have reached them before, by count."""

import json
from collections.abc import Sequence

from campaigns.domain.states import UNREACHED, MessageState
from campaigns.domain.values import value
from campaigns.domain.witness import LEFT_BEFORE
from campaigns.store.law import in_list, quoted, sum_of

_MOST = 5


@value
class Reason:
    """What so many messages of a campaign have in common: the provider's code, and why in words."""

    code: str | None
    reason: str | None
    count: int


REASONS = f"""
    (SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.count DESC, r.code, r.reason), '[]') FROM (
        SELECT m.provider_state AS code, coalesce(m.provider_reason, m.reason) AS reason,
               count(*)::int AS count
        FROM batch b JOIN message m ON m.batch_id = b.id
        WHERE b.campaign_id = c.id
          AND {sum_of(UNREACHED | {MessageState.IN_DOUBT}, "b")} > 0
          AND (m.state IN {in_list(UNREACHED)}
               OR (m.state = {quoted(MessageState.IN_DOUBT)} AND m.reason LIKE '{LEFT_BEFORE}'))
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {_MOST}) r)
"""
"""SQL: the commonest reasons in campaign `c`, as JSON. Reads the messages of batches with any refused or in
doubt; of what is over they are kept with the totals.
"""


def reasons_of(said: str | None) -> Sequence[Reason]:
    """What `REASONS` gives, the commonest first."""
    return [Reason(**each) for each in json.loads(said or "[]")]
