"""The audit: who changed what, on what, from where, when. Nothing deletes a row.

A row is written before its change is tried. So there may be a row of a change that was then refused, and
there is no change without a row.
"""

from typing import Any

from campaigns.domain.access import Actor
from campaigns.store import auditing as rows
from campaigns.store.auditing import AuditRow
from campaigns.store.session import Database


async def record(database: Database, actor: Actor, action: str, subject: str, **detail: Any) -> None:
    """Write down what is about to be done.

    Takes the action (`campaign.pause`), what it is done to (`campaign/<id>`), and details that are no secret,
    number or text; those that are None are left out. Raises DatabaseUnavailable: then do not do it.
    """
    told = {name: value for name, value in detail.items() if value is not None}
    await rows.add(database, actor, action, subject, told)


async def page(
    database: Database,
    *,
    limit: int,
    before: int | None = None,
    subject: str | None = None,
    owner: str | None = None,
) -> list[AuditRow]:
    """The newest rows, newest first. `before`: those older than the row of this id; `subject`: of one thing;
    `owner`: what this owner's keys did.
    """
    return await rows.page(database, limit=limit, before=before, subject=subject, owner=owner)
