"""`campaigns demo`: sends one campaign, start to finish, through a simulated provider while you watch."""

import asyncio
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from itertools import islice
from pathlib import Path
from subprocess import Popen

from rich.console import Console

from campaigns import aggregation, dashboard_sessions, keys, reading, submission
from campaigns.cleaning import REASONS
from campaigns.domain.access import Scope
from campaigns.domain.errors import CampaignError
from campaigns.domain.policy import BATCH_SIZE
from campaigns.domain.recipients import read_recipients
from campaigns.store import schema
from campaigns.store.session import Database
from campaigns.store.submission import TakenIn
from simulator.options import ProviderName
from worker.cli import display
from worker.cli.operator import operator
from worker.settings.accounts import PROVIDERS
from worker.settings.environment import PREFIX
from worker.settings.model import Settings
from worker.settings.reading import load_settings
from worker.stack import children, location
from worker.stack.interrupts import Interrupts, stopping_on_signals

TEXT = "Spring sale in {city}: 20% off everything until Sunday. Reply STOP to opt out."
_ACCOUNT = "demo"
_LISTEN_SECONDS = 60.0  # for the simulator, and the web, to start
_LISTENING = re.compile(rb"listening on (http://\S+)")
_LOOK_SECONDS = 0.5  # between two looks at what is kept running


def run(
    settings: Settings, provider: ProviderName, recipients: Path, console: Console, *, keep: bool = False
) -> int:
    """Run the demo against the simulator of `provider`, with the dashboard on any free port of this machine.
    `keep`: go on serving it after the campaign, until Ctrl-C.

    Gives the exit code: 0 if the campaign finished and its totals agree with a recount. Stops everything that
    it started, whatever happens; what it stored stays in DATA_DIR.
    """
    if not recipients.is_file():
        raise CampaignError(
            f"{recipients} is not there; run the demo from the project's folder or name a file"
        )
    with ExitStack() as resources:
        interrupts = resources.enter_context(stopping_on_signals())
        console.print("starting PostgreSQL and Redis …")
        located = resources.enter_context(location.located_servers(settings, may_make=True))
        location.use_database(located, schema.migrate, interrupts)
        logs = (located.data_dir / "demo").resolve()
        logs.mkdir(parents=True, exist_ok=True)
        family = resources.enter_context(children.children(interrupts))
        url = _start_simulator(family, located, provider, logs, interrupts)
        is_example = recipients == default_recipients()
        first_rows = PROVIDERS[provider].demo.first_rows
        most = first_rows if is_example else None
        count = most or recipients.read_bytes().count(b"\n")
        environment = children.environment_for(
            located, _demo_settings(provider, url, count), without_ours=True
        )
        own = load_settings(environment, env_file=None)

        def start(name: str, command: list[str]) -> "Popen[bytes]":
            # Their working directory holds no .env: a demonstration must not meet a real account.
            log = logs / f"{name}.log"
            return family.start(name, command, environment, directory=logs, log=log, restart=False)

        for name in ("worker", "beat"):
            start(name, children.celery_command(name))
        console.print(
            f"simulator of {provider} at {url}, celery worker and celery beat are running; "
            f"submitting {recipients}"
        )
        # No API and no callbacks: nobody calls it.
        web = children.web_command("--port", "0", "--serve", "dashboard")
        page = _listening("web", logs, lambda: start("web", web), interrupts)
        link = resources.enter_context(_key(own, interrupts))
        console.print(
            f"watch it; this address signs you in, once:\n  {page}/sign-in/{link()}", soft_wrap=True
        )
        if first_rows is not None:
            rows = f"the first {most} rows" if most else "it"
            console.print(
                f"{provider} takes one message a request; at its default pace {rows} will take about "
                f"{_sending_seconds(provider, count) + _asking_seconds(count):.0f} s"
            )

        def look_after() -> None:
            family.look_after(console.print)

        code = location.use_database(
            own,
            lambda database: _main_job(database, own, recipients, most, console, logs, look_after),
            interrupts,
        )
        if keep:
            _keep(f"{page}/sign-in/{link()}", look_after, console, interrupts)
        else:
            console.print("to go on looking at the dashboard: make demo KEEP=1, or campaigns demo --keep")
    if keep:
        console.print("stopped; nothing runs any more")
    return code


def _keep(address: str, look_after: Callable[[], None], console: Console, interrupts: Interrupts) -> None:
    console.print(
        f"Ctrl-C ends the dashboard, too; this signs another browser in:\n  {address}", soft_wrap=True
    )
    try:
        while True:
            look_after()
            interrupts.pause(_LOOK_SECONDS)
    except KeyboardInterrupt:
        interrupts.forget()
        console.print("\nstopping …")


@contextmanager
def _key(own: Settings, interrupts: Interrupts) -> Iterator[Callable[[], str]]:
    """A key that sees and does everything, for the length of the block. Nobody is told it. Gives what makes
    links that sign in with it: the part of their address that is secret.
    """

    async def make(database: Database) -> str:
        made = await keys.create(
            database,
            operator(),
            owner=_ACCOUNT,
            scopes=tuple(Scope),
            expires_at=datetime.now(UTC) + dashboard_sessions.LONGEST,  # if this process is killed
            is_for_all_owners=True,
        )
        return made.row.id

    async def revoke(database: Database) -> None:
        await keys.revoke(database, operator(), key_id)

    key_id = location.use_database(own, make, interrupts)
    try:
        yield lambda: location.use_database(
            own, lambda database: dashboard_sessions.make_link(database, operator(), key_id), interrupts
        )
    finally:
        location.use_database(own, revoke)


def _sending_seconds(provider: ProviderName, count: int) -> float:
    return count / float(PROVIDERS[provider].settings.model_fields["requests_per_second"].default)


def _asking_seconds(count: int) -> float:
    return count / 5 * 1.5


def _demo_settings(provider: ProviderName, url: str, count: int) -> Mapping[str, str]:
    give_up = 25.0
    demo = PROVIDERS[provider].demo
    if demo.first_rows is not None:
        # Each hand-over of a batch moves its deadline on; the last batch waits for those before it.
        give_up += _asking_seconds(count) + (_sending_seconds(provider, count) if count > BATCH_SIZE else 0)
    account = f"{PREFIX}ACCOUNTS__{_ACCOUNT.upper()}__"
    return {
        f"{account}PROVIDER": provider,
        **{f"{account}{name}": value.format(url=url) for name, value in demo.settings.items()},
        # A day's work in half a minute: quick questions, and a deadline one can wait for. A lease ends well
        # before it: what a demo that was interrupted left behind must not fail by waiting.
        f"{account}TIMEOUT_SECONDS": "3",
        f"{PREFIX}LEASE_SECONDS": "13",
        f"{PREFIX}RETRY__FIRST_SECONDS": "1",
        f"{PREFIX}POLL__FIRST_SECONDS": "1",
        f"{PREFIX}POLL__MAX_SECONDS": "4",
        f"{PREFIX}POLL__GIVE_UP_SECONDS": f"{give_up:g}",
        f"{PREFIX}LOG_FORMAT": "json",
    }


def _start_simulator(
    family: children.Children, located: Settings, provider: ProviderName, logs: Path, interrupts: Interrupts
) -> str:
    command = [
        *(sys.executable, "-P", "-m", "simulator", "--provider", provider),  # -P as in `celery_command`
        *("--port", "0", "--delivery-seconds", "4"),
    ]
    environment = children.environment_for(located, {}, without_ours=True)

    def start() -> "Popen[bytes]":
        return family.start("simulator", command, environment, log=logs / "simulator.log", restart=False)

    return _listening("simulator", logs, start, interrupts)


def _listening(name: str, logs: Path, start: "Callable[[], Popen[bytes]]", interrupts: Interrupts) -> str:
    """Start a process. Gives the URL that it says in its log."""
    log = logs / f"{name}.log"
    begin = log.stat().st_size if log.exists() else 0
    process = start()
    deadline = time.monotonic() + _LISTEN_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        found = _LISTENING.search(log.read_bytes()[begin:])
        if found:
            return found[1].decode()
        interrupts.pause(0.05)
    raise CampaignError(f"the {name} did not start; see {log}")


async def _main_job(
    database: Database,
    settings: Settings,
    recipients: Path,
    most: int | None,
    console: Console,
    logs: Path,
    look_after: Callable[[], None],
) -> int:
    taken = await _submit(database, settings, recipients, most)
    console.print(f"campaign {taken.id}: {taken.recipient_count} recipients taken in", highlight=False)
    for row, reason in await reading.refusals(database, taken.id, limit=3):
        console.print(f"  not row {row}: {REASONS[reason]}", highlight=False)

    async def pause() -> None:
        look_after()
        await asyncio.sleep(0.25)

    overview = await display.watch(console, lambda: reading.status(database, taken.id), pause)
    if not console.is_terminal:
        console.print(display.campaign(overview))
    differing = await aggregation.verify(database, taken.id)
    console.print(
        "the totals agree with a recount of the messages" if not differing else f"DIFFER: {differing}"
    )
    console.print(
        f"kept in {location.data_of(settings)} (logs in {logs}); look again with:\n"
        f"  campaigns status {taken.id}\n  campaigns export {taken.id}",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if differing else 0


async def _submit(database: Database, settings: Settings, recipients: Path, most: int | None) -> TakenIn:
    with recipients.open("rb") as file:
        content = iter(lambda: file.read(65_536), b"") if most is None else islice(file, most + 1)
        reader = read_recipients(content, format=None, name=recipients.name)
        return await submission.submit(
            database,
            settings.policy(),
            submission.Submission(
                account=settings.terms(_ACCOUNT),
                text=TEXT,
                sender_id=None,
                name="Spring sale",
                region="US",
            ),
            reader,
        )


def default_recipients() -> Path:
    """The example that comes with the project's folder."""
    return Path(str(files("worker"))).parent / "examples" / "spring_sale.csv"
