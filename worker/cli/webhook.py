"""`campaigns webhook …`: who is told what happens."""

from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from campaigns.domain.errors import NotFound
from campaigns.domain.schedule import ScheduleError, read_moment
from campaigns.domain.webhooks import CHOOSABLE, chosen_events
from worker import shapes
from worker.cli.printable import printable
from worker.cli.terminal import AsJson, Zone, out, print_json, say, use

app = typer.Typer(no_args_is_help=True, help="Who is told what happens, by signed HTTP requests.")

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id.")]


@app.command()
def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent: https://…")],
    owner: Annotated[
        str | None, typer.Option(help="Only what happens to the campaigns of this owner; else of all.")
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            help="What it hears of, once for each; else all but messages and progress: "
            f"{', '.join(CHOOSABLE)}."
        ),
    ] = None,
    with_numbers: Annotated[
        bool, typer.Option("--with-numbers", help="Tell numbers of messages, beside references.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a webhook. Its secret, by which it verifies what it gets, is shown once."""
    events = chosen_events(event or [])
    made = use(lambda backend: backend.webhooks.create(url, owner, events, with_numbers=with_numbers))
    _show_secret(made, as_json)


@app.command("list")
def listed(as_json: AsJson = False) -> None:
    """All webhooks, and how they do."""
    found = use(lambda backend: backend.webhooks.listed())
    if as_json:
        print_json(shapes.public(found))
        return
    if not found:
        out.print("there is no webhook; make one with: campaigns webhook create URL")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "url", "owner", "waiting", "state"):
        table.add_column(column, no_wrap=True)
    for each in found:
        cells = (str(each.id), each.url, each.owner or "all", str(each.waiting_count), _state(each))
        table.add_row(*(Text(printable(cell)) for cell in cells))
    out.print(table)


@app.command()
def show(webhook: WebhookId, as_json: AsJson = False) -> None:
    """One webhook and its newest deliveries, with what it answered."""
    webhook_id = _id(webhook)
    shape = use(lambda backend: backend.webhooks.show(webhook_id))
    if as_json:
        print_json(shape.public())
        return
    say(f"{shape.url}: {_state(shape)}; {shape.waiting_count} waiting")
    table = Table(box=None, pad_edge=False)
    for column in ("event", "type", "when", "state", "attempt", "answer"):
        table.add_column(column, no_wrap=True)
    for each in shape.deliveries:
        answer = each.trouble or ("" if each.status is None else str(each.status))
        cells = (
            str(each.event_id),
            each.type,
            each.at.isoformat()[:19],
            each.state,
            str(each.attempt),
            answer,
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    out.print(table)


@app.command()
def rotate(webhook: WebhookId, as_json: AsJson = False) -> None:
    """Make a new secret. For a day both sign, so that nothing is refused meanwhile."""
    webhook_id = _id(webhook)
    _show_secret(use(lambda backend: backend.webhooks.rotate(webhook_id)), as_json)


@app.command("test")
def send_test(webhook: WebhookId, as_json: AsJson = False) -> None:
    """Send an event of no meaning to this webhook alone. What it answered: campaigns webhook show ID."""
    webhook_id = _id(webhook)
    event_id = use(lambda backend: backend.webhooks.send_test(webhook_id))
    _done(webhook_id, as_json, f"event {event_id} is on its way", event_id=event_id)


@app.command()
def replay(
    webhook: WebhookId,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's id, as its deliveries show it.")],
    as_json: AsJson = False,
) -> None:
    """Deliver one event once more, with its id of before."""
    webhook_id, event_id = _id(webhook), _id(event, "event")
    use(lambda backend: backend.webhooks.replay(webhook_id, event_id))
    _done(webhook_id, as_json, f"event {event_id} is on its way", event_id=event_id)


@app.command()
def recover(
    webhook: WebhookId,
    since: Annotated[str, typer.Option(help="Since when, e.g. 2026-12-01T09:30+02:00.")],
    zone: Zone = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what it took: for a receiver that lost what it had.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Deliver what it missed since a moment, in order and with the ids of before."""
    webhook_id = _id(webhook)
    try:
        moment = read_moment(since, zone)
    except ScheduleError as error:
        raise ScheduleError(f"--since {error}") from None
    count = use(lambda backend: backend.webhooks.recover(webhook_id, moment, all_of_them=everything))
    _done(webhook_id, as_json, f"{count} events are on their way", event_count=count)


@app.command()
def enable(webhook: WebhookId, as_json: AsJson = False) -> None:
    """Deliver again, what waits first. What happened meanwhile comes by: campaigns webhook recover."""
    webhook_id = _id(webhook)
    use(lambda backend: backend.webhooks.enable(webhook_id))
    _done(webhook_id, as_json, "enabled")


@app.command()
def disable(webhook: WebhookId, as_json: AsJson = False) -> None:
    """Deliver nothing more until it is enabled. What waits is kept for 30 days."""
    webhook_id = _id(webhook)
    use(lambda backend: backend.webhooks.disable(webhook_id))
    _done(webhook_id, as_json, "disabled")


@app.command()
def delete(webhook: WebhookId, as_json: AsJson = False) -> None:
    """Forget it, and what waits for it."""
    webhook_id = _id(webhook)
    use(lambda backend: backend.webhooks.delete(webhook_id))
    _done(webhook_id, as_json, "deleted")


def _state(webhook: shapes.Webhook) -> str:
    if webhook.disabled_at is not None:
        return f"disabled: {webhook.disabled_reason}"
    return f"failing since {webhook.failing_since.isoformat()[:19]}" if webhook.failing_since else "ok"


def _show_secret(shape: shapes.WebhookSecret, as_json: bool) -> None:
    if as_json:
        print_json(shape.public())
        return
    say(f"webhook {shape.id}")
    say(f"secret {shape.secret} (shown once)")
    if shape.previous_secret_until is not None:
        say(f"the secret of before signs as well until {shape.previous_secret_until.isoformat()[:19]} UTC")


def _done(webhook_id: UUID, as_json: bool, sentence: str, **more: UUID | int) -> None:
    if as_json:
        print_json(shapes.WebhookDone(id=webhook_id, **more).public())
    else:
        say(sentence)


def _id(text: str, what: str = "webhook") -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"{printable(text)!r} is no {what} id; see: campaigns webhook list") from None
