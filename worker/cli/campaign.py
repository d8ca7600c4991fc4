"""`campaigns status`, `list`, `pause`, `resume`, `cancel`, `reschedule` and `resolve`: whole campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from campaigns.domain.states import CampaignState
from campaigns.lazy_imports import lazy_imports
from worker import shapes
from worker.cli.terminal import (
    AsJson,
    CampaignId,
    Region,
    Watch,
    Zone,
    err,
    follow,
    out,
    print_json,
    read_id,
    say,
    use,
)

with lazy_imports(__name__):
    from campaigns.domain import schedule
    from worker.cli import display

if TYPE_CHECKING:
    from campaigns.store.rescue.resolution import Decision
    from worker.cli.backend.backend import Backend


def status(campaign_id: CampaignId, watch: Watch = False, as_json: AsJson = False) -> None:
    """How a campaign stands: totals by state, cost, segments; and whether anybody works on what is due."""

    async def work(backend: Backend) -> None:
        wanted = read_id(campaign_id)
        if watch:
            await follow(backend, wanted, err if as_json else out)
        overview = await backend.status(wanted)
        found = await backend.working()
        if as_json:
            print_json(shapes.CampaignStatus.of(overview, working=found).public())
        elif not watch:
            out.print(display.campaign(overview))
        if not display.is_over(overview) and found.trouble:
            (err if as_json else out).print(found.trouble, markup=False)

    use(work)


def list_campaigns(
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many, newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """The newest campaigns."""
    overviews = use(lambda backend: backend.newest(limit))
    if as_json:
        print_json(shapes.public([shapes.Campaign.of(overview) for overview in overviews]))
    elif overviews:
        out.print(display.campaigns(overviews))
    else:
        out.print("no campaigns yet")


def _change(campaign_id: str, target: CampaignState, action: str, done: str) -> None:
    async def work(backend: Backend) -> None:
        wanted = read_id(campaign_id)
        changed = await backend.change_state(wanted, target, action)
        overview = await backend.status(wanted)
        waiting = display.unsettled_states(overview)
        rest = ", ".join(f"{count} {state}" for state, count in waiting.items())
        say(done if changed else f"it was {overview.state} already" + (f"; {rest}" if rest else ""))

    use(work)


def pause(campaign_id: CampaignId) -> None:
    """Stop handing over within one batch; what was handed over is still followed to its end."""
    _change(campaign_id, CampaignState.PAUSED, "pause", "paused")


def resume(
    campaign_id: Annotated[str | None, typer.Argument(metavar="ID", help="The campaign's id.")] = None,
    all_accounts: Annotated[
        bool, typer.Option("--all-accounts", help="Lift the hold on every account, and on no campaign.")
    ] = False,
    sender_id: Annotated[
        str | None, typer.Option(help="The sender from now on, where the first was refused.")
    ] = None,
    operator: Annotated[str | None, typer.Option(help="Who decides this; else your login.")] = None,
) -> None:
    """Go on with a campaign that is paused, or on hold since its sender or text was refused; or with every
    account, since the database went back in time.
    """
    if (campaign_id is None) != all_accounts:
        raise typer.BadParameter("say one of ID and --all-accounts")
    if campaign_id is None:
        names = ", ".join(use(lambda backend: backend.accounts.resume_all(operator)))
        say(f"these may send again: {names}" if names else "none was on hold")
        return
    wanted = read_id(campaign_id)

    resumed = use(lambda backend: backend.resume(wanted, operator, sender_id))
    out.print("running" if resumed else "it was running already")


def cancel(campaign_id: CampaignId) -> None:
    """Never hand over what is still queued; what was handed over is followed to its end."""
    _change(campaign_id, CampaignState.CANCELLED, "cancel", "cancelled")


def reschedule(
    campaign_id: CampaignId,
    at: Annotated[str, typer.Option(metavar="TIME", help="When to go on, e.g. 2026-12-01T09:30+02:00.")],
    not_after: Annotated[
        str | None, typer.Option(metavar="TIME", help="Hand nothing over later; else as it was.")
    ] = None,
    zone: Zone = None,
) -> None:
    """Have what is not handed over yet wait until another time."""
    times = schedule.read_schedule(at, not_after, zone)
    wanted = read_id(campaign_id)
    count = use(lambda backend: backend.reschedule(wanted, times))
    say(f"{count} messages wait until {times.send_at:%Y-%m-%d %H:%M:%S} UTC")


def resolve(
    campaign_id: CampaignId,
    resend: Annotated[
        bool, typer.Option("--resend", help="Send them again: a second text is possible.")
    ] = False,
    assume_sent: Annotated[bool, typer.Option("--assume-sent", help="Settle them as unknown.")] = False,
    phone: Annotated[str | None, typer.Option(help="Only this number's message.")] = None,
    region: Region = None,
    operator: Annotated[str | None, typer.Option(help="Who decides this; else your login.")] = None,
) -> None:
    """Your word on messages in doubt, recorded with who and when."""
    if resend == assume_sent:
        raise typer.BadParameter("say one of --resend and --assume-sent")
    wanted = read_id(campaign_id)
    decision: Decision = "resend" if resend else "assume_sent"
    code = region.upper() if region else None
    count = use(lambda backend: backend.resolve(wanted, decision, phone, code, operator))
    done = "queued again" if resend else "settled as unknown"
    say(f"{count} in doubt, now {done}" if count else "nothing of it is in doubt")
