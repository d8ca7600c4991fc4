"""The table of operations: what is not here has no route."""

from worker.web.api import campaigns
from worker.web.api.operations import Operation

OPERATIONS: tuple[Operation, ...] = (*campaigns.OPERATIONS,)
