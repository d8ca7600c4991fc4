"""`campaigns account A …`: ask about one account, or let it go on."""

from typing import Annotated

import typer
from rich.table import Table

from campaigns import aggregation, holding
from campaigns.domain.errors import CampaignError
from worker.bootstrap import callback_urls
from worker.settings import PREFIX, load_settings
from worker.terminal import AsJson, ask, do, out, print_json

app = typer.Typer(no_args_is_help=True, help="Ask about one account, or let it go on.")


@app.callback()
def account(context: typer.Context, name: Annotated[str, typer.Argument(metavar="A")]) -> None:
    """Ask about account A, or let it go on."""
    context.obj = name.lower()


@app.command()
def balance(context: typer.Context, as_json: AsJson = False) -> None:
    """What is left on it, says the provider."""
    settings = load_settings()
    settings.account(context.obj)
    money = ask(lambda parts: parts.desk.accounts[context.obj].provider.balance(), settings)
    amount = aggregation.amount_text(money.amount)
    if as_json:
        print_json({"account": context.obj, "amount": amount, "currency": money.currency})
    else:
        out.print(f"{amount} {money.currency or ''}".strip())


@app.command()
def stats(
    context: typer.Context,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="Which month.")],
    as_json: AsJson = False,
) -> None:
    """The provider's own statistics of a month, by day."""
    settings = load_settings()
    settings.account(context.obj)
    days = ask(lambda parts: parts.desk.accounts[context.obj].provider.statistics(month), settings)
    if as_json:
        print_json(
            [
                {
                    "date": day.date,
                    "provider_state": day.provider_state,
                    "cost": str(day.cost),
                    "segment_count": day.segment_count,
                }
                for day in days
            ]
        )
        return
    table = Table("date", "state", "cost", "segments", box=None, pad_edge=False)
    for day in days:
        table.add_row(day.date, day.provider_state, str(day.cost), str(day.segment_count))
    out.print(table if days else f"nothing in {month}")


@app.command("callback-url")
def callback_url(context: typer.Context) -> None:
    """Where its provider may call us back: for one that is told once, in its own settings."""
    settings = load_settings()
    urls = callback_urls(settings, context.obj)
    if urls is not None:
        out.print(urls.url_of_account(), markup=False)
        return
    if not settings.account(context.obj).calls_back:
        raise CampaignError(f"the provider of account {context.obj} calls nobody back")
    raise CampaignError(f"{PREFIX}PUBLIC_URL is not set: set it, and {PREFIX}CALLBACK_SECRET")


@app.command("resume")
def resume_account(context: typer.Context) -> None:
    """Lift the hold on it, now that its trouble is mended."""
    lifted = do(lambda database: holding.resume_account(database, context.obj))
    out.print("it may send again" if lifted else "it was not on hold")
