"""Every command of `campaigns`, and what becomes of an error: one sentence and an exit code.

Here are names and sentences alone: a command's module is loaded when the command is typed, so that nobody
waits for what only another one needs.

Exit codes: 0 done, 1 it failed, 2 wrong usage or settings, 130 Ctrl-C.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, wraps
from importlib import import_module
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from campaigns.domain.errors import CampaignError
from campaigns.lazy_imports import lazy_imports
from worker.cli import streams
from worker.cli.printable import printable

with lazy_imports(__name__):  # `campaigns --help` needs none of them
    from worker.cli import terminal
    from worker.settings import reading

_RUNS = "it runs what is on this machine"
_LOOKS = "it looks at this machine, and at the database and the broker from here"
_CHANGES = "it changes the database itself"

# Their options are Celery's and the simulator's own.
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


class Command(TyperCommand):
    """A command of which the name and a sentence are known, and nothing else before it is typed.

    Takes where it is found, MODULE:FUNCTION (or MODULE:app, for several under one noun). `only_here`: why it
    is refused where an API is set.
    """

    def __init__(
        self,
        name: str,
        found: str,
        sentence: str,
        *,
        only_here: str | None = None,
        context_settings: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(name, help=sentence)
        self._found = found
        self._only_here = only_here
        self._own_context_settings = context_settings

    @cached_property
    def loaded(self) -> Any:
        """The command itself, with its parameters. Loads its module."""
        module, _, attribute = self._found.partition(":")
        target = getattr(import_module(f"worker.cli.{module}"), attribute)
        if isinstance(target, typer.Typer):
            return typer.main.get_group(target)
        command = target if self._only_here is None else _here(target, self._only_here)
        alone = typer.Typer(add_completion=False)
        alone.command(self.name, context_settings=self._own_context_settings)(command)
        return typer.main.get_command(alone)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself: typer asks for it when the command is typed, and runs what the
        context names.
        """
        return self.loaded.make_context(info_name, args, parent, **extra)


def _here(command: Callable[..., None], why: str) -> Callable[..., None]:
    """The same command, refused where an API is set, and why."""

    @wraps(command)
    def checked(*given: object, **named: object) -> None:
        with suppress(reading.SettingsError):  # the command says it itself
            terminal.refuse_api(reading.load_settings(), why)
        command(*given, **named)

    return checked


_COMMANDS = (
    Command("submit", "submit:submit", "Take a campaign in: the whole file or nothing."),
    Command(
        "check",
        "check:check",
        "Say what `submit` would do with the same file and options, and what it would cost.",
    ),
    Command(
        "follow-up",
        "follow_up:follow_up",
        "Send to those whom a campaign did not reach, as a new campaign.",
    ),
    Command(
        "status",
        "campaign:status",
        "How a campaign stands: totals by state, cost, segments; and whether anybody works on what is due.",
    ),
    Command("list", "campaign:list_campaigns", "The newest campaigns."),
    Command("top", "top:top", "What is under way, looked at once a second; q or Ctrl-C ends it."),
    Command(
        "export",
        "export:export",
        "Every recipient and what became of the message, a row each, streamed to standard output in UTF-8.",
    ),
    Command(
        "pause",
        "campaign:pause",
        "Stop handing over within one batch; what was handed over is still followed to its end.",
    ),
    Command(
        "resume",
        "campaign:resume",
        "Go on with a campaign that is paused, or on hold since its sender or text was refused; or with "
        "every account, since the database went back in time.",
    ),
    Command(
        "cancel",
        "campaign:cancel",
        "Never hand over what is still queued; what was handed over is followed to its end.",
    ),
    Command("reschedule", "campaign:reschedule", "Have what is not handed over yet wait until another time."),
    Command("resolve", "campaign:resolve", "Your word on messages in doubt, recorded with who and when."),
    Command(
        "message",
        "message:message",
        "What became of one message: what we know, and with --live what its provider says now.",
    ),
    Command(
        "erase",
        "erase:erase",
        "Erase what is known of these numbers: number, own text and columns of each settled message.",
    ),
    Command(
        "up",
        "running:up",
        "Run the whole stack in this terminal: servers, workers, beat, and the web with dashboard and API.",
        only_here=_RUNS,
    ),
    Command(
        "web",
        "running:web",
        "Take the providers' callbacks, and serve the API and the dashboard.",
        only_here=_RUNS,
    ),
    Command(
        "demo",
        "running:demo",
        "Run the main job once, on a simulated provider, and show it on the dashboard.",
        only_here=_RUNS,
    ),
    Command("migrate", "running:migrate", "Bring the database schema to head.", only_here=_CHANGES),
    Command(
        "doctor",
        "doctor.command:doctor",
        "Check settings, database, Redis, work, accounts, the web. Exit code 1: something is wrong.",
        only_here=_LOOKS,
    ),
    Command(
        "alive",
        "doctor.command:alive",
        "For a container's probe: exit code 0 where this host's worker or beat was seen within a minute.",
        only_here=_LOOKS,
    ),
    Command(
        "worker",
        "running:worker",
        "Run a worker: `celery -A worker.app worker` and its options, whatever the working directory holds.",
        only_here=_RUNS,
        context_settings=_PASSED_ON,
    ),
    Command(
        "beat",
        "running:beat",
        "Run beat: `celery -A worker.app beat` and its options, whatever the working directory holds.",
        only_here=_RUNS,
        context_settings=_PASSED_ON,
    ),
    Command(
        "simulator",
        "running:simulator",
        "Serve a provider's wire over HTTP, with faults on request: no SMS leaves it.",
        context_settings=_PASSED_ON,
    ),
    Command("account", "account:app", "Ask about one account, or let it go on."),
    Command("suppression", "suppression:app", "Numbers that are never sent to."),
    Command("aside", "aside:app", "What could not be done and was set aside."),
    Command("key", "key:app", "Keys of the API: who may use it, and for what."),
    Command("webhook", "webhook:app", "Who is told what happens, by signed HTTP requests."),
)
"""Each with the first sentence of its own help, in the order of `campaigns --help`."""

app = TyperGroup(
    name="campaigns",
    commands=_COMMANDS,
    no_args_is_help=True,
    help="Send bulk SMS campaigns without losing a message and without sending one twice.",
)


def run() -> NoReturn:
    """Run the command that was typed. Turns our errors into one sentence and an exit code."""
    code = 0
    try:
        app()
    except SystemExit as end:  # typer's: what the command wants, or wrong usage
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except CampaignError as error:
        _complain(error)
        code = 2 if isinstance(error, reading.SettingsError) else 1
    except streams.OutputLost as lost:
        if not lost.is_reader_gone:  # as in `campaigns export ID | head`
            _complain(lost)
            code = 1
    except KeyboardInterrupt:
        code = 130
    streams.end(code)


def _complain(error: Exception) -> None:
    for line in str(error).splitlines():
        terminal.err.print(f"Error: {printable(line)}", markup=False)
