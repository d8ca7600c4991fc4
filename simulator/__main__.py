"""`python -m simulator`: one simulated account on a port of this machine."""

import argparse
import sys
from decimal import Decimal, InvalidOperation
from typing import get_args

from simulator.options import CallbackMethod, ErrorForm, Options, ProviderName
from simulator.server import run


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text} is no amount") from None
    if not amount.is_finite():
        raise argparse.ArgumentTypeError(f"{text} is no amount")
    return amount


def _arguments() -> argparse.ArgumentParser:
    default = Options()
    parser = argparse.ArgumentParser(
        prog="python -m simulator", description="One provider over real HTTP, with faults on request."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8089, help="0: any free one; it is printed")
    add("--provider", choices=get_args(ProviderName), default=default.provider)
    add("--login", default=default.login)
    add("--api-key", default=default.api_key, help="of the simulated account, no secret")
    add("--api-secret", default=default.api_secret, help="Loyalty.lt")
    add("--password", default=default.password, help="Namirial")
    add("--signing-key", default=default.signing_key, help="seven.io; none: callbacks are not signed")
    add("--callback-url", default=default.callback_url, help="seven.io: where the account's callbacks go")
    add("--callback-method", choices=get_args(CallbackMethod), default=default.callback_method)
    add("--reload-lock-seconds", type=float, default=default.reload_lock_seconds, help="seven.io; 0: none")
    add(
        "--messages-per-minute",
        type=int,
        default=default.messages_per_minute,
        help="Loyalty.lt; none: no limit",
    )
    add("--callback-retry-seconds", type=float, action="append", help="a pause; may be repeated")
    add("--sender", action="append", default=[], help="a sender name that is approved too; may be repeated")
    add("--currency", default=default.currency)
    add("--balance", type=_amount, default=default.balance)
    add("--price", type=_amount, default=default.price, help="of one segment")
    add("--delivery-seconds", type=float, default=default.delivery_seconds)
    add("--latency-seconds", type=float, default=default.latency_seconds, help="added to send and status")
    add("--max-recipients", type=int, default=default.max_recipients)
    add("--forbidden-word", action="append", default=[], help="besides casino; may be repeated")
    add("--timezone", default=default.timezone, help="of the account")
    add("--error-form", choices=get_args(ErrorForm), default=default.error_form)
    add("--seed", type=int, default=default.seed, help="of faults with a probability")
    return parser


def main() -> None:
    """Read the arguments and serve until SIGINT or SIGTERM."""
    parser = _arguments()
    given = parser.parse_args()
    try:
        options = Options(
            provider=given.provider,
            login=given.login,
            api_key=given.api_key,
            api_secret=given.api_secret,
            password=given.password,
            signing_key=given.signing_key,
            callback_url=given.callback_url,
            callback_method=given.callback_method,
            messages_per_minute=given.messages_per_minute,
            reload_lock_seconds=given.reload_lock_seconds,
            callback_retry_seconds=(
                None if given.callback_retry_seconds is None else tuple(given.callback_retry_seconds)
            ),
            senders=tuple(given.sender),
            currency=given.currency,
            balance=given.balance,
            price=given.price,
            delivery_seconds=given.delivery_seconds,
            latency_seconds=given.latency_seconds,
            max_recipients=given.max_recipients,
            forbidden_words=(*Options().forbidden_words, *given.forbidden_word),
            timezone=given.timezone,
            error_form=given.error_form,
            seed=given.seed,
        )
    except ValueError as error:
        parser.error(str(error))
    try:
        run(given.host, given.port, options)
    except (OSError, OverflowError) as error:
        sys.exit(f"the simulator cannot listen on {given.host}:{given.port}: {error}")


if __name__ == "__main__":
    main()
