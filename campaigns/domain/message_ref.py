"""Our reference of a message: what providers repeat, and what callbacks are matched by."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

_REF = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,8})-([0-9]{1,2})", re.ASCII)
REFERENCE_PATTERN = r"^[0-9a-f]{32}-[1-9][0-9]{0,8}-[0-9]{1,2}$"
"""The form of a reference, for documents."""


@dataclass(frozen=True, slots=True)
class MessageKey:
    """Where a message stands: its campaign, its batch's number in it, its position there."""

    campaign_id: UUID
    number: int
    position: int


def message_ref(campaign_id: UUID, number: int, position: int) -> str:
    """Our id of a message: the same on every attempt, unique over all installations.

    It says where the message stands, so that a callback finds it by key. Letters, digits and - alone,
    at most 45 characters: what every provider takes.
    """
    return message_refs(campaign_id, number, [position])[0]


def message_refs(campaign_id: UUID, number: int, positions: Iterable[int]) -> list[str]:
    """Those of several messages of one batch, in order."""
    of_batch = f"{campaign_id.hex}-{number}-"
    return [f"{of_batch}{position}" for position in positions]


def key_of(ref: str) -> MessageKey | None:
    """Where the message of a reference stands; None for what is no reference of ours."""
    match = _REF.fullmatch(ref)
    return None if match is None else MessageKey(UUID(match[1]), int(match[2]), int(match[3]))
