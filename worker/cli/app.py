"""Every command of `campaigns`, and what becomes of an error: one sentence and an exit code.

Exit codes: 0 done, 1 it failed, 2 wrong usage or settings, 130 Ctrl-C.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import NoReturn

import typer

from campaigns.domain.errors import CampaignError
from worker.cli import (
    account,
    aside,
    campaign,
    check,
    erase,
    export,
    follow_up,
    key,
    message,
    running,
    streams,
    submit,
    suppression,
    top,
    webhook,
)
from worker.cli.doctor import command as doctor
from worker.cli.printable import printable
from worker.cli.terminal import err, refuse_api
from worker.settings.reading import SettingsError, load_settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with locals would show texts and numbers
    help="Send bulk SMS campaigns without losing a message and without sending one twice.",
)
app.add_typer(account.app, name="account")
app.add_typer(suppression.app, name="suppression")
app.add_typer(aside.app, name="aside")
app.add_typer(key.app, name="key")
app.add_typer(webhook.app, name="webhook")


_RUNS = "it runs what is on this machine"
_LOOKS = "it looks at this machine, and at the database and the broker from here"


def _here(command: Callable[..., None], why: str = _RUNS) -> Callable[..., None]:
    """The same command, refused where an API is set, and why."""

    @wraps(command)
    def checked(*given: object, **named: object) -> None:
        with suppress(SettingsError):  # the command says it itself
            refuse_api(load_settings(), why)
        command(*given, **named)

    return checked


_COMMANDS: tuple[Callable[..., None], ...] = (
    submit.submit,
    check.check,
    follow_up.follow_up,
    campaign.status,
    campaign.list_campaigns,
    top.top,
    export.export,
    campaign.pause,
    campaign.resume,
    campaign.cancel,
    campaign.reschedule,
    campaign.resolve,
    message.message,
    erase.erase,
    _here(running.up),
    _here(running.web),
    _here(running.demo),
    _here(running.migrate, "it changes the database itself"),
    _here(doctor.doctor, _LOOKS),
    _here(doctor.alive, _LOOKS),
)
for command in _COMMANDS:
    app.command("list" if command is campaign.list_campaigns else None)(command)

# Their options are Celery's and the simulator's own.
for passed_on in (_here(running.worker), _here(running.beat), running.simulator):
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    )(passed_on)


def run() -> NoReturn:
    """Run the command that was typed. Turns our errors into one sentence and an exit code."""
    code = 0
    try:
        app()
    except SystemExit as end:  # typer's: what the command wants, or wrong usage
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except SettingsError as error:
        _complain(error)
        code = 2
    except CampaignError as error:
        _complain(error)
        code = 1
    except streams.OutputLost as lost:
        if not lost.is_reader_gone:  # as in `campaigns export ID | head`
            _complain(lost)
            code = 1
    except KeyboardInterrupt:
        code = 130
    streams.end(code)


def _complain(error: Exception) -> None:
    for line in str(error).splitlines():
        err.print(f"Error: {printable(line)}", markup=False)
