"""Every refusal is a problem (RFC 9457), says where, and repeats nothing of the request."""

from uuid import UUID

import pytest

from tests.contract.web.api.conftest import Api, is_problem

VALUE = "+37060004711"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": "201"}, "/query/limit"),
        ({"limit": VALUE}, "/query/limit"),
        ({"state": VALUE}, "/query/state"),
        ({"created_after": VALUE}, "/query/created_after"),
        ({"created_after": "2026-01-01T00:00:00"}, "/query/created_after"),
        ({"cursor": VALUE}, "/query/cursor"),
        ({"cursor": "W10"}, "/query/cursor"),
        ({"q": ""}, "/query/q"),
        ({VALUE: "1"}, "/query"),
        ([("limit", "1"), ("limit", VALUE)], "/query/limit"),
    ],
)
async def test_a_wrong_query_is_pointed_at(api: Api, query: object, pointer: str) -> None:
    said = await api.call("GET", "/v1/campaigns", params=query)
    assert is_problem(said, 422, "invalid-request")
    assert [each["pointer"] for each in said.json["errors"]] == [pointer]
    assert VALUE not in said.text
    assert "4711" not in said.text


async def test_a_query_where_none_is_taken(api: Api, ours: UUID) -> None:
    said = await api.get(f"/v1/campaigns/{ours}", verbose="1")
    assert is_problem(said, 422, "invalid-request")


async def test_what_has_no_route_is_a_problem_too(api: Api) -> None:
    assert is_problem(await api.get("/v1/nothing"), 404, "not-found")
    assert is_problem(await api.get("/v1/campaigns/4711"), 404, "not-found")
    wrong_method = await api.call("DELETE", "/v1/campaigns")
    assert is_problem(wrong_method, 405, "method-not-allowed")
    assert "GET" in wrong_method.headers["Allow"]
