"""What tests of handing over work with: a provider of one text a request, one batch at a time."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from campaigns import batching, sending
from campaigns.domain.backoff import Backoff
from campaigns.domain.policy import Desk
from campaigns.domain.provider import OutboundMessage
from campaigns.store.leases import Dealt
from campaigns.store.session import Database
from tests.conftest import POLICY
from tests.river import phones, submit
from tests.stub import Stub

SLOW = replace(
    POLICY,
    give_up_seconds=50_000,
    poll=Backoff(first_seconds=1_000, factor=2, max_seconds=100_000, jitter=0),
    retry=Backoff(first_seconds=500, factor=2, max_seconds=100_000, jitter=0),
)
"""Waits so far apart that a moment in the database tells which of them it was."""


def about(seconds: float) -> Any:
    """A moment that was so many seconds away when it was written, a while ago."""
    return pytest.approx(seconds - 10, abs=10.5)


class OneText(Stub):
    """A provider that takes one text a request, as most do."""

    def requests(self, messages: Sequence[OutboundMessage], sender_id: str) -> list[list[OutboundMessage]]:
        """Cut by text, in order of first appearance."""
        texts = dict.fromkeys(message.text for message in messages)
        return [[message for message in messages if message.text == text] for text in texts]


async def submit_texts(database: Database, *words: str, first: int = 0, **more: Any) -> list[str]:
    """A campaign of one message for each word, equal words in one request. Gives the phones."""
    rows = [row | {"word": word} for row, word in zip(phones(len(words), first=first), words, strict=True)]
    await submit(database, rows, text="{word}", **more)
    return [row["phone"] for row in rows]


async def deal_one(database: Database, desk: Desk) -> Dealt:
    """Deal the only batch that is to be sent."""
    (dealt,) = await batching.deal_sending(database, desk)
    return dealt


async def send_one(database: Database, desk: Desk) -> sending.Verdict:
    """Deal the only batch that is to be sent, and send it."""
    return await sending.send_batch(database, desk, await deal_one(database, desk))


def sent(stub: Stub) -> list[str]:
    """The texts that were handed over, in order."""
    return [line.message.text for line in stub.ledger]


class Full:
    """The slot of a batch that never gets to the provider."""

    is_wanted = False

    async def advance(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


def hurried(desk: Desk) -> Desk:
    """The same with a short lease, of which a batch may wait for a place a quarter."""
    return replace(desk, policy=replace(desk.policy, lease_seconds=2.0))
