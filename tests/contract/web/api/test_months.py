"""What went through an account in a month, of the campaigns that a key may see."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from campaigns.domain.provider import Accepted
from campaigns.domain.states import MessageState
from tests.conftest import MakeDesk
from tests.contract.web.api.conftest import Api, is_problem
from tests.integration.rows import query
from tests.river import flow, phones, submit
from tests.stub import Stub

PATH = "/v1/accounts/main/month"


async def test_the_month_of_an_account(api: Api, make_desk: MakeDesk) -> None:
    rows = phones(4)
    costs = [(Decimal("0.10"), None), (Decimal("0.20"), None), (Decimal("0.05"), "USD"), (None, None)]
    stub = Stub(
        "main",
        outcomes={
            row["phone"]: [Accepted(f"id-{n}", cost, 2, currency)]
            for n, (row, (cost, currency)) in enumerate(zip(rows, costs, strict=True))
        },
        states={rows[3]["phone"]: ["undelivered"]},
    )
    ours = await submit(api.database, rows, owner="shop", currency="EUR")
    await flow(api.database, make_desk(stub), ours.id)
    await submit(api.database, phones(2), owner="shop")
    before = (await submit(api.database, phones(3), owner="shop")).id
    await submit(api.database, phones(5), owner="clinic")
    now = datetime.now(UTC)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = first - timedelta(microseconds=1)
    await query(api.database, "UPDATE campaign SET created_at = $2 WHERE id = $1", before, last)

    said = (await api.get(PATH)).json
    assert said["begins_at"] == first.isoformat()
    assert set(said["totals"]) == {state.value for state in MessageState}
    assert {state: n for state, n in said["totals"].items() if n} == {
        "delivered": 3,
        "undelivered": 1,
        "queued": 2,
    }
    assert (said["campaign_count"], said["segment_count"], said["unpriced_count"]) == (2, 8, 1)
    assert said["costs"] == [{"amount": "0.30", "currency": "EUR"}, {"amount": "0.05", "currency": "USD"}]

    earlier = (await api.get(PATH, month=f"{last:%Y-%m}")).json
    assert (earlier["campaign_count"], earlier["totals"]["queued"], earlier["costs"]) == (1, 3, [])
    assert earlier["ends_at"] == said["begins_at"]
    everybody = await api.with_key(is_for_all_owners=True)
    assert (await everybody.get(PATH)).json["campaign_count"] == 3
    nothing = (await api.get("/v1/accounts/silent/month")).json
    assert (nothing["campaign_count"], sum(nothing["totals"].values()), nothing["costs"]) == (0, 0, [])


async def test_what_is_no_month_or_no_account_of_the_key(api: Api) -> None:
    for wrong in ("2026-13", "2026", "november", "1026-11"):
        assert is_problem(await api.get(PATH, month=wrong), 422, "invalid-request")
    limited = await api.with_key(accounts=["silent"])
    foreign, nobodys = await limited.get(PATH), await limited.get("/v1/accounts/nobody/month")
    assert is_problem(foreign, 404, "not-found")
    assert foreign.text == nobodys.text
