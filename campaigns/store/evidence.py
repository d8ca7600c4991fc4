"""What providers say of messages, in the form the database's functions take it."""

from collections.abc import Sequence

from campaigns.domain.said import Told
from campaigns.domain.states import MessageState
from campaigns.domain.values import value
from campaigns.store.session import arrays, numbers, texts


@value
class Saying:
    """What was said alike of some messages of a batch. `by_id`: callbacks name them by that id alone."""

    batch_id: int
    positions: Sequence[int]
    state: MessageState | None
    provider_state: str
    provider_message_id: str | None
    by_id: bool
    told: Told


EVIDENCE_TYPES = (
    *("bigint", "text", "text", "text", "text", "bool"),
    *("text", "timestamptz", "numeric", "text", "smallint", "text"),
)
"""What `evidence_values` gives, as the database's functions take it."""

MERGE_EVIDENCE = f"SELECT merge_evidence($1::text::bigint[], {arrays(EVIDENCE_TYPES, first=2)})"
"""Merge into messages of batches that the caller's transaction holds: `numbers` of their ids, and values."""


def evidence_values(said: Sequence[Saying]) -> list[str | list[str | None]]:
    """What was said, one array for each of `EVIDENCE_TYPES`."""
    told = [each.told for each in said]
    return [
        numbers(each.batch_id for each in said),
        [numbers(each.positions) for each in said],
        [each.state for each in said],
        [each.provider_state for each in said],
        [each.provider_message_id for each in said],
        numbers(each.by_id for each in said),
        [each.reason for each in told],
        texts([each.changed_at.isoformat() if each.changed_at else None for each in told]),
        numbers(each.cost for each in told),
        [each.currency for each in told],
        numbers(each.segment_count for each in told),
        [each.channel for each in told],
    ]
