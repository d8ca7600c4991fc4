"""What pages of messages promise while the campaign goes on and states change between pages."""

from itertools import count
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns import aggregation, batching, receipts, sending
from campaigns.domain.message_ref import message_ref
from campaigns.domain.policy import Desk
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.contract.web.api.conftest import Api
from tests.integration.rows import query
from tests.river import phones, submit
from tests.stub import Stub

NUMBERS = count(1)
STEPS = ("nothing", "send", "send", "poll", "poll", "cancel")
WORDS = ("sent", "undelivered", "delivered", "read")


async def states_of(database: Database, campaign_id: UUID) -> dict[str, str]:
    """Every message's reference and state, in order of batch and position."""
    found = await query(
        database,
        "SELECT b.number, m.position, m.state FROM message m JOIN batch b ON b.id = m.batch_id"
        " WHERE b.campaign_id = $1 ORDER BY b.number, m.position",
        campaign_id,
    )
    return {message_ref(campaign_id, row["number"], row["position"]): row["state"] for row in found}


async def take_step(step: str, database: Database, desk: Desk, campaign_id: UUID) -> None:
    """As workers and people change a campaign."""
    match step:
        case "send":
            for dealt in await batching.deal_sending(database, desk):
                await sending.send_batch(database, desk, dealt)
        case "poll":
            for dealt in await batching.deal_polling(database, desk):
                await receipts.poll_batch(database, desk, dealt)
        case "cancel":
            (row,) = await query(database, "SELECT state FROM campaign WHERE id = $1", campaign_id)
            if row["state"] in {"accepted", "running"}:
                await aggregation.change_state(database, campaign_id, CampaignState.CANCELLED)
        case _:
            return


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.integers(1, 14),
    batch_size=st.integers(1, 5),
    limit=st.integers(1, 5),
    wanted=st.none() | st.sampled_from(MessageState),
    script=st.lists(st.sampled_from(STEPS), max_size=12),
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6),
)
async def test_pages_hold_each_message_once_while_the_campaign_goes_on(
    *,
    api: Api,
    make_desk: MakeDesk,
    size: int,
    batch_size: int,
    limit: int,
    wanted: MessageState | None,
    script: list[str],
    words: list[str],
) -> None:
    """Of all messages each exactly once, in order. By state: none twice, each in that state when its page was
    made, and each that was in it all the while.
    """
    database = api.database
    rows = phones(size)
    told = {row["phone"]: words[at % len(words) :] for at, row in enumerate(rows)}
    desk = make_desk(Stub("main", states=told), in_flight=2)
    taken = await submit(
        database, rows, owner="shop", submission_key=f"key-{next(NUMBERS)}", batch_size=batch_size
    )
    steps = iter(script)
    before = await states_of(database, taken.id)
    always = set(before)
    visited: list[str] = []
    asked: dict[str, Any] = {"limit": limit} | ({} if wanted is None else {"state": wanted.value})
    while True:
        states = await states_of(database, taken.id)
        always &= {reference for reference, state in states.items() if wanted in {None, state}}
        said = await api.get(f"/v1/campaigns/{taken.id}/messages", **asked)
        if said.status == 429:  # the key's rate, over many examples
            api = await api.with_key()
            continue
        for each in said.json["items"]:
            assert states[each["reference"]] == each["state"]
            assert wanted in {None, each["state"]}
        visited += [each["reference"] for each in said.json["items"]]
        if said.json["next_cursor"] is None:
            break
        asked["cursor"] = said.json["next_cursor"]
        await take_step(next(steps, "nothing"), database, desk, taken.id)
    assert visited == [reference for reference in before if reference in set(visited)], "in order, none twice"
    assert always <= set(visited)
    assert wanted is not None or visited == list(before)
