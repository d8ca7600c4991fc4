"""`campaigns account A …`: ask about one account, or let it go on."""

import re
from datetime import date
from decimal import Decimal
from typing import Annotated

import typer
from rich.table import Table

from campaigns.domain.errors import CampaignError
from campaigns.domain.phone import InvalidPhone, normalise
from worker import shapes
from worker.cli.printable import printable
from worker.cli.terminal import AsJson, Region, ask, out, print_json, refuse_api, say, use
from worker.settings.environment import PREFIX
from worker.settings.reading import load_settings

app = typer.Typer(no_args_is_help=True, help="Ask about one account, or let it go on.")


@app.callback()
def account(context: typer.Context, name: Annotated[str, typer.Argument(metavar="A")]) -> None:
    """Ask about account A, or let it go on."""
    context.obj = name.lower()


@app.command()
def balance(context: typer.Context, as_json: AsJson = False) -> None:
    """What is left on it, says the provider."""
    money = use(lambda backend: backend.accounts.balance(context.obj), needs_parts=True)
    if as_json:
        print_json(shapes.Balance.of(context.obj, money).public())
    else:
        out.print(f"{shapes.amount_text(money.amount)} {money.currency or ''}".strip())


@app.command()
def stats(
    context: typer.Context,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="Which month.")],
    as_json: AsJson = False,
) -> None:
    """The provider's own statistics of a month, by day."""
    days = use(lambda backend: backend.accounts.statistics(context.obj, month), needs_parts=True)
    if as_json:
        print_json(shapes.public(days))
        return
    table = Table("date", "state", "cost", "segments", box=None, pad_edge=False)
    for day in days:
        table.add_row(
            printable(day.date), printable(day.provider_state), str(day.cost), str(day.segment_count)
        )
    out.print(table if days else f"nothing in {month}")


@app.command()
def reconcile(
    context: typer.Context,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="Which month, in UTC.")],
    as_json: AsJson = False,
) -> None:
    """The provider's own month beside ours, by day: what differs, and what may
    explain it.
    """
    first = _first_day(month)
    found = use(lambda backend: backend.accounts.reconciliation(context.obj, first), needs_parts=True)
    if as_json:
        print_json(found.public())
        return
    if found.trouble is not None:
        out.print(f"{found.trouble} What we know of {month}:", markup=False)
    if not found.days:
        out.print(f"nothing in {month}")
        return
    out.print(_reconciled(found))
    if found.trouble is None:
        differing = sum(not day.agrees for day in found.days)
        out.print("all days agree" if found.agrees else f"{differing} day(s) differ")


def _reconciled(found: shapes.Reconciliation) -> Table:
    currency = f" {found.currency}" if found.currency else ""
    table = Table(
        "date", "parts: theirs", "ours", "", f"cost{currency}: theirs", "ours", "", box=None, pad_edge=False
    )
    table.add_column("what may explain it", overflow="fold")
    for day in found.days:
        theirs, ours = day.theirs, day.ours
        table.add_row(
            day.day.isoformat(),
            "" if theirs is None else str(theirs.segment_count),
            str(ours.segment_count),
            _difference(day.segment_difference),
            "" if theirs is None else shapes.amount_text(theirs.cost),
            shapes.amount_text(ours.cost),
            "" if day.cost_difference is None else _difference(day.cost_difference),
            "; ".join(each.sentence for each in day.explanations),
        )
    return table


def _difference(count: int | Decimal | None) -> str:
    """Marked where there is one."""
    if not count:
        return ""
    return f"≠ {count:+d}" if isinstance(count, int) else f"≠ {count:+f}"


def _first_day(month: str) -> date:
    if not re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", month):
        raise typer.BadParameter("a month is written YYYY-MM, for example 2026-11")
    return date.fromisoformat(f"{month}-01")


@app.command("callback-url")
def callback_url(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Ask the provider whether it knows it.")] = False,
    register: Annotated[bool, typer.Option("--register", help="Have it registered there.")] = False,
) -> None:
    """Where its provider may call us back: for one that is told once, in its own settings."""
    settings = load_settings()
    refuse_api(settings, "the address holds a secret, which no key is told")
    name = context.obj
    urls = settings.callback_urls(name)
    if urls is None:
        if not settings.account(name).calls_back:
            raise CampaignError(f"the provider of account {name} calls nobody back")
        raise CampaignError(f"{PREFIX}PUBLIC_URL is not set: set it, and {PREFIX}CALLBACK_SECRET")
    url = urls.url_of_account()
    if register:
        is_new = ask(lambda parts: parts.desk.accounts[name].provider.register_callbacks(url), settings)
        out.print("registered" if is_new else "it was registered already")
    elif check:
        known = ask(lambda parts: parts.desk.accounts[name].provider.callbacks_registered(url), settings)
        if known is False:
            raise CampaignError(
                f"the address of account {name} does not stand among its provider's hooks;"
                f" have it registered: campaigns account {name} callback-url --register"
            )
        out.print("registered" if known else "its provider is told with each message where to call")
    else:
        out.print(url, markup=False)


@app.command("blacklist")
def stop_list(
    context: typer.Context,
    phone: Annotated[str, typer.Option(metavar="N", help="The number, with + and country code.")],
    region: Region = None,
    as_json: AsJson = False,
) -> None:
    """Whether a number stands on the provider's own blacklist."""
    settings = load_settings()
    refuse_api(settings, "its provider is asked about one number, with the account's credentials")
    settings.account(context.obj)
    number = _number(phone, region, "looked up")
    entry = ask(lambda parts: parts.desk.accounts[context.obj].provider.find_on_stop_list(number), settings)
    if as_json:
        print_json(shapes.StopListing.of(context.obj, number, entry).public())
        return
    if entry is None:
        out.print("not on it")
        return
    since = f" since {entry.since}" if entry.since else ""
    out.print(f"on it{since}{f': {entry.reason}' if entry.reason else ''}", markup=False)


@app.command("try")
def try_one(
    context: typer.Context,
    phone: Annotated[str, typer.Option(metavar="N", help="The number, with + and country code.")],
    text: Annotated[str, typer.Option(help="The text.")] = "A test of campaigns.",
    sender: Annotated[
        str | None, typer.Option(help="The sender that phones show; else the account's own.")
    ] = None,
    region: Region = None,
    send: Annotated[bool, typer.Option("--send", help="Send it: exactly one, which costs.")] = False,
) -> None:
    """Show the request that one text would be, secrets and number masked; with --send send it, and say what
    the answer was understood as.
    """
    from worker.cli.trying import try_one  # noqa: PLC0415  comes with HTTP, for which no other command waits

    settings = load_settings()
    refuse_api(settings, "it sends past all campaigns, with the account's credentials")
    settings.account(context.obj)
    number = _number(phone, region, "tried")
    if not try_one(settings, context.obj, number, text, sender, sends=send):
        raise typer.Exit(1)


@app.command("resume")
def resume_account(context: typer.Context) -> None:
    """Lift the hold on it, now that its trouble is mended."""
    lifted = use(lambda backend: backend.accounts.resume(context.obj))
    say("it may send again" if lifted else "it was not on hold")


@app.command("probe")
def probe_account(context: typer.Context) -> None:
    """Have its provider asked now whether it may send again; the hold on it ends
    where all is well.
    """
    is_held = use(lambda backend: backend.accounts.probe(context.obj))
    say("its provider is asked with the next tick" if is_held else "it was not on hold")


def _number(phone: str, region: str | None, done: str) -> str:
    """A number in E.164. Raises CampaignError, which says what cannot be `done` with it."""
    try:
        return normalise(phone, region)
    except InvalidPhone as error:
        raise CampaignError(f"this number cannot be {done}: {error}") from None
