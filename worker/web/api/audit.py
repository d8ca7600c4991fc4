"""The operation that reads the audit."""

from typing import Annotated

from pydantic import Field

from campaigns import auditing
from campaigns.domain.access import Scope
from worker import shapes
from worker.web.api import cursors
from worker.web.api.campaigns import Paged
from worker.web.api.operations import Answer, Call, Line, Operation, Rate

_MOST = 2**63 - 1


class AuditFilter(Paged):
    """Which entries."""

    subject: Annotated[Line | None, Field(description="Such as campaign/<id>.")] = None


async def list_audit(call: Call, query: AuditFilter) -> Answer:
    """A page of the audit: of the key's owner, or of everybody for a key that sees all."""
    before = cursors.read_numbers(query.cursor, 1, most=_MOST)[0] if query.cursor is not None else None
    found = await auditing.page(
        call.parts.database,
        limit=query.limit + 1,
        before=before,
        subject=query.subject,
        owner=call.caller.reach.owner,
    )
    items, last = cursors.cut(found, query.limit)
    return Answer(
        shapes.AuditPage(
            items=[shapes.AuditEntry.of(each) for each in items], next_cursor=last and cursors.write(last.id)
        )
    )


OPERATIONS = (
    Operation(
        id="listAudit",
        method="GET",
        path="/v1/audit",
        tag="Audit",
        summary="Read who changed what",
        description="Newest first: what keys of the same owner did; for a key with `all`, everybody's.",
        handler=list_audit,
        scope=Scope.ADMIN,
        rate=Rate.READ,
        query=AuditFilter,
        answers={200: shapes.AuditPage},
    ),
)
