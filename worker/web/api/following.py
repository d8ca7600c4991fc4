"""The operation that follows a campaign up: a new campaign of exactly those whom it did not reach."""

from typing import Annotated, Literal, Self
from uuid import uuid4

from pydantic import AfterValidator, Field, model_validator

from campaigns import auditing, follow_up, reading, submission
from campaigns.domain.access import Scope
from campaigns.domain.following import CHOICES, CONFIRMATION, chosen
from campaigns.domain.schedule import Schedule
from campaigns.domain.tracing import TRACE_HEADER, trace_parent
from worker import shapes
from worker.web.api.campaigns import CampaignPath, header
from worker.web.api.operations import Answer, Asked, Call, Line, Moment, Operation, Rate
from worker.web.api.problems import Kind
from worker.web.api.submitting import LARGE, KeyHeader, slot


def _known(choice: str) -> str:
    if choice not in CHOICES:
        raise ValueError(f"give one of: {', '.join(CHOICES)}")
    return choice


_Choice = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": [*CHOICES]})]


class Following(Asked):
    """Whom to send to again, and what."""

    states: Annotated[
        tuple[_Choice, ...],
        Field(
            max_length=len(CHOICES),
            examples=[["not_reached"]],
            description="Which messages: `not_reached` is each of expired, undelivered, failed and rejected;"
            " `never_handed_over` those that never left; else single states.",
        ),
    ] = ()
    in_doubt: Annotated[
        Literal["a second text is possible"] | None,
        Field(description=f"Also those that may have arrived: {CONFIRMATION!r}. Left out: none of them."),
    ] = None
    text: Annotated[
        str | None,
        Field(
            min_length=1, max_length=submission.MAX_TEXT_CHARACTERS, description="Else the campaign's own."
        ),
    ] = None
    sender_id: Annotated[Line | None, Field(description="Else the campaign's own.")] = None
    name: Annotated[Line | None, Field(description="For people.")] = None
    on_doubt: Annotated[
        Literal["hold", "resend"] | None,
        Field(description="As at submission; else the campaign's own."),
    ] = None
    send_at: Annotated[Moment | None, Field(description="Nothing is handed over before.")] = None
    not_after: Annotated[Moment | None, Field(description="What is left then expires.")] = None
    literal: Annotated[
        bool, Field(description="Send {{name}}, [name] and the like in `text` as they stand.")
    ] = False

    @model_validator(mode="after")
    def _is_of_somebody(self) -> Self:
        if not self.states and self.in_doubt is None:
            raise ValueError(f"give states: {', '.join(CHOICES)}")
        return self


async def follow_campaign_up(call: Call, path: CampaignPath, headers: KeyHeader, body: Following) -> Answer:
    """Make a campaign of those whom another did not reach."""
    database = call.parts.database
    before = await header(call, path.id)
    made = uuid4()
    await auditing.record(
        database,
        call.caller.actor,
        "campaign.follow_up",
        f"campaign/{path.id}",
        account=before.account,
        states=list(body.states),
        in_doubt=body.in_doubt is not None,
        follow_up=str(made),
    )
    taken = await follow_up.follow_up(
        database,
        call.parts.desk.policy,
        follow_up.FollowUp(
            chosen(path.id, body.states, body.in_doubt),
            text=body.text,
            sender_id=body.sender_id,
            name=body.name,
            submission_key=headers.key(),
            on_doubt=body.on_doubt,
            schedule=Schedule(body.send_at, body.not_after),
            literal=body.literal,
            allowance=call.caller.key.allowance,
            campaign_id=made,
            trace_parent=trace_parent(call.request.headers.get(TRACE_HEADER)),
        ),
        call.parts.settings.terms,
        executor=call.request.app[LARGE].threads,
    )
    overview = await reading.status(database, taken.id)
    location = {"Location": f"/v1/campaigns/{taken.id}"}
    return Answer(shapes.SubmittedCampaign.taken(overview, taken), 201 if taken.created else 200, location)


OPERATIONS = (
    Operation(
        id="followCampaignUp",
        method="POST",
        path="/v1/campaigns/{id}/follow-up",
        tag="Submit",
        summary="Send to those whom a campaign did not reach",
        description="A new campaign of exactly those whose message is settled in one of the states, each"
        " once: whom an earlier follow-up took in is left out. 201 the first time; 200 and the same campaign"
        " for the same key, or without one for the same wish within 23.5 hours.",
        handler=follow_campaign_up,
        scope=Scope.SUBMIT,
        rate=Rate.SUBMIT,
        path_model=CampaignPath,
        headers=KeyHeader,
        body=Following,
        answers={201: shapes.SubmittedCampaign, 200: shapes.SubmittedCampaign},
        problems=(Kind.NOT_ALLOWED, Kind.SUBMISSION_KEY_REUSED, Kind.BUSY),
        admit=slot,
    ),
)
