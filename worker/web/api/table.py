"""The table of operations: what is not here has no route."""

from worker.web.api import (
    accounts,
    acts,
    audit,
    campaigns,
    checking,
    erasing,
    events,
    following,
    keys,
    messages,
    set_aside,
    submitting,
    suppressed,
    webhooks,
    working,
)
from worker.web.api.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    *campaigns.OPERATIONS,
    *events.OPERATIONS,
    *submitting.OPERATIONS,
    *checking.OPERATIONS,
    *following.OPERATIONS,
    *messages.OPERATIONS,
    *acts.OPERATIONS,
    *accounts.OPERATIONS,
    *working.OPERATIONS,
    *set_aside.OPERATIONS,
    *suppressed.OPERATIONS,
    *erasing.OPERATIONS,
    *webhooks.OPERATIONS,
    *keys.OPERATIONS,
    *audit.OPERATIONS,
)

BY_ID = {operation.id: operation for operation in OPERATIONS}
"""Each by its id."""
