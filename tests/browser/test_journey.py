"""Somebody who never read the README sends a first campaign, and finds who did not get it."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect

from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import InDoubt
from campaigns.store.session import Database
from tests.browser.conftest import Reader, reading
from tests.conftest import POLICY, no_wait
from tests.contract.web.conftest import Web
from tests.river import flow, phones
from tests.stub import Stub

_PHONES = [each["phone"] for each in phones(60)]
_TEXT = "Hello {}, our “spring sale” begins: 20% off everything with a green label, until Sunday."
_MISSED, _DOUBTFUL = _PHONES[7], _PHONES[20]


def _as_people_have_it(folder: Path) -> Path:
    """A spreadsheet's CSV: byte order mark, semicolons, own column names, a row twice and a bad one."""
    file = folder / "customers.csv"
    rows = [f"{phone};Ona;Vilnius" for phone in [*_PHONES, _PHONES[0], "12"]]
    file.write_text("\n".join(["Mobile Number;Vardas;City", *rows]), encoding="utf-8-sig")
    return file


@pytest.mark.parametrize("has_script", [True, False])
async def test_a_first_campaign_is_sent_and_followed_to_its_end(
    chromium: Browser, served: Web, database: Database, tmp_path: Path, has_script: bool
) -> None:
    """Sign in, fill in, check, confirm, watch, decide a doubt, find who did not get it, follow up, export.

    With a script no page is loaded again to see what changed. Another owner sees nothing of it.
    """
    stub = Stub("main", states={_MISSED: ["undelivered"]}, outcomes={_DOUBTFUL: [InDoubt("no answer")]})
    desk = Desk({"main": Account(stub, no_wait, 1)}, POLICY, "browser", lambda: 0.5)
    async with reading(chromium, served, database, javascript=has_script) as reader:
        page = reader.page
        chip = page.locator(".head-state .chip")
        await reader.sign_in()
        await expect(page.get_by_role("heading", name="Send the first campaign")).to_be_visible()
        await page.get_by_role("link", name="New campaign").first.click()
        await _check(reader, _as_people_have_it(tmp_path), has_script=has_script)
        await page.get_by_label("Type the number of messages to confirm: 60").fill("60")
        await page.get_by_role("button", name="Send 60 messages").click()
        await expect(page.get_by_role("status")).to_contain_text("The campaign is accepted.")
        campaign = page.url.partition("?")[0]
        campaign_id = campaign.rpartition("/")[2]

        await _asked(page.get_by_role("button", name="Pause…"), "60 messages wait where they are", "Pause")
        await flow(database, desk, campaign_id, rounds=2)
        await expect(chip).to_have_text("paused")
        assert stub.ledger == []
        await _asked(page.get_by_role("button", name="Resume…"), "handed over from now on", "Resume")
        await flow(database, desk, campaign_id, rounds=4)
        await _seen(page.get_by_role("button", name="Decide…"), has_script=has_script)
        await reader.picture(f"journey-doubt-{has_script}")
        await _asked(page.get_by_role("button", name="Decide…"), "nobody gets a second text", "Decide")
        await flow(database, desk, campaign_id)
        await _seen(chip.filter(has_text="finished"), has_script=has_script)
        assert len(stub.ledger) == len(_PHONES)
        await reader.picture(f"journey-end-{has_script}")

        await _find_who_did_not_get_it(reader, tmp_path / "export.csv")
        await reader.picture(f"journey-message-{has_script}")
        await page.get_by_role("link", name="Spring sale").click()
        follow_up = page.get_by_role("button", name="Send to those it did not reach…")
        await _asked(follow_up, "1 message reached nobody", "Create the campaign")
        await expect(page.get_by_role("status")).to_contain_text("This is a new campaign")
        await expect(page.locator(".hero")).to_contain_text("0 of 1")
        assert [fault for fault in reader.faults if "422" not in fault] == [], (
            "the mistake in the text is one"
        )
    async with reading(chromium, served, database, owner="clinic", javascript=has_script) as stranger:
        await stranger.sign_in()
        await expect(stranger.page.get_by_role("heading", name="Send the first campaign")).to_be_visible()
        await stranger.page.get_by_role("link", name="Campaigns", exact=True).click()
        await expect(stranger.page.locator("main")).to_contain_text("There is no campaign yet.")
        answer = await stranger.page.goto(campaign)
        assert answer is not None
        assert answer.status == 404


async def _check(reader: Reader, file: Path, *, has_script: bool) -> None:
    """Fill the form in, and have it checked. A mistake in the text is said, and the rest is still there."""
    page = reader.page
    await page.get_by_label("Name", exact=True).fill("Spring sale")
    await page.get_by_label("Text", exact=True).fill(_TEXT.format("{name}"))
    await page.get_by_label("File with the recipients").set_input_files(file)
    if has_script:
        await expect(page.get_by_label("Column with the number")).to_have_value("Mobile Number")
        await expect(page.locator("#counter")).to_contain_text("“ ” turns the text to UCS-2")
    await page.get_by_role("button", name="Check").click()
    await expect(page.locator("#result")).to_contain_text("The text uses {name}, and the file has only")
    await page.get_by_label("Text", exact=True).fill(_TEXT.format("{Vardas}"))
    if not has_script:
        await page.get_by_label("File with the recipients").set_input_files(file)
    await page.get_by_role("button", name="Check").click()
    result = page.locator("#result")
    await expect(result).to_contain_text("60 messages would be sent")
    await expect(result).to_contain_text("without a country code")
    await expect(result).to_contain_text(_TEXT.format("Ona"))
    await reader.picture(f"journey-check-{has_script}")
    if not has_script:
        await page.get_by_label("The same file once more").set_input_files(file)
        return
    await result.get_by_role("button", name="Replace by").first.click()
    await expect(result).to_contain_text(_TEXT.format("Ona").replace("“", '"'))


async def _find_who_did_not_get_it(reader: Reader, export: Path) -> None:
    """From the campaign to the list, its export, and what became of that message."""
    page = reader.page
    await page.get_by_role("link", name="undelivered").first.click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    async with page.expect_download() as coming:
        await page.get_by_role("link", name="Export CSV").click()
    await (await coming.value).save_as(export)
    header, *rows = _lines(export)
    assert "phone" in header
    assert [row for row in rows if _MISSED in row] == rows
    await page.get_by_role("link", name=_MISSED).click()
    await expect(page.locator(".timeline li").last).to_contain_text("undelivered")


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


async def _asked(button: Locator, question: str, answer: str) -> None:
    """Press a button that asks first, read what it asks, and say yes."""
    await button.click()
    dialog = button.page.get_by_role("dialog")
    await expect(dialog).to_contain_text(question)
    await dialog.get_by_role("button", name=answer, exact=True).click()


async def _seen(what: Locator, *, has_script: bool) -> None:
    """Something has appeared on the page: by itself, or once it is loaded again."""
    if not has_script:
        await what.page.reload()
    await expect(what).to_be_visible()
