"""How much a key may submit, and what somebody else is to approve."""

from campaigns import batching, outbox
from campaigns.domain.allowance import Allowance
from campaigns.domain.policy import Account, Desk
from campaigns.domain.webhooks import EventType
from campaigns.store.session import Database
from tests.conftest import POLICY, no_wait
from tests.contract.web.api.conftest import Api, is_problem
from tests.integration.rows import query
from tests.river import phones
from tests.stub import Stub

PATH = "/v1/campaigns"
DESK = Desk({"main": Account(Stub("main"), no_wait, 1)}, POLICY, "worker", lambda: 0.5)


async def test_a_key_may_submit_so_much(api: Api) -> None:
    """429 with when there is room again; nothing is stored; another owner is not hurt, a new key of the same
    one begins no new budget.
    """
    limited = await api.with_key(allowance=Allowance(recipients_per_day=3))
    body = {"account": "main", "text": "Hello", "recipients": phones(2)}
    assert (await limited.post(PATH, body)).status == 201
    said = await limited.post(PATH, body | {"text": "Hello again"})
    assert is_problem(said, 429, "over-allowance")
    assert 1 <= int(said.headers["Retry-After"]) <= 86_400
    fresh = await api.with_key(allowance=Allowance(recipients_per_day=3))
    assert (await fresh.post(PATH, body | {"text": "And again"})).status == 429
    other = await api.with_key(owner="clinic", allowance=Allowance(recipients_per_day=3))
    assert (await other.post(PATH, body)).status == 201
    assert len((await api.get("/v1/campaigns")).json["items"]) == 1


async def test_a_costly_campaign_waits_until_another_key_approves_it(api: Api, database: Database) -> None:
    await outbox.create(
        database,
        url="https://x.test",
        secret="whsec_x",
        owner="shop",
        event_types=[*EventType],
        with_numbers=False,
    )
    submitter = await api.with_key(allowance=Allowance(approval_above=3))
    body = {"account": "main", "text": "Hello", "recipients": phones(4)}
    taken = (await submitter.post(PATH, body)).json
    assert (taken["state"], taken["needs_approval"]) == ("paused", True)
    assert await batching.deal_sending(database, DESK) == [], "nothing of it leaves"
    said = await submitter.post(f"{PATH}/{taken['id']}/resume")
    assert is_problem(said, 409, "not-allowed")
    made = await submitter.post("/v1/keys", {"scopes": ["operate"]})
    assert is_problem(made, 403, "missing-scope"), "it makes itself no key that may"
    small = await submitter.post("/v1/keys", {"scopes": ["operate"], "approval_above": 3})
    bounded = Api(api.web, api.database, small.json["key"])
    assert (await bounded.post(f"{PATH}/{taken['id']}/resume")).status == 409, "nor can one like it"
    resumed = (await api.post(f"{PATH}/{taken['id']}/resume")).json
    assert (resumed["state"], resumed["needs_approval"]) == ("running", False)
    assert (await submitter.post(f"{PATH}/{taken['id']}/pause")).status == 200
    assert (await submitter.post(f"{PATH}/{taken['id']}/resume")).status == 200, "it was approved"
    small = (await submitter.post(PATH, body | {"recipients": phones(3)})).json
    assert (small["state"], small["needs_approval"]) == ("accepted", False)
    events = await query(database, "SELECT type FROM webhook_event ORDER BY id")
    assert [row["type"] for row in events[:3]] == ["campaign.accepted", "campaign.paused", "campaign.resumed"]
