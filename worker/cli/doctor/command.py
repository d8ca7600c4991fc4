"""`campaigns doctor` and `campaigns alive`: is anything wrong, and does this host's worker or beat run?"""

import socket
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from campaigns import watching
from campaigns.domain.errors import CampaignError
from campaigns.store import schema
from campaigns.store.session import Database
from worker import shapes
from worker.cli.terminal import AsJson, out, print_json
from worker.settings.reading import load_settings
from worker.stack import location
from worker.stack.location import located

if TYPE_CHECKING:
    from worker.cli.doctor.findings import Finding


def doctor(as_json: AsJson = False) -> None:
    """Check settings, database, Redis, work, accounts, the web. Exit code 1: something is wrong."""
    from worker.cli.doctor.examination import examine  # noqa: PLC0415  HTTP, and every adapter: for this alone

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            out.print(f"{finding.status.value:<5} {finding.name}: {finding.sentence}", markup=False)
    healthy = all(finding.status != "FAIL" for finding in findings)
    if as_json:
        print_json(shapes.Findings(healthy=healthy, findings=[_shape(each) for each in findings]).public())
    raise typer.Exit(0 if healthy else 1)


def _shape(finding: "Finding") -> shapes.Finding:
    return shapes.Finding.model_validate(
        {"name": finding.name, "status": finding.status.value.lower(), "sentence": finding.sentence}
    )


def alive(
    worker: Annotated[bool, typer.Option("--worker", help="A worker of this host.")] = False,
    beat: Annotated[bool, typer.Option("--beat", help="A beat of this host.")] = False,
) -> None:
    """For a container's probe: exit code 0 where this host's worker or beat was seen within a minute.

    With the database away, or of another schema, nobody can know: then 0 too,
    for a restart would mend nothing. A beat is seen by its ticks, through a
    worker: where no worker runs it counts as alive.
    """
    if worker == beat:
        raise typer.BadParameter("say one of --worker and --beat")
    kind: Literal["worker", "beat"] = "worker" if worker else "beat"
    settings = load_settings()

    async def ask(database: Database) -> str | None:
        await schema.check(database)
        found = await watching.working(database, tick_seconds=settings.tick_seconds)
        if kind == "beat" and found.work.worker_count == 0:
            return None
        age = await watching.alive(database, kind, socket.gethostname())
        if age is not None and age <= watching.ALIVE_SECONDS:
            return None
        return "never seen" if age is None else f"last seen {watching.seconds_text(age)} ago"

    try:
        dead = location.use_database(located(settings), ask)
    except CampaignError as error:
        out.print(f"not known: {error}", markup=False)
        return
    if dead is not None:
        raise CampaignError(f"the {kind} of {socket.gethostname()} does not live: {dead}")
    out.print(f"the {kind} of {socket.gethostname()} lives")
