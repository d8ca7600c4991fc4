"""The operation that erases what is known of numbers."""

from campaigns import auditing, erasing, suppression
from campaigns.domain.access import Scope
from worker import shapes
from worker.web.api.operations import Answer, Call, Operation, Rate
from worker.web.api.suppressed import Listed


async def erase(call: Call, body: Listed) -> Answer:
    """Erase numbers."""
    phones = suppression.read_phones(body.phones, body.region)
    await auditing.record(
        call.parts.database, call.caller.actor, "number.erase", "messages", phone_count=len(phones)
    )
    found = await erasing.erase(call.parts.database, phones, call.caller.reach)
    return Answer(shapes.Erased.like(found))


OPERATIONS = (
    Operation(
        id="eraseNumbers",
        method="POST",
        path="/v1/erasures",
        tag="Suppression",
        summary="Erase what is known of these numbers",
        description="Number, own text and own columns of each settled message of the campaigns within reach."
        " Totals, states and cost stay. The numbers go on the suppression list first and stay there."
        " `open_count` messages are not settled yet: ask again when they are. It cannot be undone.",
        handler=erase,
        scope=Scope.ADMIN,
        rate=Rate.SEARCH,
        body=Listed,
        body_bytes=256 * 1024,
        answers={200: shapes.Erased},
    ),
)
