"""Why no further request of a batch leaves now, and when the batch goes on. Pure."""

from collections.abc import Sequence
from dataclasses import field

from campaigns.domain.outcomes import pause_after, trouble_of
from campaigns.domain.provider import Outcome
from campaigns.domain.values import value

NO_SUCH_ACCOUNT_SECONDS = 60.0
"""Before a batch is dealt again whose account is not in the settings of the worker that took it."""

_MOST_COUNTED = 1000  # failed tries of a batch that are counted; beyond it the backoff is at its longest


def no_such_account(account: str) -> str:
    """Why a worker gives a batch back whose account it does not know; another may."""
    return f"this worker's settings know no account {account!r}"


@value
class Stop:
    """Why no further request of the batch leaves now, other than by what the provider said."""

    send_in_seconds: float | None  # None: as soon as it is dealt
    trouble: str | None = None
    spends_retry: bool = False
    # Positions whose intent may be written and that certainly did not leave.
    unsent: Sequence[int] = field(default=(), compare=False)


@value
class GoOn:
    """When a batch is handed over again, after how many failed tries, and what hinders it.

    None leaves a value as it was; `trouble` None: nothing hinders it.
    """

    send_in_seconds: float | None
    retry_count: int | None
    trouble: str | None


def go_on(
    stop: Stop | None,
    troubled: Sequence[Outcome],
    *,
    retry_count: int,
    handed_over: bool,
    is_account_held: bool,
    backoff_seconds: float,
) -> GoOn:
    """When a batch goes on that stopped, or that came to its end (`stop` None).

    Takes the outcomes that hinder it (`TROUBLED`), how often it failed before, whether anything
    was handed over this time, and the pause that its backoff asks for.
    """
    ended = stop or Stop(0.0)
    trouble = trouble_of(troubled) or ("account on hold" if is_account_held else ended.trouble)
    send_in = ended.send_in_seconds
    if troubled:
        send_in = max(send_in or 0.0, pause_after(troubled, backoff_seconds))
    if ended.spends_retry or (troubled and not handed_over):
        return GoOn(send_in, min(retry_count + 1, _MOST_COUNTED), trouble)
    return GoOn(send_in, 0 if stop is None else None, trouble)
