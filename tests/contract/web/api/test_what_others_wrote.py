"""Names and words that others chose, through the API: nothing in an answer commands a terminal, tears a
stream or runs in a spreadsheet.
"""

import csv
import io
import unicodedata
from uuid import UUID

import pytest

from campaigns.store.session import Database
from tests.contract.web.api.conftest import Api
from tests.integration.rows import query
from tests.river import submit
from worker.csv_cells import is_formula

NASTY = (
    "Sale [/b] -20%", "<script>alert(1)</script>", "\x1b[2J\x1b]0;PWNED\x07x", "\x9b31mred",
    "a\r\nfinished  b",
    "x\n\nevent: end\ndata: {}\n\n", "abc\u202egpj.exe", "=1+1", "\t@SUM(A1)", "+cmd|'/c calc'!A0", "x\rtorn",
    "x\u2028y", "\\u0022", '","', "Žąsis",
)  # fmt: skip
ALL = " ".join(NASTY)


@pytest.fixture
async def nasty(api: Api, database: Database) -> UUID:
    """A campaign of `shop` that has such words wherever others may write."""
    rows = [{"phone": f"+3706000{at:04}", "name": word, "=more": word} for at, word in enumerate(NASTY)]
    taken = await submit(database, [*rows, {"phone": "12", "name": "x"}], text="Hi {name}", owner="shop")
    await query(database, "UPDATE campaign SET name = $1", ALL)  # no check of ours lets it in
    await query(database, "UPDATE message SET provider_state = $1, reason = $1, provider_reason = $1", ALL)
    await query(database, "UPDATE refusal SET column_name = $1", ALL)
    await query(database, "UPDATE batch SET trouble = $1", ALL)
    await api.post("/v1/suppression", {"phones": ["+37060009999"], "reason": "=1+1 \x9b31m \u202e"})
    await query(database, "UPDATE campaign SET state = 'cancelled', finished_at = now()")
    return taken.id


def held(text: str) -> list[str]:
    """What a terminal would obey, or a reader take for the end of a line; a line feed of our own is none."""
    return [each for each in text if each != "\n" and unicodedata.category(each) in {"Cc", "Cf", "Zl", "Zp"}]


async def test_no_answer_in_json_holds_what_a_terminal_obeys(api: Api, nasty: UUID) -> None:
    own = f"/v1/campaigns/{nasty}"
    parts = ("", "/messages", "/reasons", "/refused", "/batches", "/progress")
    asked = [await api.get(f"{own}{part}") for part in parts]
    asked += [await api.get(path) for path in ("/v1/campaigns", "/v1/suppression", "/v1/audit")]
    asked.append(await api.post("/v1/messages/search", {"phone": "+37060000002"}))
    (message, *_) = asked[1].json["items"]
    asked.append(await api.get(f"/v1/messages/{message['reference']}"))
    asked.append(await api.call("PATCH", own, json={"name": "=1+1 \x9b31m"}))
    asked.append(await api.get("/v1/campaigns", state=ALL[:200]))
    asked.append(await api.get(f"/v1/{ALL[:60]}"))
    for said in asked:
        assert said.status in {200, 404, 422}, said.text
        assert held(said.text) == [], said.text
    assert asked[0].json["name"] == ALL  # and nothing of it is lost
    stream = await api.get(f"{own}/export", format="jsonl")
    assert held(stream.text) == []
    assert stream.text.count("\n") == len(NASTY)


async def test_no_cell_of_a_csv_runs_and_no_row_is_torn(api: Api, nasty: UUID) -> None:
    said = await api.get(f"/v1/campaigns/{nasty}/export", format="csv")
    mend = await api.call(
        "POST",
        "/v1/campaigns/check",
        json={
            "account": "main",
            "text": "Hi {name}",
            "recipients": [{"phone": "call me", "name": word} for word in NASTY],
        },
        headers={"Accept": "text/csv"},
    )
    refused = await api.call("GET", f"/v1/campaigns/{nasty}/refused", headers={"Accept": "text/csv"})
    counts = []
    for each in (said, mend, refused):
        assert each.status == 200, each.text
        head, *rows = csv.reader(io.StringIO(each.text, newline=""))
        counts.append(len(rows))
        assert {len(row) for row in rows} == {len(head)}
        numbers = {at for at, name in enumerate(head) if name == "phone"}
        running = [
            cell
            for row in [head, *rows]
            for at, cell in enumerate(row)
            if at not in numbers and is_formula(cell) and not cell.startswith("'")
        ]
        assert running == []
    assert counts == [len(NASTY), len(NASTY), 1]


async def test_no_word_ends_an_event_of_the_stream(api: Api, nasty: UUID) -> None:
    said = await api.get(f"/v1/campaigns/{nasty}/events")
    assert said.status == 200
    assert held(said.text) == []
    blocks = [block for block in said.text.split("\n\n") if block]
    for line in said.text.split("\n"):
        assert line == "" or line.partition(":")[0] in {"id", "event", "data", "", "retry"}, line
    assert said.text.count("\nevent: end") + said.text.startswith("event: end") <= 1
    assert len(blocks) <= 3
