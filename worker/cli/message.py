"""`campaigns message`: what we know of a single message, and what its provider says now."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from campaigns import reading
from campaigns.domain.errors import CampaignError
from campaigns.domain.provider import PaceUsedUp, Question, Sighting
from campaigns.store.reading.messages import MessageRow
from worker import shapes
from worker.cli import display
from worker.cli.backend.backend import Backend
from worker.cli.backend.here import Here
from worker.cli.terminal import AsJson, Region, ask, out, print_json, refuse_api, use
from worker.settings.reading import load_settings

if TYPE_CHECKING:
    from worker.bootstrap import Parts

_LIMIT = 100  # messages that are shown where no limit is given
_PATIENCE_SECONDS = 10.0  # for the pace: campaigns of the account may be using it up


def message(  # noqa: PLR0913, PLR0917  one option each
    provider_message_id: Annotated[str | None, typer.Option("--id", help="The provider's id of it.")] = None,
    phone: Annotated[str | None, typer.Option(help="The number it went to.")] = None,
    reference: Annotated[str | None, typer.Option(help="Our reference of it.")] = None,
    region: Region = None,
    account: Annotated[str | None, typer.Option(help="The account it went through.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            show_default="100 of ours",
            help="At most so many, newest first; with --live asked of the provider too.",
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="With --live: sent before this moment, e.g. 2026-11-28T12:00+02:00; without a zone UTC.",
        ),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask the provider too.")] = False,
    as_json: AsJson = False,
) -> None:
    """What became of one message: what we know, and with --live what its provider says now."""
    given: dict[reading.By, str | None] = {
        "id": provider_message_id,
        "phone": phone,
        "reference": reference,
    }
    named = [(by, typed) for by, typed in given.items() if typed is not None]
    if len(named) != 1:
        raise typer.BadParameter("say one of --id, --phone and --reference")
    by, typed = named[0]
    value = reading.sought(by, typed, region.upper() if region else None)
    sent_before = None if before is None else _moment(before)
    if before is not None and (not live or by == "id"):
        raise typer.BadParameter(
            "--before says of when the provider is asked: with --live, by phone or reference"
        )
    settings = load_settings()
    name = account.lower() if account else None
    if live:
        refuse_api(settings, "with --live its provider is asked, with the account's credentials and pace")
    if live and name is not None:
        settings.account(name)  # raises NotFound before anything is looked for

    async def work(backend: Backend, parts: "Parts | None") -> bool:
        rows = await backend.messages(by, value, name, limit or _LIMIT)
        asked: str | None = None
        seen: list[Sighting] | None = None
        trouble: CampaignError | None = None
        if parts is not None:
            try:
                asked = name or _account_of(rows)
                settings.account(asked)
                seen = await _ask(parts, asked, Question(by, value, limit, sent_before))
            except CampaignError as error:
                trouble = error  # what we know ourselves is told all the same
        if as_json:
            live_now = (
                None
                if seen is None
                else shapes.Live(account=asked, sightings=[shapes.Sighting.of(each) for each in seen])
            )
            known = [shapes.TracedMessage.of(row) for row in rows]
            print_json(shapes.Messages(messages=known, live=live_now).public())
        else:
            for row in rows:
                out.print(display.message(row))
            if not rows:
                out.print("we know of no such message")
            if seen is not None:
                out.print(display.sightings(f"{asked}'s provider", seen))
        if trouble is not None:
            raise trouble
        return bool(rows or seen)

    if live:
        found = ask(lambda parts: work(Here(settings, parts.database, parts), parts), settings)
    else:
        found = use(lambda backend: work(backend, None), settings)
    raise typer.Exit(0 if found else 1)


def _moment(typed: str) -> datetime:
    try:
        moment = datetime.fromisoformat(typed.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "--before is a moment by ISO 8601, for example 2026-11-28T12:00:00+02:00"
        ) from None


def _account_of(rows: Sequence[MessageRow]) -> str:
    names = sorted({row.account for row in rows})
    if not names:
        raise CampaignError("we know of no such message: say with --account whose provider is to be asked")
    if len(names) > 1:
        raise CampaignError(
            f"there are such messages on several accounts ({', '.join(names)}): "
            "say with --account whose provider is to be asked"
        )
    return names[0]


async def _ask(parts: "Parts", name: str, question: Question) -> list[Sighting]:
    account = parts.desk.accounts[name]
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS + account.provider.traits.timeout_seconds):
            while True:
                try:
                    return await account.provider.find(question, account.wait_for_pace)
                except PaceUsedUp as later:
                    await asyncio.sleep(later.wait_seconds)
    except TimeoutError:
        raise CampaignError(
            f"account {name} cannot be asked now: its campaigns use up its pace, or its provider is slow"
        ) from None
