"""What the doctor finds: one line each. A check that fails is a finding too, never a traceback."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from redis.exceptions import RedisError

from campaigns.domain.errors import CampaignError, origin_of


class Status(StrEnum):
    """How it is. Only FAIL makes the doctor's exit code 1."""

    OK = "ok"
    NOTE = "note"
    FAIL = "FAIL"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and one sentence."""

    name: str
    status: Status
    sentence: str


def ok(name: str, sentence: str) -> Finding:
    """All is well."""
    return Finding(name, Status.OK, sentence)


def note(name: str, sentence: str) -> Finding:
    """Worth reading, but nothing is broken."""
    return Finding(name, Status.NOTE, sentence)


def fail(name: str, sentence: str) -> Finding:
    """Something is wrong."""
    return Finding(name, Status.FAIL, sentence)


def skipped(names: Iterable[str], sentence: str) -> list[Finding]:
    """What was not looked at, and why."""
    return [Finding(name, Status.SKIPPED, sentence) for name in names]


async def look(name: str, work: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """What `work` finds; if it cannot be looked at, a failure with the reason."""
    try:
        return await work()
    except CampaignError as error:
        return [fail(name, str(error))]
    except (RedisError, OSError) as error:
        return [fail(name, str(error) or type(error).__name__)]
    except Exception as error:  # one check that breaks must not cost the findings after it
        return [fail(name, f"it cannot be looked at: {origin_of(error)}")]
