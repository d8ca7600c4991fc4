"""What is told to webhooks and when it is tried again. Pure.

The form is Standard Webhooks 1.0.0 (github.com/standard-webhooks). What is told, and in which order, is
decided in the database, in the transaction that caused it (`store/functions/tell_*.sql`).
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from campaigns.domain.addresses import split
from campaigns.domain.errors import CampaignError
from campaigns.domain.public_addresses import Networks, may_be_public
from campaigns.domain.values import value

BY_A_PERSON = "disabled by "
"""What the reason begins with of a webhook that a person disabled, and not we."""


class EventType(StrEnum):
    """What can be told. The first part says of what it tells: a campaign, an account, this webhook."""

    CAMPAIGN_ACCEPTED = "campaign.accepted"
    CAMPAIGN_STARTED = "campaign.started"
    CAMPAIGN_PROGRESS = "campaign.progress"
    CAMPAIGN_PAUSED = "campaign.paused"
    CAMPAIGN_HELD = "campaign.held"
    CAMPAIGN_RESUMED = "campaign.resumed"
    CAMPAIGN_FINISHED = "campaign.finished"
    CAMPAIGN_CANCELLED = "campaign.cancelled"
    CAMPAIGN_FAILED = "campaign.failed"
    MESSAGE_SETTLED = "message.settled"
    ACCOUNT_HELD = "account.held"
    ACCOUNT_RESUMED = "account.resumed"
    TEST = "webhook.test"


CHOOSABLE: tuple[EventType, ...] = tuple(each for each in EventType if each is not EventType.TEST)
"""What a webhook can ask for. A test comes to every webhook that asks for one."""

_MANY = frozenset({EventType.MESSAGE_SETTLED, EventType.CAMPAIGN_PROGRESS})  # told to those alone that ask

# Seconds after the first failed attempt, the second …: 11 attempts in 75.6 hours.
_WAITS = (5, 60, 300, 1800, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24)))
_JITTER = 0.2  # the share by which waits differ
_LONGEST_RETRY_AFTER_SECONDS = 24 * 3600.0  # a Retry-After beyond this is taken as this

MOST_ATTEMPTS = len(_WAITS) + 1
"""How often one event is tried at one webhook that takes others."""

GIVE_UP_SECONDS = 3 * 24 * 3600.0
"""A webhook that took nothing for so long is disabled."""

_GONE = 410  # the status by which a receiver wants nothing more
_LOWEST_FREE_PORT = 1024  # below, besides 80 and 443, are services that are no webhooks


@value
class Attempt:
    """What became of one request to a webhook.

    `status` is None where no whole answer came; `trouble` then says why. `retry_after_seconds` is what the
    receiver asked for. `answer` is the beginning of what it said.
    """

    status: int | None
    took_ms: int
    answer: str | None = None
    trouble: str | None = None
    retry_after_seconds: float | None = None

    @property
    def verdict(self) -> Literal["delivered", "failed", "gone"]:
        """Delivered by any 2xx; `gone` (410) disables the webhook. A redirect fails: none is followed."""
        if self.status is None:
            return "failed"
        if self.status == _GONE:
            return "gone"
        return "delivered" if 200 <= self.status < 300 else "failed"

    @property
    def why(self) -> str | None:
        """Why it was not delivered; None where it was."""
        if self.verdict == "delivered":
            return None
        return self.trouble or f"it answered {self.status}"


def wait_seconds(failure_count: int, random: float, retry_after_seconds: float | None = None) -> float | None:
    """How long to wait after so many failures (from 1) until the next attempt; None: that was the last.

    Takes `random` in [0, 1): waits differ by a fifth, so that what failed together does not come together.
    A receiver that asks for more time gets it, up to a day.
    """
    if failure_count > len(_WAITS):
        return None
    planned = _WAITS[failure_count - 1] * (1 + _JITTER * (2 * random - 1))
    return max(planned, min(retry_after_seconds or 0.0, _LONGEST_RETRY_AFTER_SECONDS))


def endpoint_wait_seconds(
    failure_count: int, random: float, retry_after_seconds: float | None = None
) -> float:
    """How long a webhook is left alone after so many failures in a row: `wait_seconds` without an end."""
    wait = wait_seconds(min(failure_count, len(_WAITS)), random, retry_after_seconds)
    assert wait is not None  # noqa: S101  within the schedule
    return wait


class EndpointRefused(CampaignError, ValueError):
    """A webhook cannot be made so; the sentence says why and shows nothing of its address."""


def check_url(url: str, *, allows_plain_http: bool, allowed: Networks, own_url: str | None) -> None:
    """Refuse an address that no webhook may have. Raises EndpointRefused.

    Whether a name leads into our own network is looked at in each attempt, at the address that is really
    connected to; here only an address that is written as a number can be judged.
    """
    try:
        parts = split(url)
    except ValueError as error:
        raise EndpointRefused(f"the address {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise EndpointRefused("the address must begin with https:// and a host")
    if "@" in parts.netloc:
        raise EndpointRefused(
            "the address must have no user and no password; the signature says that it is us"
        )
    if parts.scheme == "http" and not allows_plain_http:
        raise EndpointRefused(
            "the address must begin with https://; in a network that is yours alone set "
            "CAMPAIGNS_ALLOW_PLAIN_HTTP=yes"
        )
    port = parts.port
    if port is not None and port not in {80, 443} and port < _LOWEST_FREE_PORT:
        raise EndpointRefused(
            "the port must be 443, 80 or from 1024 up: below are services that are no webhooks"
        )
    if own_url is not None and _host(own_url) == _host(url):
        raise EndpointRefused("the address is our own (CAMPAIGNS_PUBLIC_URL): a webhook tells somebody else")
    if not may_be_public(parts.hostname, allowed):
        raise EndpointRefused(
            "the address is not a public one; name its network in CAMPAIGNS_WEBHOOK_ALLOW if it is meant"
        )


def _host(url: str) -> str:
    return (split(url).hostname or "").rstrip(".")


def chosen_events(names: Sequence[str]) -> list[EventType]:
    """The events of these names, each once in our order; of no name all but those that are many, of
    single messages and of progress. Raises EndpointRefused.
    """
    unknown = sorted({*names} - {each.value for each in CHOOSABLE})
    if unknown:
        raise EndpointRefused(f"there is no such event; there are: {', '.join(CHOOSABLE)}")
    wanted = names or [each for each in CHOOSABLE if each not in _MANY]
    return [each for each in CHOOSABLE if each.value in wanted]
