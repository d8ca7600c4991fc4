"""Refused rows as CSV: those of a check with their cells, to be mended; those of a campaign by row."""

import csv
import io
from uuid import UUID

from tests.contract.web.api.conftest import Api, Said, is_problem
from tests.river import phones, submit

FILE = b"phone,name,note\n+37060000001,Ona,=1+1\n12,Nobody,=1+1\n+37060000001,Again,\n+37060000002,,a b\n"
QUERY = {"account": "main", "text": "Hello {name}"}


async def check(api: Api, data: bytes, accept: str = "text/csv") -> Said:
    headers = {"Content-Type": "text/csv", "Accept": accept}
    return await api.call("POST", "/v1/campaigns/check", params=QUERY, data=data, headers=headers)


async def test_what_a_check_refuses_can_be_mended_and_sent_again(api: Api) -> None:
    said = await check(api, FILE, "text/html, Text/CSV;q=0.9")
    assert (said.status, said.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
    short, empty = csv.DictReader(io.StringIO(said.text))
    assert (short["phone"], short["note"], short["row"], short["reason"]) == ("12", "'=1+1", "3", "no_region")
    assert (empty["name"], empty["note"], empty["row"]) == ("", "a b", "5")
    assert empty["how_to_mend"].endswith("(column name)")
    mended = said.text.replace("12,", "+37060000003,", 1).encode()
    again = await check(api, mended, "application/json")
    assert (again.json["message_count"], again.json["row_count"]) == (1, 2)
    assert (await check(api, FILE, "*/*")).json["message_count"] == 1
    assert is_problem(await check(api, b"number\n12\n"), 422, "invalid-request")


async def test_what_a_campaign_refused_is_streamed_whole(api: Api) -> None:
    rows = [*phones(1), *({"phone": "12"} for _ in range(6_000))]
    taken = await submit(api.database, rows, owner="shop")
    path = f"/v1/campaigns/{taken.id}/refused"
    said = await api.call("GET", path, headers={"Accept": "text/csv"})
    found = list(csv.DictReader(io.StringIO(said.text)))
    assert said.status == 200
    assert [int(each["row"]) for each in found] == list(range(3, 6_003))
    assert found[0] == {"row": "3", "reason": "no_region", "column": ""}
    assert len((await api.get(path, limit=5)).json["items"]) == 5


async def test_another_owners_refused_rows_are_not_there(api: Api, theirs: UUID) -> None:
    said = await api.call("GET", f"/v1/campaigns/{theirs}/refused", headers={"Accept": "text/csv"})
    assert is_problem(said, 404, "not-found")
