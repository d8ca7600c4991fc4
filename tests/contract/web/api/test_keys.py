"""Keys: who is let in, and that a refusal tells nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from campaigns import keys
from campaigns.domain.access import Scope
from tests.contract.web.api.conftest import OPERATOR, Api, Said, example_path, is_problem
from tests.integration.rows import query
from worker.web.api.limits import FAILURES_PER_MINUTE, Limits
from worker.web.api.table import OPERATIONS


async def test_what_is_no_valid_key_is_refused_alike(api: Api, subtests: pytest.Subtests) -> None:
    """A key cut, of another id, revoked or past its end: the same 401, to the letter."""
    other = await api.with_key()
    revoked = await api.with_key()
    await keys.revoke(api.database, OPERATOR, revoked.key.split("_")[1])
    over = await api.with_key(expires_at=datetime.now(UTC) + timedelta(hours=1))
    await query(
        api.database,
        "UPDATE api_key SET expires_at = now() - interval '1 second' WHERE id = $1",
        over.key.split("_")[1],
    )
    wrong = {
        "cut": api.key[:-1],
        "another's id": "_".join(["cmp", other.key.split("_")[1], api.key.split("_")[2]]),
        "revoked": revoked.key,
        "over": over.key,
        "not at all": "hello",
    }
    answers: set[str] = set()
    for name, key in wrong.items():
        with subtests.test(name):
            said = await Api(api.web, api.database, key).get("/v1/campaigns")
            assert is_problem(said, 401, "no-such-key")
            assert said.headers["WWW-Authenticate"] == "Bearer"
            answers.add(said.text)
    assert len(answers) == 1
    assert (await api.get("/v1/campaigns")).status == 200


async def test_the_database_holds_no_key(api: Api) -> None:
    (row,) = await query(api.database, "SELECT to_jsonb(k)::text AS all FROM api_key k")
    (audit,) = await query(api.database, "SELECT to_jsonb(a)::text AS all FROM audit a")
    secret = api.key.split("_")[2]
    assert secret not in row["all"] + audit["all"]
    assert '"key.create"' in audit["all"]


async def test_a_key_needs_the_scope_of_the_operation(api: Api, subtests: pytest.Subtests) -> None:
    """Out of the table: each operation with every scope but its own."""
    for scope in Scope:
        others = [other for other in Scope if other is not scope]
        lacking = await api.with_key(scopes=others, is_for_all_owners=True)
        for operation in OPERATIONS:
            path = example_path(operation)
            with subtests.test(f"{operation.id} without {scope}"):
                said = await lacking.call(operation.method, path)
                missing = said.status == 403
                assert missing == (operation.scope is scope), said.text
                assert not missing or is_problem(said, 403, "missing-scope")


async def test_guessing_is_slowed_down(api: Api) -> None:
    guesser = Api(api.web, api.database, "cmp_aaaaaaaa_" + "0" * 64)
    said: Said | None = None
    for _ in range(FAILURES_PER_MINUTE + 1):
        said = await guesser.get("/v1/campaigns")
    assert said is not None
    assert is_problem(said, 429, "too-many-requests")
    assert int(said.headers["Retry-After"]) >= 1
    # A forged address changes nothing: no proxy of ours wrote it.
    forged = await guesser.call("GET", "/v1/campaigns", headers={"X-Forwarded-For": "192.0.2.7"})
    assert forged.status == 429


async def test_use_is_noted(api: Api) -> None:
    await api.get("/v1/campaigns")
    (row,) = await keys.listed(api.database)
    assert row.last_used_at is not None
    first = row.last_used_at
    await api.get("/v1/campaigns")
    (row,) = await keys.listed(api.database)
    assert row.last_used_at == first, "at most once a minute"


async def test_refusals_are_in_the_audit_and_do_not_fill_it(api: Api) -> None:
    """Who was refused what, and from where: of the same key or address one row a minute. What a stranger
    shows is nobody's id.
    """
    reader = await api.with_key(scopes=["read"])
    guesser = Api(api.web, api.database, f"cmp_{reader.key.split('_')[1]}_{'0' * 64}")
    for client in (guesser, guesser, reader, reader, reader):
        await client.get("/v1/audit")
    rows = await query(
        api.database,
        "SELECT action, actor, owner, subject, origin FROM audit WHERE action LIKE '%.refused' ORDER BY id",
    )
    assert [tuple(row.values()) for row in rows] == [
        ("key.refused", "unknown", "", "operation/listAudit", "127.0.0.1"),
        ("scope.refused", reader.key.split("_")[1], "shop", "operation/listAudit", "127.0.0.1"),
    ]


def test_refusals_of_many_addresses_are_a_row_a_second() -> None:
    limits = Limits(lambda: 1000.0)
    assert 1 <= sum(limits.is_to_record(f"192.0.2.{n}") for n in range(500)) <= 100
