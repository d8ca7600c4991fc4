"""The simulator's command line, defined once: `campaigns simulator` and `python -m simulator` are it.

Every field of `Options` is an option here and has its default there.
"""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Final, get_args

from simulator.options import CallbackMethod, ErrorForm, Options, ProviderName
from simulator.server import run

_PORT: Final = 8025
_HIGHEST_PORT: Final = 65_535


def main(arguments: Sequence[str], *, prog: str) -> None:
    """Serve one simulated account until SIGINT or SIGTERM; print where it listens.

    Takes the arguments without the program's name, and `prog`, what the user typed before them. Raises
    SystemExit with a sentence on standard error: 2 for wrong usage, 1 when it cannot listen there.
    """
    parser = _parser(prog)
    given = vars(parser.parse_args(arguments))
    host, port = given.pop("host"), given.pop("port")
    if not 0 <= port <= _HIGHEST_PORT:
        parser.error(f"argument --port: it must be between 0 and {_HIGHEST_PORT}")
    try:
        options = Options(**given)
    except ValueError as error:
        parser.error(str(error))
    try:
        run(host, port, options)
    except OSError as error:
        parser.exit(1, f"Error: the simulator cannot listen on {host}:{port}: {error.strerror or error}\n")


class _Add(argparse.Action):
    """Adds each value to those of the default."""

    def __call__(
        self, _parser: object, given: argparse.Namespace, value: object, _option: object = None
    ) -> None:
        setattr(given, self.dest, (*(getattr(given, self.dest) or ()), value))


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text} is no amount") from None
    if not amount.is_finite():
        raise argparse.ArgumentTypeError(f"{text} is no amount")
    return amount


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve a provider's wire over HTTP, with faults on request: no SMS leaves it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="where it listens")
    add("--port", type=int, default=_PORT, help="0: any free one; it is printed")
    add("--provider", choices=get_args(ProviderName), help="whose wire is spoken")
    add("--login", help="LightSMS; Namirial: the user name of the sending host")
    add("--api-key", help="of the simulated account, no secret")
    add("--api-secret", help="Loyalty.lt")
    add("--password", help="Namirial: of the sending host")
    add("--signing-key", help="seven.io: signs callbacks, checks requests; empty: neither")
    add("--callback-url", help="seven.io: where the account's callbacks go; empty: nowhere")
    add("--callback-method", choices=get_args(CallbackMethod), help="seven.io: how callbacks are made")
    add("--reload-lock-seconds", type=float, help="seven.io: no text twice to one number within; 0: no lock")
    add("--messages-per-minute", type=int, help="Loyalty.lt: beyond it a send is refused")
    add("--callback-retry-seconds", type=float, action=_Add, help="before a callback comes again; repeatable")
    add(
        "--sender",
        dest="senders",
        metavar="NAME",
        action=_Add,
        help="a sender name that is approved too; repeatable",
    )
    add("--currency", help="of the account")
    add("--balance", type=_amount, help="at the start")
    add("--price", type=_amount, help="of one segment")
    add("--delivery-seconds", type=float, help="from acceptance to the final status; 0: final at once")
    add("--latency-seconds", type=float, help="how late send and status are answered")
    add("--max-recipients", type=int, help="numbers in one request")
    add(
        "--forbidden-word", dest="forbidden_words", metavar="WORD", action=_Add, help="in no text; repeatable"
    )
    add("--timezone", help="of the account, as Europe/Vilnius")
    add("--error-form", choices=get_args(ErrorForm), help="how refusals of a whole request are written")
    add("--seed", type=int, help="of faults with a probability: a run can be replayed")
    default = Options()
    parser.set_defaults(**{each.name: getattr(default, each.name) for each in fields(Options)})
    return parser
