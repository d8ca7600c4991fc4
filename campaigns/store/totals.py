"""What is known of a campaign as a whole: its totals, and why messages reached nobody.

Totals are the sum over its batches' tallies; of a campaign that is over both are kept with it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from campaigns.domain.states import UNREACHED, MessageState
from campaigns.domain.values import value
from campaigns.domain.witness import LEFT_BEFORE
from campaigns.store.law import TALLY_COLUMNS, in_list, quoted, sum_of, tally_column

_MOST = 5  # reasons that a status shows


@value
class Reason:
    """Why so many messages of a campaign reached nobody: the provider's code, and a sentence."""

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


def sums(campaign_id: str, batches: str) -> str:
    """The sums over a campaign's batches. Costs in other currencies than its own are looked at where there
    are any: then `batches` of `campaign_id` are read once more.
    """
    others = (
        "CASE WHEN count(other_costs) > 0 THEN (SELECT jsonb_object_agg(o.currency, jsonb_build_object("
        "'amount', o.amount::text, 'count', o.n)) FROM (SELECT e.key AS currency,"
        " sum((e.value->>'amount')::numeric) AS amount, sum((e.value->>'count')::int) AS n"
        f" FROM {batches} x CROSS JOIN LATERAL jsonb_each(x.other_costs) e"
        f" WHERE x.campaign_id = {campaign_id} GROUP BY e.key) o) END AS other_costs"
    )
    return ", ".join(
        (
            *(f"sum({column})::int AS {column}" for column in TALLY_COLUMNS),
            "sum(segment_count)::int AS segment_count",
            "sum(cost)::text AS cost",  # as text: JSON's numbers keep no trailing zero
            "sum(priced_count)::int AS priced_count",
            "sum(unpriced_count)::int AS unpriced_count",
            others,
            "max(trouble) AS trouble",
        )
    )


TOTALS = f"""
    coalesce(c.totals, (SELECT to_jsonb(t) FROM (
        SELECT {sums("c.id", "batch")} FROM batch b WHERE b.campaign_id = c.id) t))
"""
"""SQL: the totals of campaign `c`, as JSON: summed over its batches, a hundred times fewer rows than
messages. Of a campaign that is over they are kept.
"""


def by_state(totals: Mapping[str, Any]) -> dict[MessageState, int]:
    """The counts in totals, for every state. Totals of an older release lack later states: they had none."""
    return {state: totals.get(tally_column(state)) or 0 for state in MessageState}
