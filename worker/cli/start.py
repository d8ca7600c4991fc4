"""`campaigns`, as it is started: light, so that nothing is loaded before Ctrl-C is provided for."""

import signal
import sys
import traceback
from typing import NoReturn

from campaigns.domain.errors import origin_of
from worker.cli import streams
from worker.settings.environment import TRACEBACK, wants_traceback


def main() -> NoReturn:
    """The console script. Loads the commands and runs the one that was typed.

    Nothing is begun while they load, and all is in order when the command is over: a Ctrl-C then ends the
    process the system's way, without a traceback. What nobody foresaw is one sentence and exit code 1.
    """
    streams.prepare()
    former = signal.getsignal(signal.SIGINT)
    apart = signal.SIG_DFL if former is signal.default_int_handler else former  # ignored, as under nohup
    signal.signal(signal.SIGINT, apart)
    try:
        from worker.cli import app  # noqa: PLC0415  the line above is for this one

        signal.signal(signal.SIGINT, former)
        app.run()
    except Exception as error:  # the last one who can say it, without a text or a number
        if wants_traceback():
            traceback.print_exc()
        else:
            sys.stderr.write(f"Error: {_sentence(error)}\n")
        streams.end(1)
    finally:
        signal.signal(signal.SIGINT, apart)


def _sentence(error: Exception) -> str:
    """What happened, where, and how to see more. Nothing of what the error says: it may hold a text or a
    number.
    """
    return (
        f"this was not foreseen: {origin_of(error)}; please report it, with what "
        f"{TRACEBACK}=1 before the same command shows (that may hold texts and numbers)"
    )
