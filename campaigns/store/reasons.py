"""Why messages reached nobody: kept with each batch when its tally is counted, summed for a campaign."""

import json
from collections.abc import Sequence

from campaigns.domain.states import UNREACHED, MessageState
from campaigns.domain.values import value
from campaigns.domain.witness import LEFT_BEFORE
from campaigns.store.law import in_list, quoted, sum_of

MAY_HAVE_REASON: frozenset[MessageState] = UNREACHED | {MessageState.IN_DOUBT}
"""The states of messages that are counted by reason."""

_MOST = 5  # reasons that a status shows


@value
class Reason:
    """Why so many messages of a campaign reached nobody: the provider's code, and a sentence."""

    code: str | None
    reason: str | None
    count: int


def has_reason(message: str) -> str:
    """SQL: whether a message is counted by its reason. Of those in doubt only what Redis saw leave before:
    all others wait for their answer, and that is no reason.
    """
    return (
        f"({message}.state IN {in_list(UNREACHED)}"
        f" OR ({message}.state = {quoted(MessageState.IN_DOUBT)} AND {message}.reason LIKE '{LEFT_BEFORE}'))"
    )


def counted_reason(message: str) -> str:
    """SQL: the reason it is counted by."""
    return f"coalesce({message}.provider_reason, {message}.reason)"


def may_hold(reason: str) -> str:
    """SQL: whether batch `b` may hold messages that are counted by a reason, which is given as it would be in
    `b.reasons`: `[["reason"]]`. It may have it for a code, too.
    """
    return f"{sum_of(MAY_HAVE_REASON, 'b')} > 0 AND (b.reasons IS NULL OR b.reasons @> {reason})"


# Many batches have the same reasons: each kind is looked into once. Batches that the release before counted
# last, or nobody yet, are one kind, and only where there are any are their messages read.
REASONS = f"""
    (WITH kinds AS MATERIALIZED (
        SELECT b.reasons, count(*) AS n FROM batch b
        WHERE b.campaign_id = c.id AND {sum_of(MAY_HAVE_REASON, "b")} > 0 GROUP BY b.reasons
    )
    SELECT coalesce(jsonb_agg(to_jsonb(r) ORDER BY r.count DESC, r.code, r.reason), '[]') FROM (
        SELECT s.code, s.reason, sum(s.count)::int AS count FROM (
            SELECT e->>0 AS code, e->>1 AS reason, (e->>2)::int * k.n AS count
            FROM kinds k CROSS JOIN LATERAL jsonb_array_elements(k.reasons) e
            UNION ALL
            SELECT m.provider_state, {counted_reason("m")}, 1
            FROM kinds k JOIN batch b ON b.campaign_id = c.id JOIN message m ON m.batch_id = b.id
            WHERE k.reasons IS NULL AND b.reasons IS NULL AND {sum_of(MAY_HAVE_REASON, "b")} > 0
              AND {has_reason("m")}) s
        GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {_MOST}) r)
"""
"""SQL: the commonest reasons in campaign `c`, as JSON. Of what is over they are kept with the totals."""


def reasons_of(said: str | None) -> Sequence[Reason]:
    """What `REASONS` gives, the commonest first."""
    return [Reason(**each) for each in json.loads(said or "[]")]
