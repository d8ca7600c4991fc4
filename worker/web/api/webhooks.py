"""Operations on webhooks: who is told what happens, and what became of it."""

from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from campaigns import auditing, outbox
from campaigns.domain.access import Scope
from campaigns.domain.webhooks import CHOOSABLE, EndpointRefused, EventType, check_url, chosen_events
from campaigns.store.outbox.webhooks import Webhook
from worker import shapes
from worker.settings.safety import read_networks
from worker.web.api import cursors
from worker.web.api.campaigns import Paged
from worker.web.api.keys import OwnerName
from worker.web.api.operations import Answer, Asked, Call, Handler, Method, Moment, Operation, Rate, storable
from worker.web.api.problems import Kind, Mistake, Refused
from worker.webhooks import signing
from worker.webhooks.guard import check_name

_TAG = "Webhooks"
_MOST_ID = 2**63 - 1


def _choosable(given: EventType) -> EventType:
    if given not in CHOOSABLE:
        raise ValueError("a test comes to every webhook that asks for one")
    return given


Heard = Annotated[
    list[
        Annotated[
            EventType,
            AfterValidator(_choosable),
            WithJsonSchema({"type": "string", "enum": [each.value for each in CHOOSABLE]}),
        ]
    ],
    Field(min_length=1, max_length=50),
]


class WebhookPath(Asked):
    """Names a webhook."""

    id: UUID = Field(description="The webhook's id.", examples=["3f2b9c54-8f0e-4a53-9d7e-2f6b1c0a7d11"])


class EventPath(WebhookPath):
    """Names an event at a webhook."""

    event_id: UUID = Field(
        description="The event's id, as its deliveries and the header webhook-id have it.",
        examples=["9a1f6d0e-55c1-4c62-8e0b-6f3d2b7c4e90"],
    )


class WantedWebhook(Asked):
    """What a new webhook is to be."""

    url: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2_000,
            description="Where events are sent: https, a public address, no user.",
            examples=["https://shop.example.com/hook"],
        ),
        AfterValidator(storable),
    ]
    event_types: Annotated[
        Heard | None,
        Field(description="What it hears of; null: all but message.settled and campaign.progress."),
    ] = None
    with_numbers: Annotated[
        bool, Field(description="Tell numbers beside references. The key needs read:recipients.")
    ] = False
    owner: Annotated[
        OwnerName | None,
        Field(description="Whose campaigns it hears of; null: those of the key's owner."),
    ] = None
    all: Annotated[
        bool, Field(description="Hear of every owner's campaigns. The key must see them itself.")
    ] = False

    @model_validator(mode="after")
    def _is_of_one(self) -> Self:
        if self.all and self.owner is not None:
            raise ValueError("give one of owner and all")
        return self


class WebhookChange(Asked):
    """What is to be different; what is null stays."""

    event_types: Annotated[Heard | None, Field(description="What it hears of from now on.")] = None
    enabled: Annotated[
        bool | None,
        Field(
            description="false: deliver nothing; true: deliver again, beginning with what waits.",
            examples=[True],
        ),
    ] = None


class DeliveryFilter(Paged):
    """Which deliveries."""

    state: Literal["waiting", "succeeded", "given_up"] | None = None


class Recovery(Asked):
    """What is delivered once more."""

    since: Annotated[
        Moment, Field(description="What happened from then on.", examples=["2026-12-01T09:30:00+02:00"])
    ]
    all: Annotated[bool, Field(description="Also what it took: for a receiver that lost what it had.")] = (
        False
    )


def _owner(call: Call) -> str | None:
    """Whose webhooks the key sees; None: everybody's. Raises Refused."""
    if call.caller.reach.accounts is not None:
        raise Refused(Kind.MISSING_SCOPE, "the key is limited to accounts, and a webhook hears of all")
    return call.caller.reach.owner


async def _owned(call: Call, webhook_id: UUID) -> Webhook:
    return await outbox.find(call.parts.database, webhook_id, owner=_owner(call))


async def _record(call: Call, action: str, webhook_id: UUID | None, **detail: object) -> None:
    subject = "webhook" if webhook_id is None else f"webhook/{webhook_id}"
    await auditing.record(call.parts.database, call.caller.actor, f"webhook.{action}", subject, **detail)


async def _check(call: Call, url: str) -> None:
    """Judge an address as the command line does; every attempt is judged again where it connects."""
    settings = call.parts.settings
    allowed = read_networks(settings.webhook_allow or "")
    try:
        check_url(
            url,
            allows_plain_http=settings.allow_plain_http == "yes",
            allowed=allowed,
            own_url=settings.public_url,
        )
        await check_name(url, allowed)
    except EndpointRefused as refused:
        mistake = Mistake(pointer="/body/url", detail=str(refused))
        raise Refused(Kind.INVALID_REQUEST, None, [mistake]) from None


async def list_webhooks(call: Call, query: Paged) -> Answer:
    """A page of the webhooks."""
    after = cursors.read_moment_and_id(query.cursor) if query.cursor is not None else None
    found = await outbox.page(call.parts.database, owner=_owner(call), limit=query.limit + 1, after=after)
    items, last = cursors.cut(found, query.limit)
    return Answer(
        shapes.WebhookPage(
            items=[shapes.Webhook.like(each) for each in items],
            next_cursor=last and cursors.write(last.created_at.isoformat(), last.id),
        )
    )


async def create_webhook(call: Call, body: WantedWebhook) -> Answer:
    """Make a webhook."""
    owner = _owner(call)
    hears_of = None if body.all else body.owner or call.caller.key.owner
    if owner not in {None, hears_of}:
        raise Refused(Kind.MISSING_SCOPE, "the key sees the campaigns of its owner alone")
    if body.with_numbers and Scope.READ_RECIPIENTS not in call.caller.key.scopes:
        raise Refused(Kind.MISSING_SCOPE, f"to be told numbers, the key needs {Scope.READ_RECIPIENTS}")
    await _check(call, body.url)
    await _record(call, "create", None, owner=hears_of, with_numbers=body.with_numbers)
    secret = signing.new_secret()
    made = await outbox.create(
        call.parts.database,
        url=body.url,
        secret=secret,
        owner=hears_of,
        event_types=chosen_events(body.event_types or []),
        with_numbers=body.with_numbers,
    )
    shape = shapes.NewWebhook.like(await _owned(call, made), secret=secret)
    return Answer(shape, 201, {"Location": f"/v1/webhooks/{made}"})


async def get_webhook(call: Call, path: WebhookPath) -> Answer:
    """One webhook."""
    return Answer(shapes.Webhook.like(await _owned(call, path.id)))


async def update_webhook(call: Call, path: WebhookPath, body: WebhookChange) -> Answer:
    """Change what a webhook hears of, and whether it is told."""
    await _owned(call, path.id)
    database = call.parts.database
    if body.event_types is not None:
        await _record(call, "choose", path.id, event_types=body.event_types)
        await outbox.choose(database, path.id, chosen_events(body.event_types))
    if body.enabled is not None:
        await _record(call, "enable" if body.enabled else "disable", path.id)
        if body.enabled:
            await outbox.enable(database, path.id)
        else:
            await outbox.disable(database, path.id, f"disabled by key {call.caller.key.id}")
    return await get_webhook(call, path)


async def delete_webhook(call: Call, path: WebhookPath) -> Answer:
    """Forget a webhook."""
    await _owned(call, path.id)
    await _record(call, "delete", path.id)
    await outbox.delete(call.parts.database, path.id)
    return Answer(shapes.WebhookDone(id=path.id))


async def rotate_secret(call: Call, path: WebhookPath) -> Answer:
    """Sign by a new secret."""
    await _owned(call, path.id)
    await _record(call, "rotate", path.id)
    secret = signing.new_secret()
    until = await outbox.rotate(call.parts.database, path.id, secret)
    return Answer(shapes.WebhookSecret(id=path.id, secret=secret, previous_secret_until=until))


async def send_test(call: Call, path: WebhookPath) -> Answer:
    """Send an event of no meaning."""
    await _owned(call, path.id)
    event_id = await outbox.send_test(call.parts.database, path.id)
    return Answer(shapes.WebhookDone(id=path.id, event_id=event_id), 202)


async def list_deliveries(call: Call, path: WebhookPath, query: DeliveryFilter) -> Answer:
    """A page of a webhook's deliveries."""
    await _owned(call, path.id)
    before = cursors.read_numbers(query.cursor, 1, most=_MOST_ID)[0] if query.cursor is not None else None
    found = await outbox.delivery_page(
        call.parts.database, path.id, limit=query.limit + 1, before=before, state=query.state
    )
    items, last = cursors.cut(found, query.limit)
    return Answer(
        shapes.WebhookDeliveryPage(
            items=[shapes.WebhookDelivery.like(each) for each in items],
            next_cursor=last and cursors.write(last.id),
        )
    )


async def replay_delivery(call: Call, path: EventPath) -> Answer:
    """Deliver one event once more."""
    await _owned(call, path.id)
    await _record(call, "replay", path.id, event_id=str(path.event_id))
    await outbox.replay(call.parts.database, path.id, path.event_id)
    return Answer(shapes.WebhookDone(id=path.id, event_id=path.event_id), 202)


async def recover_webhook(call: Call, path: WebhookPath, body: Recovery) -> Answer:
    """Deliver what a webhook missed."""
    await _owned(call, path.id)
    await _record(call, "recover", path.id, since=body.since.isoformat())
    count = await outbox.recover(call.parts.database, path.id, body.since, all_of_them=body.all)
    return Answer(shapes.WebhookDone(id=path.id, event_count=count), 202)


def _operation(
    id_: str, method: Method, path: str, summary: str, handler: Handler, description: str = "", **more: Any
) -> Operation:
    given: dict[str, Any] = {
        "rate": Rate.READ if method == "GET" else Rate.CHANGE,
        "path_model": WebhookPath if "{id}" in path else None,
    }
    return Operation(
        id=id_,
        method=method,
        path=path,
        tag=_TAG,
        summary=summary,
        description=description,
        handler=handler,
        scope=Scope.ADMIN,
        **given | more,
    )


OPERATIONS = (
    _operation(
        "listWebhooks",
        "GET",
        "/v1/webhooks",
        "List webhooks and how they do, oldest first",
        list_webhooks,
        query=Paged,
        answers={200: shapes.WebhookPage},
    ),
    _operation(
        "createWebhook",
        "POST",
        "/v1/webhooks",
        "Make a webhook",
        create_webhook,
        "Its secret, by which it verifies what it gets, is in this answer and nowhere else. "
        "What is sent is in `webhooks` of this document. It hears of the campaigns of the key's owner. "
        f"An owner has {outbox.MOST_WEBHOOKS} webhooks at most.",
        body=WantedWebhook,
        answers={201: shapes.NewWebhook},
        problems=(Kind.NOT_ALLOWED,),
    ),
    _operation(
        "getWebhook",
        "GET",
        "/v1/webhooks/{id}",
        "Read one webhook and how it does",
        get_webhook,
        answers={200: shapes.Webhook},
    ),
    _operation(
        "updateWebhook",
        "PATCH",
        "/v1/webhooks/{id}",
        "Change what a webhook hears of, and whether it is told",
        update_webhook,
        "What happens while it is disabled comes by recover.",
        body=WebhookChange,
        answers={200: shapes.Webhook},
    ),
    _operation(
        "deleteWebhook",
        "DELETE",
        "/v1/webhooks/{id}",
        "Forget a webhook, and what waits for it",
        delete_webhook,
        answers={200: shapes.WebhookDone},
    ),
    _operation(
        "rotateWebhookSecret",
        "POST",
        "/v1/webhooks/{id}/rotate-secret",
        "Make a new secret",
        rotate_secret,
        "For a day the one of before signs as well, so that nothing is refused meanwhile.",
        answers={200: shapes.WebhookSecret},
    ),
    _operation(
        "testWebhook",
        "POST",
        "/v1/webhooks/{id}/test",
        "Send an event of no meaning to this webhook alone",
        send_test,
        "What it answered is among its deliveries.",
        rate=Rate.SEARCH,
        answers={202: shapes.WebhookDone},
    ),
    _operation(
        "listDeliveries",
        "GET",
        "/v1/webhooks/{id}/deliveries",
        "List a webhook's deliveries, newest first",
        list_deliveries,
        "With the first 1,000 bytes of the last answer. They are kept for 30 days.",
        query=DeliveryFilter,
        answers={200: shapes.WebhookDeliveryPage},
    ),
    _operation(
        "replayDelivery",
        "POST",
        "/v1/webhooks/{id}/deliveries/{event_id}/replay",
        "Deliver one event once more",
        replay_delivery,
        "With its id of before.",
        path_model=EventPath,
        answers={202: shapes.WebhookDone},
    ),
    _operation(
        "recoverWebhook",
        "POST",
        "/v1/webhooks/{id}/recover",
        "Deliver what a webhook missed since a moment",
        recover_webhook,
        "In order and with the ids of before.",
        body=Recovery,
        answers={202: shapes.WebhookDone},
    ),
)
