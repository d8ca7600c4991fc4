"""What refusals lead to beyond their message: its campaign is held, its number is suppressed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from campaigns.domain.outcomes import (
    ENOUGH_REFUSALS,
    Refusal,
    Told,
    is_of_campaign,
    of_one_request,
    own_refusal,
)
from campaigns.domain.provider import Accepted, CampaignTrouble, Outcome, Rejected
from campaigns.store import suppression as suppressions
from campaigns.store.holding import campaigns as campaign_holds
from campaigns.store.sending.hand_over import SendingWork
from campaigns.store.session import Database


class Refusals:
    """The refusals of one batch under one lease.

    A refused sender or text may be the campaign's fault, or the fault of one number (of a country where the
    sender is not approved) or of one text of many. The refusal is set aside until that is known. If a message
    is taken, it was the refused message's own fault. If refusals come often enough in a row, or the campaign
    had nothing but refusals so far, the campaign is held. Takes `write`, which runs a statement for as long
    as the lease allows.
    """

    def __init__(
        self,
        database: Database,
        work: SendingWork,
        write: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]],
    ) -> None:
        self.held: CampaignTrouble | None = None  # why the campaign is on hold, where it is by this batch
        self._database = database
        self._work = work
        self._write = write
        self._began_at = asyncio.get_running_loop().time()
        self._aside: list[tuple[int, Refusal]] = []
        self._is_held = False  # the campaign, by this batch or another

    async def judge(self, positions: Sequence[int], outcomes: Sequence[Outcome]) -> Told:
        """What is to be written down now, of the outcomes of one request and of what was set aside before."""
        outcomes = of_one_request(outcomes)
        await self._opt_out(positions, outcomes)
        told: list[tuple[int, Outcome]] = []
        if any(isinstance(outcome, Accepted) for outcome in outcomes):
            told += self._as_own(self._put_back())
        for position, outcome in zip(positions, outcomes, strict=True):
            if is_of_campaign(outcome):
                self._aside.append((position, outcome))
            else:
                told.append((position, outcome))
        if len(self._aside) >= ENOUGH_REFUSALS:
            told += await self._decide(is_enough=True)
        return told

    async def rest(self, *, is_all: bool) -> Told:
        """What is still set aside, at the end of the batch. `is_all`: nothing of it waits, so it is decided;
        else it goes back to be handed over again.
        """
        if is_all and self._aside:
            return await self._decide(is_enough=False)
        return self._as_of_campaign(self._put_back())

    def _put_back(self) -> list[tuple[int, Refusal]]:
        aside, self._aside = self._aside, []
        return aside

    @staticmethod
    def _as_own(aside: Sequence[tuple[int, Refusal]]) -> Told:
        return [(position, own_refusal(each)) for position, each in aside]

    @staticmethod
    def _as_of_campaign(aside: Sequence[tuple[int, Refusal]]) -> Told:
        return [(position, CampaignTrouble(each.code, each.reason, "sender")) for position, each in aside]

    async def _decide(self, *, is_enough: bool) -> Told:
        aside = self._put_back()
        trouble = next((each for _, each in aside if isinstance(each, CampaignTrouble)), None)
        if trouble is not None:
            self._is_held = await self._hold(trouble, is_enough=is_enough)
        return self._as_of_campaign(aside) if self._is_held else self._as_own(aside)

    async def _hold(self, trouble: CampaignTrouble, *, is_enough: bool) -> bool:
        is_one_text_of_many = trouble.about == "text" and self._work.has_own_texts
        held = await self._write(
            partial(
                campaign_holds.hold,
                self._database,
                self._work.campaign_id,
                trouble,
                sender_id=self._work.sender_id,
                known_for_seconds=asyncio.get_running_loop().time() - self._began_at,
                if_nothing_taken=is_one_text_of_many or not is_enough,
                if_never_resumed=is_one_text_of_many,
            )
        )
        if held == "now":
            self.held = trouble
        return bool(held != "not")

    async def _opt_out(self, positions: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        # Before the outcome is written down: a process that ends in between must not forget it.
        refused = {
            position: f"{o.reason} (code {o.code}), says the provider of account {self._work.account}"
            for position, o in zip(positions, outcomes, strict=True)
            if isinstance(o, Rejected) and o.opted_out
        }
        if refused:
            listed = [(m.phone, refused[m.position]) for m in self._work.messages if m.position in refused]
            await self._write(partial(suppressions.suppress_each, self._database, listed))
