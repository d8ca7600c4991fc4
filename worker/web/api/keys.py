"""Operations on keys: who may use the API. No key gives what it does not have itself."""

from typing import Annotated

from pydantic import Field

from campaigns import keys
from campaigns.domain.access import SCOPE_MEANINGS, Scope
from campaigns.domain.allowance import Allowance
from worker import shapes
from worker.web.api import cursors
from worker.web.api.campaigns import Paged
from worker.web.api.operations import Answer, Asked, Call, Line, Moment, Operation, Rate
from worker.web.api.problems import Kind, Mistake, Refused

_TAG = "Keys"
Count = Annotated[int, Field(ge=1, le=2**53)] | None


OwnerName = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_.-]{0,62}$")]
"""The short name of an owner."""


class KeyPath(Asked):
    """Names a key."""

    id: str = Field(
        pattern="^[a-z0-9]{8}$",
        description="The key's id: what follows `cmp_` in it.",
        examples=["7f3k2m9a"],
    )


class WantedKey(Asked):
    """What a new key is to be."""

    owner: Annotated[
        OwnerName | None, Field(description="Whose it is; null: the owner of the key that makes it.")
    ] = None
    scopes: Annotated[
        list[Scope],
        Field(
            min_length=1,
            max_length=50,
            examples=[["read"]],
            description="; ".join(f"{scope}: {meaning}" for scope, meaning in SCOPE_MEANINGS.items()),
        ),
    ]
    accounts: Annotated[
        list[Line] | None,
        Field(min_length=1, max_length=200, description="Those it is limited to; null: all."),
    ] = None
    expires_at: Annotated[Moment | None, Field(description="When it ends; null: when it is revoked.")] = None
    all: Annotated[bool, Field(description="Whether it sees every owner's campaigns.")] = False
    recipients_per_day: Annotated[
        Count, Field(description="What its owner may submit in a day (UTC) with it; null: any number.")
    ] = None
    segments_per_month: Annotated[Count, Field(description="The same, of segments in a month.")] = None
    approval_above: Annotated[
        Count,
        Field(description="A campaign of more segments waits for approval; null: none does."),
    ] = None

    @property
    def allowance(self) -> Allowance:
        """How much it allows."""
        return Allowance(self.recipients_per_day, self.segments_per_month, self.approval_above)


async def list_keys(call: Call, query: Paged) -> Answer:
    """A page of the keys."""
    after = cursors.read_moment_and(str, query.cursor) if query.cursor is not None else None
    found = await keys.page(call.parts.database, call.caller.reach, limit=query.limit + 1, after=after)
    items, last = cursors.cut(found, query.limit)
    return Answer(
        shapes.KeyPage(
            items=[shapes.Key.of(row) for row in items],
            next_cursor=last and cursors.write(last.created_at.isoformat(), last.id),
        )
    )


async def create_key(call: Call, body: WantedKey) -> Answer:
    """Make a key."""
    for position, name in enumerate(body.accounts or ()):
        if name not in call.parts.desk.accounts or not call.caller.reach.has_account(name):
            raise Refused(
                Kind.INVALID_REQUEST,
                None,
                [Mistake(pointer=f"/body/accounts/{position}", detail="there is no such account")],
            )
    owner = body.owner or call.caller.key.owner
    if sentence := keys.excess(
        call.caller.key,
        owner=owner,
        scopes=body.scopes,
        accounts=body.accounts,
        expires_at=body.expires_at,
        is_for_all_owners=body.all,
        allowance=body.allowance,
    ):
        raise Refused(Kind.MISSING_SCOPE, sentence)
    made = await keys.create(
        call.parts.database,
        call.caller.actor,
        owner=owner,
        scopes=body.scopes,
        accounts=body.accounts,
        expires_at=body.expires_at,
        is_for_all_owners=body.all,
        allowance=body.allowance,
    )
    return Answer(shapes.NewKey.of(made.row, key=made.key), status=201)


async def revoke_key(call: Call, path: KeyPath) -> Answer:
    """End a key."""
    await keys.find(call.parts.database, call.caller.reach, path.id)
    await keys.revoke(call.parts.database, call.caller.actor, path.id)
    return Answer(shapes.Key.of(await keys.find(call.parts.database, call.caller.reach, path.id)))


OPERATIONS = (
    Operation(
        id="listKeys",
        method="GET",
        path="/v1/keys",
        tag=_TAG,
        summary="List keys, newest first",
        description="Those of the key's owner, without their secrets; revoked ones too.",
        handler=list_keys,
        scope=Scope.ADMIN,
        rate=Rate.READ,
        query=Paged,
        answers={200: shapes.KeyPage},
    ),
    Operation(
        id="createKey",
        method="POST",
        path="/v1/keys",
        tag=_TAG,
        summary="Make a key",
        description="Its secret is in this answer and nowhere else. A key cannot give what it does not have: "
        "scopes, another owner, every owner, accounts, a later end, a larger budget. Two keys of one owner "
        "may be valid at once: make the new one, have it used, revoke the old one. At most "
        f"{keys.MOST_KEYS} keys of an owner are valid at once.",
        handler=create_key,
        scope=Scope.ADMIN,
        rate=Rate.CHANGE,
        body=WantedKey,
        answers={201: shapes.NewKey},
        problems=(Kind.NOT_ALLOWED,),
    ),
    Operation(
        id="revokeKey",
        method="DELETE",
        path="/v1/keys/{id}",
        tag=_TAG,
        summary="Revoke a key",
        description="Its next request is refused. A key that is over already stays as it is.",
        handler=revoke_key,
        scope=Scope.ADMIN,
        rate=Rate.CHANGE,
        path_model=KeyPath,
        answers={200: shapes.Key},
    ),
)
