"""`campaigns`, as it is started: light, so that nothing is loaded before Ctrl-C is provided for."""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """The console script. Loads the commands and runs the one that was typed.

    Nothing is begun while they load, and all is in order when the command is over: a Ctrl-C then ends the
    process the system's way, without a traceback.
    """
    former = signal.getsignal(signal.SIGINT)
    apart = signal.SIG_DFL if former is signal.default_int_handler else former  # ignored, as under nohup
    signal.signal(signal.SIGINT, apart)
    from worker import commands  # noqa: PLC0415  the line above is for this one

    signal.signal(signal.SIGINT, former)
    try:
        commands.run()
    finally:
        signal.signal(signal.SIGINT, apart)


if __name__ == "__main__":
    main()
