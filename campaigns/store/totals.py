"""What is known of a campaign as a whole: the sum over its batches' tallies, kept where it is over."""

from collections.abc import Mapping
from typing import Any

from campaigns.domain.states import MessageState
from campaigns.store.law import TALLY_COLUMNS, tally_column


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
