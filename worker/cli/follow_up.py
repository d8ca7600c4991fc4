"""`campaigns follow-up`: a new campaign of exactly those whom another did not reach."""

from typing import Annotated, Literal

import typer

from campaigns.domain.following import CHOICES, CONFIRMATION, chosen
from campaigns.domain.schedule import read_schedule
from worker.cli.backend.backend import ToldFollowUp
from worker.cli.submit import take_in
from worker.cli.terminal import AsJson, CampaignId, Watch, Zone, read_id, read_text
from worker.cli.wanted import Again, At, Literally, NotAfter, SubmissionKey, TextFile
from worker.settings.reading import load_settings


def follow_up(  # noqa: PLR0913, PLR0917  one option each
    campaign_id: CampaignId,
    states: Annotated[
        list[str] | None,
        typer.Option(help=f"Which messages, with commas between: {', '.join(CHOICES)}."),
    ] = None,
    in_doubt: Annotated[
        str | None,
        typer.Option(
            metavar="SENTENCE",
            help=f"Also those that may have arrived. The sentence is {CONFIRMATION!r}.",
        ),
    ] = None,
    text: Annotated[str | None, typer.Option(help="What to send; else the campaign's own text.")] = None,
    text_file: TextFile = None,
    sender_id: Annotated[str | None, typer.Option(help="The sender; else the campaign's own.")] = None,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    submission_key: SubmissionKey = None,
    again: Again = False,
    on_doubt: Annotated[
        Literal["hold", "resend"] | None,
        typer.Option(help="Messages in doubt: as for submit; else as the campaign has it."),
    ] = None,
    at: At = None,
    not_after: NotAfter = None,
    zone: Zone = None,
    literal: Literally = False,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Send to those whom a campaign did not reach, as a new campaign.

    not_reached is each of expired, undelivered, failed and rejected;
    never_handed_over is what never left. Only settled messages are taken,
    never one that was delivered, and nobody whom an earlier follow-up of the
    same campaign has: follow that one up. The same follow-up within 23.5 hours
    is the same campaign.
    """
    if again and submission_key is not None:
        raise typer.BadParameter("say one of --again and --submission-key")
    if text is not None and text_file is not None:
        raise typer.BadParameter("say one of --text and --text-file")
    told = ToldFollowUp(
        campaign_id=read_id(campaign_id),
        states=[part.strip() for given in states or () for part in given.split(",") if part.strip()],
        in_doubt=in_doubt,
        text=read_text(text_file) if text_file is not None else text,
        name=name,
        sender_id=sender_id,
        submission_key=submission_key,
        again=again,
        on_doubt=on_doubt,
        schedule=read_schedule(at, not_after, zone),
        literal=literal,
    )
    chosen(told.campaign_id, told.states, in_doubt)  # raises for what is none of the choices
    same = "the same follow-up" if submission_key is None else None
    take_in(lambda backend: backend.follow_up(told), load_settings(), same=same, watch=watch, as_json=as_json)
