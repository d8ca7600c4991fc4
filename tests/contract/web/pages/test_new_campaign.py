"""A new campaign over the pages: what is checked is what is sent, once, and nothing is kept between."""

import re
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from campaigns.store.session import Database
from tests.contract.web.api.conftest import Said
from tests.contract.web.pages.conftest import SAME, Browser
from tests.integration.rows import query
from worker.web.pages.uploading import columns_of, guess

FILE = b"mobile;name\n+37060000011;Ona\n+37060000012;Jonas\n12;x\n"
FIELDS = {
    "name": "Spring",
    "account": "main",
    "text": "Hello {name},\r\nbye",
    "sender_id": "SHOP",
    "form": "f" * 36,
}


async def sent(browser: Browser, path: str, fields: dict[str, str], file: bytes = FILE, **more: str) -> Said:
    """A form as browsers send it: the token first, the file last."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in ({"token": await browser.token()} | fields | more).items():
        form.add_field(name, value)
    form.add_field("file", file, filename="people.csv", content_type="text/csv")
    return await browser.call("POST", f"/campaigns/new/{path}", headers=SAME, data=form)


def hidden(page: str) -> dict[str, str]:
    """What the form of the third step holds."""
    form = page[page.index('id="confirm"') :]
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: value for name, value in found if name != "token"}


async def made(database: Database) -> list[str]:
    """The names of all campaigns."""
    return [row["name"] for row in await query(database, "SELECT name FROM campaign")]


async def test_a_campaign_is_checked_confirmed_and_made_once(browser: Browser, database: Database) -> None:
    checked = await sent(browser, "check", FIELDS)
    assert checked.status == 200, checked.text
    assert re.search(r"<b>2</b>\s+messages would be sent", checked.text)
    assert "Hello Ona,\nbye" in checked.text
    assert "<option selected>mobile</option>" in checked.text, "the column is guessed"
    assert "+37060000011" not in checked.text, "numbers are masked"
    assert await made(database) == []

    fields = hidden(checked.text)
    wrong = await sent(browser, "send", fields, typed="3")
    assert wrong.status == 422
    assert "That is not the right number." in wrong.text
    other = await sent(browser, "send", fields, FILE + b"+37060000013;Eva\n", typed="2")
    assert other.status == 422
    assert "not what was checked" in other.text
    assert await made(database) == []

    first = await sent(browser, "send", fields, typed="2")
    again = await sent(browser, "send", fields, typed="2")
    assert (first.status, again.status) == (303, 303)
    place = first.headers["Location"]
    assert place.endswith("?done=sent")
    assert again.headers["Location"] == f"{place}-before"
    assert await made(database) == ["Spring"]
    assert "campaign.submit" in (await browser.get("/audit")).text
    known = await sent(browser, "check", FIELDS | {"form": "g" * 36})
    assert "Exactly this was submitted before:" in known.text
    assert 'name="again"' in known.text
    fields = hidden(known.text)
    unticked = await sent(browser, "send", fields, typed="2")
    assert unticked.headers["Location"] == f"{place}-before"
    assert await made(database) == ["Spring"]
    for _ in range(2):
        assert (await sent(browser, "send", fields, typed="2", again="yes")).status == 303
    assert await made(database) == ["Spring"] * 2


async def test_what_is_wrong_is_said_beside_what_was_filled_in(browser: Browser) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    said = await sent(browser, "check", FIELDS | {"text": "Hello {city}", "region": "XX"})
    assert said.status == 422
    assert "Country of numbers without a code: <bdi>" in said.text
    assert "Hello {city}" in said.text
    nobody = await sent(browser, "check", FIELDS, b"")
    assert nobody.status == 422
    assert "The file is empty. It needs" in nobody.text
    typed = await sent(
        browser,
        "check",
        FIELDS
        | {"text": "Hi", "numbers": "+37060000011\r\n+37060000012", "send_at": f"{tomorrow:%Y-%m-%dT%H:%M}"},
        b"",
    )
    assert re.search(r"<b>2</b>\s+messages would be sent", typed.text)
    assert f'datetime="{tomorrow:%Y-%m-%dT%H:%M}:00Z"' in typed.text, "without a script, moments are in UTC"
    mended = await sent(browser, "refused", FIELDS)
    assert mended.headers["Content-Type"].startswith("text/csv")
    assert mended.text.splitlines()[1].startswith("12,x,4,")
    browser.cookies["language"] = "lt"
    said = await sent(browser, "check", FIELDS | {"text": "Hello {city}"})
    assert "Tekste yra {city}, o faile yra tik šie stulpeliai:" in said.text
    said = await sent(browser, "check", FIELDS | {"on_doubt": "guess"})
    assert '<bdi lang="en">' in said.text, "what is in no catalogue is English, and says so"


async def test_a_form_is_believed_before_its_file_is_read(browser: Browser, database: Database) -> None:
    for fields in ({"token": "x"}, {"name": "Spring", "token": await browser.token()}):
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in fields.items():
            form.add_field(name, value)
        form.add_field("file", FILE, filename="people.csv")
        said = await browser.call("POST", "/campaigns/new/check", headers=SAME, data=form)
        assert said.status == 403
        assert "This form is too old" in said.text
    foreign = await browser.call(
        "POST", "/campaigns/new/send", headers={"Sec-Fetch-Site": "cross-site"}, data=b"x"
    )
    assert foreign.status == 403
    assert await made(database) == []


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("total,Mobile Number,id", "Mobile Number"),
        ("vardas;Tel. nr.", "Tel. nr."),
        ("only", "only"),
        ("total,sum", None),
        ('{"id": 1, "msisdn": "+37060000011"}', "msisdn"),
    ],
)
def test_the_column_of_numbers_is_found_by_its_name(header: str, column: str | None) -> None:
    assert guess(columns_of(f"{header}\n".encode())) == column
