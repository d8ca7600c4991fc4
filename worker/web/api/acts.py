"""Operations that change a campaign. Each is in the audit before it is done."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from campaigns import aggregation, auditing, batching, holding, rescue, submission
from campaigns.domain.access import Scope
from campaigns.domain.following import CONFIRMATION
from campaigns.domain.schedule import Schedule
from campaigns.domain.states import CampaignState
from worker import shapes
from worker.web.api.campaigns import CampaignPath, header, owned
from worker.web.api.operations import Answer, Asked, Call, Handler, Line, Moment, Operation, Rate, Region
from worker.web.api.problems import Kind

_TAG = "Acts"


class NewName(Asked):
    """What a campaign is to be called."""

    name: Annotated[Line, Field(description="Printable characters on one line.", examples=["Spring sale"])]


class Resumption(Asked):
    """With what a campaign goes on."""

    sender_id: Annotated[
        str | None, Field(min_length=1, max_length=16, description="Where the one before was refused.")
    ] = None


class NewTime(Asked):
    """When a campaign is to go on."""

    send_at: Annotated[
        Moment,
        Field(
            description="Nothing is handed over before; a moment of the last 24 hours is now.",
            examples=["2026-12-01T09:30:00+02:00"],
        ),
    ]
    not_after: Annotated[Moment | None, Field(description="What is left then expires; null: as it was.")] = (
        None
    )


class Resolution(Asked):
    """What becomes of messages in doubt."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"decision": {"const": "assume_sent"}}},
                {"properties": {"confirm": {"const": CONFIRMATION}}, "required": ["confirm"]},
            ]
        }
    )

    decision: Annotated[
        Literal["resend", "assume_sent"],
        Field(
            description="resend: queue them again; assume_sent: settle them as unknown.",
            examples=["assume_sent"],
        ),
    ]
    phone: Annotated[Line | None, Field(description="Only this number's message.")] = None
    region: Region | None = None
    confirm: Annotated[str | None, Field(max_length=100, description=f"For resend: {CONFIRMATION!r}.")] = None

    @model_validator(mode="after")
    def _is_meant(self) -> Self:
        if self.decision == "resend" and self.confirm != CONFIRMATION:
            raise ValueError(f"to resend, give confirm: {CONFIRMATION!r}")
        return self


async def _record(call: Call, action: str, campaign_id: UUID, **detail: object) -> None:
    subject = f"campaign/{campaign_id}"
    await auditing.record(call.parts.database, call.caller.actor, f"campaign.{action}", subject, **detail)


async def _now(call: Call, campaign_id: UUID) -> Answer:
    return Answer(shapes.OwnedCampaign.of(await owned(call, campaign_id)))


def _change(action: str, target: CampaignState) -> Handler:
    async def change(call: Call, path: CampaignPath) -> Answer:
        before = (await header(call, path.id)).state
        await _record(call, action, path.id, before=before)
        await aggregation.change_state(call.parts.database, path.id, target)
        return await _now(call, path.id)

    return change


async def resume_campaign(call: Call, path: CampaignPath, body: Resumption | None) -> Answer:
    """Let a campaign go on that is paused or on hold."""
    before = await header(call, path.id)
    sender_id = None if body is None else body.sender_id
    if sender_id is not None:
        submission.sender_of(call.parts.settings.terms(before.account), sender_id)
    await _record(call, "resume", path.id, before=before.state, sender_id=sender_id)
    await holding.resume_campaign(
        call.parts.database,
        path.id,
        operator=_name_of(call),
        sender_id=sender_id,
        approval_above=call.caller.key.allowance.approval_above,
    )
    return await _now(call, path.id)


async def resolve_doubt(call: Call, path: CampaignPath, body: Resolution) -> Answer:
    """Decide what becomes of messages in doubt."""
    await header(call, path.id)
    is_one = body.phone is not None
    await _record(call, "resolve", path.id, decision=body.decision, one_number=is_one)
    count = await rescue.resolve(
        call.parts.database,
        call.parts.desk.policy,
        path.id,
        body.decision,
        raw_phone=body.phone,
        region=body.region,
        operator=_name_of(call),
    )
    return Answer(shapes.Count(count=count))


async def reschedule_campaign(call: Call, path: CampaignPath, body: NewTime) -> Answer:
    """Have what is not handed over yet wait until another time."""
    await header(call, path.id)
    schedule = Schedule(body.send_at, body.not_after)
    await _record(call, "reschedule", path.id, send_at=str(body.send_at))
    count = await batching.reschedule(call.parts.database, call.parts.desk.policy, path.id, schedule)
    return Answer(shapes.Count(count=count))


async def rename_campaign(call: Call, path: CampaignPath, body: NewName) -> Answer:
    """Give a campaign another name."""
    await header(call, path.id)
    name = submission.check_name(body.name)
    await _record(call, "rename", path.id)
    await aggregation.rename(call.parts.database, path.id, name)
    return await _now(call, path.id)


def _name_of(call: Call) -> str:
    return f"key {call.caller.key.id}"


def _act(id_: str, name: str, summary: str, handler: Handler, description: str = "") -> Operation:
    return Operation(
        id=id_,
        method="POST",
        path=f"/v1/campaigns/{{id}}/{name}",
        tag=_TAG,
        summary=summary,
        description=description,
        handler=handler,
        scope=Scope.OPERATE,
        rate=Rate.CHANGE,
        path_model=CampaignPath,
        answers={200: shapes.OwnedCampaign},
        problems=(Kind.NOT_ALLOWED,),
    )


OPERATIONS = (
    _act(
        "pauseCampaign",
        "pause",
        "Stop handing over within one batch",
        _change("pause", CampaignState.PAUSED),
        "What was handed over is followed to its end.",
    ),
    _act(
        "cancelCampaign",
        "cancel",
        "Never hand over what is still queued",
        _change("cancel", CampaignState.CANCELLED),
        "What was handed over is followed to its end.",
    ),
    Operation(
        id="resumeCampaign",
        method="POST",
        path="/v1/campaigns/{id}/resume",
        tag=_TAG,
        summary="Go on with a campaign that is paused or on hold",
        handler=resume_campaign,
        scope=Scope.OPERATE,
        rate=Rate.CHANGE,
        path_model=CampaignPath,
        body=Resumption,
        body_is_optional=True,
        answers={200: shapes.OwnedCampaign},
        problems=(Kind.NOT_ALLOWED,),
    ),
    Operation(
        id="resolveDoubt",
        method="POST",
        path="/v1/campaigns/{id}/resolve",
        tag=_TAG,
        summary="Decide what becomes of messages in doubt",
        description="They were handed over and no answer was seen. Sent again, somebody may get two texts: "
        f'that needs `"confirm": "{CONFIRMATION}"`.',
        handler=resolve_doubt,
        scope=Scope.OPERATE,
        rate=Rate.CHANGE,
        path_model=CampaignPath,
        body=Resolution,
        answers={200: shapes.Count},
        problems=(Kind.NOT_ALLOWED,),
    ),
    Operation(
        id="rescheduleCampaign",
        method="POST",
        path="/v1/campaigns/{id}/reschedule",
        tag=_TAG,
        summary="Have what is not handed over yet wait until another time",
        description="`count` messages wait. What is being handed over at this moment is not held back.",
        handler=reschedule_campaign,
        scope=Scope.OPERATE,
        rate=Rate.CHANGE,
        path_model=CampaignPath,
        body=NewTime,
        answers={200: shapes.Count},
        problems=(Kind.NOT_ALLOWED,),
    ),
    Operation(
        id="renameCampaign",
        method="PATCH",
        path="/v1/campaigns/{id}",
        tag=_TAG,
        summary="Give a campaign another name",
        handler=rename_campaign,
        scope=Scope.OPERATE,
        rate=Rate.CHANGE,
        path_model=CampaignPath,
        body=NewName,
        answers={200: shapes.OwnedCampaign},
    ),
)
