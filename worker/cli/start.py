"""How `campaigns` starts: Ctrl-C is taken care of first, then the command is loaded."""

import gc
import signal
import sys
import traceback
from typing import NoReturn

from campaigns.domain.errors import origin_of
from worker.cli import streams
from worker.settings.environment import TRACEBACK, wants_traceback, without_plugins


def main() -> NoReturn:
    """The console script. Loads the command that was typed and runs it.

    While it loads, and after the command has ended, a Ctrl-C simply kills the process: there is nothing to
    clean up, and no traceback. An error that nobody foresaw is one sentence and exit code 1.
    """
    without_plugins()
    streams.prepare()
    former = signal.getsignal(signal.SIGINT)
    apart = signal.SIG_DFL if former is signal.default_int_handler else former  # ignored, as under nohup
    signal.signal(signal.SIGINT, apart)
    try:
        from worker.cli import app  # noqa: PLC0415  the line above is for this one

        signal.signal(signal.SIGINT, former)
        app.run()
    except Exception as error:  # the last chance to say it, without a text or a number
        if wants_traceback():
            traceback.print_exc()
        else:
            sys.stderr.write(f"Error: {_sentence(error)}\n")
        streams.end(1)
    finally:
        signal.signal(signal.SIGINT, apart)
        gc.freeze()  # else the interpreter's end looks through every object once more


def _sentence(error: Exception) -> str:
    """What happened, where, and how to see more. Without the error's own message: it may hold a text or a
    number.
    """
    return (
        f"this was not foreseen: {origin_of(error)}; please report it, with what "
        f"{TRACEBACK}=1 before the same command shows (that may hold texts and numbers)"
    )
