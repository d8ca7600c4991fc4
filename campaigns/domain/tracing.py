"""What traces are told of us: each kind of span and each attribute said once. Pure: `worker.tracing` records.

A span holds names of accounts and providers, states, counts and words of our own: never a URL, a number, a
text, an id or a provider's own word. Auto-instrumentation of HTTP clients would record URLs, and some
providers' URLs hold the password, the number and the text.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Final


class Work(StrEnum):
    """A piece of work that has a span."""

    HAND_OVER = "hand_over"  # one paid request
    QUESTION = "question"  # one free request
    SEND_BATCH = "send_batch"
    POLL_BATCH = "poll_batch"


REQUESTS: Final = frozenset({Work.HAND_OVER, Work.QUESTION})
"""The work that asks something of another system and waits for its answer."""


class Attribute(StrEnum):
    """What a span says of its work."""

    ACCOUNT = "campaigns.account"
    PROVIDER = "campaigns.provider"
    RESULT = "campaigns.result"  # of a request: the class of its status, or how far it came
    STATUS = "http.response.status_code"
    STATE = "campaigns.batch.state"  # that it ended in; none where the lease was lost
    MESSAGES = "campaigns.message.count"  # that were handed over, or answered for


Noted = Mapping[Attribute, str | int | None]
"""Attributes and what they are; None: nothing is said."""


class Span:
    """A piece of work under way. This one forgets."""

    def note(self, attributes: Noted) -> None:
        """Say something of it."""

    def fail(self, why: str) -> None:
        """Say that it failed. Takes a word of our own: nothing of a provider's."""


_FORGOTTEN = nullcontext(Span())


class Tracer:
    """Records spans. This one forgets: what a process has that is told of no place to send spans to.

    Nothing is recorded for a single message: a request and a batch have a span each.
    """

    is_on = False

    def span(self, work: Work, attributes: Noted, *, link: str | None = None) -> AbstractContextManager[Span]:
        """The span of a piece of work, for as long as the block lasts; what begins in the block is within it.

        Takes `link`, the trace parent of what the work is for: the span links to it and is not within it, for
        a campaign is sent over hours, a batch at a time.
        """
        return _FORGOTTEN

    async def close(self) -> None:
        """Send the last spans; none is recorded after it."""


UNTRACED = Tracer()
"""For a process that is told of no place to send spans to."""

TRACE_HEADER: Final = "traceparent"
"""Where a request or a task says which span it belongs to."""

_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", re.ASCII
)
_KEPT = 55  # characters of what version 00 says; what a later version adds is not ours to read


def trace_parent(given: object) -> str | None:
    """What to keep of a `traceparent` header (W3C Trace Context, 2): which span asked for a campaign.

    Gives None for anything else: a trace that cannot be read is no reason to refuse a campaign.
    """
    if not isinstance(given, str) or _PARENT.fullmatch(given) is None:
        return None
    if given.startswith("00") and len(given) > _KEPT:
        return None
    return f"00{given[2:_KEPT]}"
