"""A new campaign in three steps: text and recipients, the check, the number typed to confirm it."""

import re
from dataclasses import replace
from typing import Any
from uuid import uuid4

from aiohttp import web

from campaigns.domain.access import Scope
from campaigns.domain.errors import CampaignError, NotWhatWasChecked
from campaigns.domain.segments import GSM_ALPHABET, GSM_EXTENSION
from worker import shapes
from worker.mending import mending
from worker.web.api.checking import each, judge
from worker.web.api.problems import Kind, Refused
from worker.web.api.serving import refusal_of
from worker.web.api.streams import CSV, stream
from worker.web.api.submitting import refusal_of_upload, take_in
from worker.web.pages import uploading
from worker.web.pages.frame import N_, Done, Page, View, Visit
from worker.web.pages.reasons import REASONS
from worker.web.pages.uploading import OPTIONS, Draft
from worker.web.uploads import UploadFailed

_HERE = "/campaigns/new"
_NOT_ASKED = frozenset(
    {Kind.MISSING_SCOPE, Kind.DATABASE_AWAY, Kind.MALFORMED}
)  # nothing to mend in the form

WRONG_COUNT = N_("That is not the right number. Type how many messages the check found.")
CHANGED = N_("Text, settings or file are not what was checked. Nothing was sent: check them again.")

FIELDS = {
    "account": N_("Account"),
    "text": N_("Text"),
    "name": N_("Name"),
    "sender_id": N_("Sender"),
    "phone_column": N_("Column with the number"),
    "region": N_("Country of numbers without a code"),
    "send_at": N_("Not before"),
    "not_after": N_("Not after"),
    "file": N_("File"),
}
"""What people call the fields, for what is wrong with them."""


async def show(visit: Visit) -> View:
    """An empty form."""
    return await _view(visit, Draft({"form": str(uuid4())}))


async def check(visit: Visit) -> View:
    """Say what it would become. Nothing is kept."""
    async with uploading.reading(visit) as draft:
        draft.fields.pop("content_hash", None)
        try:
            wanted, found = await uploading.recipients(visit, draft)
            checked = await judge(uploading.call_of(visit), wanted, found)
        except (Refused, CampaignError, UploadFailed) as error:
            return await _troubled(visit, draft, error)
        found_out = shapes.Check.of(checked)
        return await _view(
            visit,
            draft,
            check=found_out,
            price=shapes.Cost(amount=found_out.cost.amount, currency=found_out.cost.currency),
            pattern=_pattern(found_out.message_count),
            wanted_at=wanted.schedule.send_at,
        )


async def send(visit: Visit) -> View | Done:
    """Take it in, if it is what was checked and its number was typed. What was sent before is sent once more
    only where that was ticked.
    """
    async with uploading.reading(visit) as draft:
        if re.sub(r"\D", "", draft.get("typed")) != draft.get("count") or not draft.get("content_hash"):
            return await _view(visit, draft, problems=[("", WRONG_COUNT)])
        try:
            wanted, found = await uploading.recipients(visit, draft)
            is_once = draft.get("again") != "yes"
            checked = replace(wanted, content_hash=draft.get("content_hash"), is_once_by_content=is_once)
            taken = await take_in(uploading.call_of(visit), checked, found)
        except NotWhatWasChecked:
            return await _view(visit, draft, problems=[("", CHANGED)])
        except (Refused, CampaignError, UploadFailed) as error:
            return await _troubled(visit, draft, error)
    return Done(f"/campaigns/{taken.id}", "sent" if taken.created else "sent-before")


async def export_refused(visit: Visit) -> web.StreamResponse | View:
    """The rows that would not be taken in, as CSV to mend."""
    async with uploading.reading(visit) as draft:
        draft.fields.pop("content_hash", None)
        with mending() as kept:
            try:
                wanted, found = await uploading.recipients(visit, draft)
                await judge(uploading.call_of(visit), wanted, found, kept)
            except (Refused, CampaignError, UploadFailed) as error:
                return await _troubled(visit, draft, error)
            return await stream(uploading.call_of(visit), CSV, "refused.csv", each(kept.parts()))


async def find_columns(visit: Visit) -> View:
    """The columns of a file that begins so, and which of them holds the numbers."""
    async with uploading.reading(visit) as draft:
        columns = uploading.columns_of(await uploading.beginning(draft))
    return View("new_columns.html", {"columns": columns, "chosen": uploading.guess(columns) or ""})


def _pattern(count: int) -> str:
    """How the number may be typed, for the browser: with or without something between its thousands."""
    return "[ .,\u00a0]?".join(f"{count:_}".split("_"))


async def _troubled(visit: Visit, draft: Draft, error: Exception) -> View:
    """The form again, with what is wrong. Raises what the form cannot mend."""
    match error:
        case UploadFailed():
            refused = refusal_of_upload(error)
        case CampaignError():
            refused = refusal_of(visit.request.path, error)
        case _:
            assert isinstance(error, Refused)  # noqa: S101  there is no third
            refused = error
    if refused.kind in _NOT_ASKED:
        raise refused
    return await _view(visit, draft, problems=uploading.sentences(refused))


async def _view(visit: Visit, draft: Draft, **more: Any) -> View:
    accounts = await visit.ask("listAccounts", shapes.AccountPage)
    context: dict[str, Any] = {
        "draft": draft,
        "accounts": accounts.items,
        "options": OPTIONS,
        "reasons": REASONS,
        "fields": FIELDS,
        "alphabet": GSM_ALPHABET.replace("\x1b", ""),
        "extension": GSM_EXTENSION,
        "check": None,
        "problems": [],
    }
    context |= more
    return View("new.html", context, status=422 if context["problems"] else 200)


PAGES = (
    Page(_HERE, show, Scope.SUBMIT),
    Page(f"{_HERE}/check", check, Scope.SUBMIT, method="POST", reads_itself=True),
    Page(f"{_HERE}/send", send, Scope.SUBMIT, method="POST", reads_itself=True),
    Page(f"{_HERE}/refused", export_refused, Scope.SUBMIT, method="POST", reads_itself=True),
    Page(f"{_HERE}/columns", find_columns, Scope.SUBMIT, method="POST", reads_itself=True),
)
