"""What changes something: done once, in the audit, and not for another owner's campaign."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from campaigns import holding
from campaigns.domain.errors import ProviderRefused
from campaigns.domain.following import CONFIRMATION
from campaigns.domain.holds import WENT_BACK
from campaigns.domain.provider import DayStatistics
from campaigns.store.session import Database
from tests.contract.web.api.conftest import Api, is_problem
from tests.integration.rows import query


async def actions(database: Database) -> list[tuple[str, str]]:
    """The audit without the making of keys."""
    found = await query(
        database, "SELECT action, subject FROM audit WHERE action <> 'key.create' ORDER BY id"
    )
    return [(row["action"], row["subject"]) for row in found]


async def run(database: Database) -> None:
    """As the tick begins a campaign."""
    await query(database, "UPDATE campaign SET state = 'running' WHERE state = 'accepted'")


async def test_pause_resume_cancel(api: Api, ours: UUID, database: Database) -> None:
    await run(database)
    path = f"/v1/campaigns/{ours}"
    for act, state in (("pause", "paused"), ("pause", "paused"), ("resume", "running")):
        said = await api.post(f"{path}/{act}")
        assert (said.status, said.json["state"]) == (200, state)
    cancelled = await api.post(f"{path}/cancel")
    assert cancelled.json["state"] == "cancelled"
    assert cancelled.json["totals"]["cancelled"] == 250
    refused = await api.post(f"{path}/pause")
    assert is_problem(refused, 409, "not-allowed")
    subject = f"campaign/{ours}"
    acts = ["pause", "pause", "resume", "cancel", "pause"]
    assert await actions(database) == [(f"campaign.{act}", subject) for act in acts]
    (row,) = await query(
        database, "SELECT actor_kind, actor, owner, origin, detail::text FROM audit ORDER BY id DESC LIMIT 1"
    )
    assert row["actor_kind"] == "key"
    assert row["actor"] == api.key.split("_")[1]
    assert (row["owner"], row["origin"]) == ("shop", "127.0.0.1")
    assert "cancelled" in row["detail"], "what it was before"


ACTS: dict[str, tuple[str, Any]] = {
    "pause": ("POST", None),
    "resume": ("POST", None),
    "cancel": ("POST", None),
    "resolve": ("POST", {"decision": "assume_sent"}),
    "follow-up": ("POST", {"states": ["cancelled"]}),
    "reschedule": ("POST", {"send_at": "2026-12-01T09:30:00Z"}),
    "": ("PATCH", {"name": "Mine now"}),
}


async def test_another_owners_campaign_is_not_there(
    api: Api, theirs: UUID, database: Database, subtests: pytest.Subtests
) -> None:
    before = await query(database, "SELECT * FROM campaign")
    for act, (method, body) in ACTS.items():
        for id_ in (theirs, uuid4()):
            with subtests.test(f"{act} {id_ == theirs}"):
                path = f"/v1/campaigns/{id_}/{act}".rstrip("/")
                said = await api.call(method, path, **({} if body is None else {"json": body}))
                assert is_problem(said, 404, "not-found")
    assert await query(database, "SELECT * FROM campaign") == before
    assert await actions(database) == []


async def in_doubt(database: Database) -> None:
    await run(database)
    await query(
        database,
        "UPDATE message SET state = 'sending', attempt = 1"
        " WHERE position < 2 AND batch_id = (SELECT id FROM batch WHERE number = 1)",
    )
    await query(database, "UPDATE message SET state = 'in_doubt' WHERE state = 'sending'")
    await query(
        database,
        "UPDATE batch SET in_doubt_count = 2, queued_count = queued_count - 2 WHERE number = 1",
    )


async def test_to_resend_needs_the_sentence(api: Api, ours: UUID, database: Database) -> None:
    await in_doubt(database)
    path = f"/v1/campaigns/{ours}/resolve"
    for without in ({}, {"confirm": "yes"}, {"confirm": None}):
        said = await api.post(path, {"decision": "resend"} | without)
        assert is_problem(said, 422, "invalid-request")
        assert CONFIRMATION in said.text
    assert await actions(database) == []
    said = await api.post(path, {"decision": "resend", "confirm": CONFIRMATION})
    assert (said.status, said.json) == (200, {"count": 2})
    (row,) = await query(database, "SELECT word, operator, message_count FROM resolution")
    assert tuple(row.values()) == ("resend", f"key {api.key.split('_')[1]}", 2)
    assert await actions(database) == [("campaign.resolve", f"campaign/{ours}")]


async def test_assume_sent_of_one_number(api: Api, ours: UUID, database: Database) -> None:
    await in_doubt(database)
    body = {"decision": "assume_sent", "phone": "860000000", "region": "lt"}
    (first,) = await query(database, "SELECT min(phone) AS phone FROM message WHERE state = 'in_doubt'")
    assert (await api.post(f"/v1/campaigns/{ours}/resolve", body | {"phone": first["phone"]})).json == {
        "count": 1
    }
    (audited,) = await query(
        database, "SELECT detail::text AS all FROM audit WHERE action = 'campaign.resolve'"
    )
    assert first["phone"] not in audited["all"]


async def test_reschedule(api: Api, ours: UUID, database: Database) -> None:
    path, now = f"/v1/campaigns/{ours}", datetime.now(UTC)
    hour, day = timedelta(hours=1), timedelta(days=1)
    said = await api.post(
        f"{path}/reschedule", {"send_at": (now + hour).isoformat(), "not_after": (now + day).isoformat()}
    )
    assert (said.status, said.json) == (200, {"count": 250})
    shown = (await api.get(path)).json
    moments = [datetime.fromisoformat(shown[name]) for name in ("send_at", "not_after")]
    assert (moments, shown["waits_for"]) == ([now + hour, now + day], "send_at")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "/body/send_at"),
        ({"send_at": None}, "/body/send_at"),
        ({"send_at": "2026-12-01T09:30:00"}, "/body/send_at"),
        ({"send_at": 1_800_000_000}, "/body/send_at"),
        ({"send_at": now.isoformat(), "at": "now"}, "/body"),
    ]
    for body, pointer in wrong:
        refused = await api.post(f"{path}/reschedule", body)
        assert is_problem(refused, 422, "invalid-request")
        assert [each["pointer"] for each in refused.json["errors"]] == [pointer]
    for moment, why in ((now - 2 * day, "passed"), (now + 400 * day, "a year"), (now + 2 * day, "not later")):
        refused = await api.post(f"{path}/reschedule", {"send_at": moment.isoformat()})
        assert is_problem(refused, 422, "invalid-request")
        assert why in refused.json["detail"], "the last: not_after is as it was"
    reader = await api.with_key(scopes=["read", "submit", "admin"])
    refused = await reader.post(f"{path}/reschedule", {"send_at": now.isoformat()})
    assert is_problem(refused, 403, "missing-scope")
    await run(database)
    await api.post(f"{path}/cancel")
    assert is_problem(await api.post(f"{path}/reschedule", {"send_at": now.isoformat()}), 409, "not-allowed")
    said_of = [action for action, _ in await actions(database) if action != "scope.refused"]
    assert said_of == ["campaign.reschedule"] * 4 + ["campaign.cancel", "campaign.reschedule"]


async def test_rename(api: Api, ours: UUID) -> None:
    path = f"/v1/campaigns/{ours}"
    said = await api.call("PATCH", path, json={"name": "Winter sale"})
    assert (said.status, said.json["name"]) == (200, "Winter sale")
    for name in ("a\nb", "\x1b[2J", " ", "", "x" * 201, 7, None):
        said = await api.call("PATCH", path, json={"name": name})
        assert is_problem(said, 422, "invalid-request")
    assert (await api.get(path)).json["name"] == "Winter sale"


async def test_a_hold_on_an_account_is_lifted(api: Api, database: Database) -> None:
    await query(
        database,
        "INSERT INTO account_hold (account, code, reason, probe_at) VALUES ('main', '9', 'no money', now())",
    )
    listed = await api.pages("/v1/accounts")
    assert [(each["name"], each["held"] and each["held"]["reason"]) for each in listed] == [
        ("main", "no money"),
        ("silent", None),
    ]
    limited = await api.with_key(accounts=["silent"])
    assert is_problem(await limited.post("/v1/accounts/main/resume"), 404, "not-found")
    assert [each["name"] for each in await limited.pages("/v1/accounts")] == ["silent"]
    await query(database, "UPDATE account_hold SET probe_at = now() + interval '1 h'")
    assert is_problem(await limited.post("/v1/accounts/main/probe"), 404, "not-found")
    assert await holding.deal_probes(database) == []
    assert (await api.post("/v1/accounts/main/probe")).json["held"]["reason"] == "no money"
    assert await holding.deal_probes(database) == ["main"]
    await query(database, "UPDATE account_hold SET code = $1", WENT_BACK)
    assert is_problem(await api.post("/v1/accounts/main/probe"), 409, "not-allowed")
    said = await api.post("/v1/accounts/main/resume")
    assert (said.status, said.json["held"]) == (200, None)
    assert (await api.post("/v1/accounts/main/probe")).json["held"] is None
    acts = ["account.probe", "account.probe", "account.resume", "account.probe"]
    assert await actions(database) == [(act, "account/main") for act in acts]


async def test_the_balance_is_asked_for_once_a_minute(api: Api) -> None:
    said = [await api.get("/v1/accounts/main/balance") for _ in range(3)]
    assert [each.status for each in said] == [200] * 3
    assert {each.text for each in said} == {said[0].text}
    assert is_problem(await api.get("/v1/accounts/nobody/balance"), 404, "not-found")


async def test_a_number_is_erased_within_reach_and_the_audit_does_not_hold_it(
    api: Api, ours: UUID, theirs: UUID, database: Database
) -> None:
    await api.post(f"/v1/campaigns/{ours}/cancel")
    (row,) = await query(database, "SELECT phone FROM message ORDER BY batch_id, position LIMIT 1")
    phone = row["phone"]
    erased = await api.post("/v1/erasures", {"phones": [phone]})
    assert (erased.status, erased.json) == (200, {"erased_count": 1, "open_count": 0})
    found = await api.post("/v1/messages/search", {"phone": phone})
    assert found.json["items"] == []
    wrong = await api.post("/v1/erasures", {"phones": [phone, "12"]})
    assert is_problem(wrong, 422, "invalid-request")
    assert phone not in str(wrong.json)
    audited = await query(database, "SELECT detail::text AS detail FROM audit WHERE action = 'number.erase'")
    assert [each["detail"] for each in audited] == ['{"phone_count": 1}']
    (other,) = await query(
        database,
        "SELECT m.phone FROM message m JOIN batch b ON b.id = m.batch_id WHERE b.campaign_id = $1",
        theirs,
    )
    nothing = await api.post("/v1/erasures", {"phones": [other["phone"]]})
    assert nothing.json == {"erased_count": 0, "open_count": 0}, "out of reach"


async def test_the_providers_own_statistics(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def statistics(month: str) -> list[DayStatistics]:
        asked.append(month)
        if month == "2026-02":
            raise ProviderRefused("it keeps no such month of +37060000001")
        return [DayStatistics("2026-01-31", "DELIVRD", Decimal("0.0144"), 3)]

    monkeypatch.setattr(api.web.stub, "statistics", statistics)
    path = "/v1/accounts/main/statistics"
    said = await api.pages(path, month="2026-01")
    day = {"date": "2026-01-31", "provider_state": "DELIVRD", "cost": "0.0144", "segment_count": 3}
    assert said == [day]
    refused = await api.get(path, month="2026-02")
    assert is_problem(refused, 502, "provider-refused")
    assert "37060000001" not in refused.text
    for query_ in ({}, {"month": "2026-13"}, {"month": "january"}):
        assert is_problem(await api.get(path, **query_), 422, "invalid-request")
    limited = await api.with_key(accounts=["silent"])
    assert is_problem(await limited.get(path, month="2026-01"), 404, "not-found")
    assert is_problem(
        await (await api.with_key(scopes=["operate"])).get(path, month="2026-01"), 403, "missing-scope"
    )
    assert asked == ["2026-01", "2026-02"]


async def test_the_suppression_list(api: Api, database: Database) -> None:
    many = [f"+3706000{n:04}" for n in range(5)]
    assert (await api.post("/v1/suppression", {"phones": many})).json == {"count": 5}
    assert (await api.post("/v1/suppression", {"phones": many})).json == {"count": 0}
    listed = await api.pages("/v1/suppression", limit=2)
    assert [each["phone"] for each in listed] == many
    removed = await api.post("/v1/suppression/remove", {"phones": ["860000001"], "region": "lt"})
    assert removed.json == {"count": 1}
    wrong = await api.post("/v1/suppression", {"phones": ["+37060000009", "12"]})
    assert is_problem(wrong, 422, "invalid-request")
    assert "number 2" in wrong.json["detail"]
    assert len(await api.pages("/v1/suppression")) == 4, "none of a list with a wrong one"
    said = [action for action, _ in await actions(database)]
    assert said == ["suppression.add"] * 2 + ["suppression.remove", "suppression.add"]


async def test_the_audit_is_read_by_owner(api: Api, ours: UUID, theirs: UUID, database: Database) -> None:
    await run(database)
    clinic = await api.with_key(owner="clinic")
    await clinic.post(f"/v1/campaigns/{theirs}/pause")
    for _ in range(3):
        await api.post(f"/v1/campaigns/{ours}/pause")
    mine = await api.pages("/v1/audit", limit=2)
    assert [each["action"] for each in mine] == ["campaign.pause"] * 3
    assert [each["id"] for each in mine] == sorted((each["id"] for each in mine), reverse=True)
    everybody = await api.with_key(is_for_all_owners=True)
    assert len(await everybody.pages("/v1/audit", subject=f"campaign/{theirs}")) == 1
    assert await api.pages("/v1/audit", subject=f"campaign/{theirs}") == []
