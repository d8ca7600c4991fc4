"""The operation that says whether anybody works on what is due."""

from campaigns import watching
from campaigns.domain.access import Scope
from worker import shapes
from worker.web.api.operations import Answer, Call, Operation, Rate


async def get_working(call: Call) -> Answer:
    """Whether workers and beat are there."""
    found = await watching.working(call.parts.database, tick_seconds=call.parts.settings.tick_seconds)
    return Answer(shapes.Working.of(found))


OPERATIONS = (
    Operation(
        id="getWorking",
        method="GET",
        path="/v1/working",
        tag="Accounts",
        summary="Read whether anybody works on what is due",
        description="As `campaigns status --json` has it under `working`.",
        handler=get_working,
        scope=Scope.READ,
        rate=Rate.READ,
        answers={200: shapes.Working},
    ),
)
