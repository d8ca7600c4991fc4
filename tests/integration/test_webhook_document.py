"""Every event that there is, as it was sent, is what the API's document says of it."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from campaigns import aggregation, holding, outbox
from campaigns.domain.circuit import NewHold
from campaigns.domain.states import CampaignState
from campaigns.domain.webhooks import CHOOSABLE, EventType
from campaigns.store import progress
from campaigns.store.holding import accounts
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.contract.webhooks.receiver import Receiver
from tests.integration.telling import SECRET, change, hold_campaign, make
from tests.river import flow, phones, submit
from worker.web.api.document import document
from worker.webhooks.delivering import Deliverer

DOCUMENT = document([])


def validate(event: Any) -> None:
    """Raises ValidationError where an event is not what the document says."""
    body = DOCUMENT["webhooks"][event["type"]]["post"]["requestBody"]["content"]["application/json"]
    whole = body["schema"] | {"components": DOCUMENT["components"]}
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(event)


async def test_every_event_is_sent_as_the_document_says(
    database: Database, make_desk: MakeDesk, receiver: Receiver, deliverer: Deliverer
) -> None:
    webhook_id = await make(database, receiver.url, *CHOOSABLE, with_numbers=True)
    taken = await submit(database, phones(2))
    await hold_campaign(database, taken.id)
    await holding.resume_campaign(database, taken.id, operator="eve")
    await aggregation.change_state(database, taken.id, CampaignState.PAUSED)
    await aggregation.change_state(database, taken.id, CampaignState.RUNNING)
    await progress.note(database)
    await flow(database, make_desk(), taken.id)
    cancelled = await submit(database, phones(1))
    await aggregation.change_state(database, cancelled.id, CampaignState.CANCELLED)
    await accounts.hold(database, "main", NewHold("no_money", "there is no money", 60))
    await holding.resume_account(database, "main")
    await outbox.send_test(database, webhook_id)
    failed = await submit(database, phones(1))
    await change(database, "UPDATE message SET state = 'failed' WHERE state = 'queued'")
    await change(
        database,
        "UPDATE batch SET queued_count = 0, failed_count = 1, state = 'done' WHERE campaign_id = $1",
        failed.id,
    )
    await aggregation.finish(database)
    await flow(database, make_desk(), (await submit(database, phones(2))).id)
    await deliverer.deliver()

    events = receiver.events(SECRET)
    assert {each["type"] for each in events} == {each.value for each in EventType}
    for event in events:
        validate(event)
        with pytest.raises(ValidationError):
            validate(event | {"data": event["data"] | {"secret": "x"}})
