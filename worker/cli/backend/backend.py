"""The contract that the database and the API keep for commands: the same answers, the same sentences."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:  # names of types alone: no command waits for what only another one asks
    from datetime import datetime
    from uuid import UUID

    from campaigns.domain.blocks import Block
    from campaigns.domain.schedule import Schedule
    from campaigns.domain.states import CampaignState
    from campaigns.reading import By
    from campaigns.store.reading.messages import MessageRow
    from campaigns.store.reading.overviews import Overview
    from campaigns.store.rescue.resolution import Decision
    from campaigns.store.submission import TakenIn
    from campaigns.submission import OnDoubt
    from worker import shapes
    from worker.cli.backend.accounts import Accounts
    from worker.cli.backend.aside import Aside
    from worker.cli.backend.keys import Keys
    from worker.cli.backend.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Told:
    """What a person wants sent, checked as far as that needs neither account nor rows."""

    account: str
    text: str = field(repr=False)
    name: str
    sender_id: str | None
    submission_key: str | None
    again: bool
    phone_column: str
    region: str | None
    on_doubt: OnDoubt
    schedule: Schedule
    allow_kinds: Sequence[str]
    mobile_only: bool
    literal: bool


@dataclass(frozen=True, slots=True)
class ToldFollowUp:
    """Whom a person wants to send to again, and what; None: as the campaign has it that is followed up."""

    campaign_id: UUID
    states: Sequence[str]
    in_doubt: str | None
    text: str | None = field(repr=False)
    name: str | None
    sender_id: str | None
    submission_key: str | None
    again: bool
    on_doubt: OnDoubt | None
    schedule: Schedule
    literal: bool


Lines = AsyncGenerator[dict[str, Any], None]
Heard = Callable[[int], None]
"""Hears how many rows were read so far."""


class Backend(Protocol):
    """What a command may want. Each raises CampaignError: one sentence."""

    @property
    def accounts(self) -> Accounts:
        """What may be asked of accounts."""

    @property
    def aside(self) -> Aside:
        """What was set aside."""

    @property
    def keys(self) -> Keys:
        """The keys of the API."""

    @property
    def webhooks(self) -> Webhooks:
        """Who is told what happens."""

    async def status(self, campaign_id: UUID) -> Overview:
        """One campaign with its totals."""

    async def newest(self, limit: int, *, is_open: bool = False) -> Sequence[Overview]:
        """The newest campaigns, or the newest of those in which something may still happen."""

    async def working(self) -> shapes.Working:
        """Whether anybody works on what is due."""

    async def submit(self, told: Told, rows: Iterable[Block], hear: Heard) -> TakenIn:
        """Take a campaign in, whole or not at all. Rows are read once, in a thread."""

    async def check(
        self,
        told: Told,
        rows: Iterable[Block],
        hear: Heard,
        mend: Callable[[bytes], None] | None,
    ) -> shapes.Check:
        """What a submission would become. `mend` gets the refused rows as CSV, part by part."""

    async def follow_up(self, told: ToldFollowUp) -> TakenIn:
        """Make a campaign of those whom another did not reach."""

    async def refusals(self, campaign_id: UUID, limit: int) -> Sequence[tuple[int, str, str | None]]:
        """The first rows that were not taken in: row, reason, column."""

    async def export(
        self, campaign_id: UUID, file_format: Literal["csv", "jsonl"], *, refused: bool
    ) -> tuple[Sequence[str], Lines]:
        """The columns, and a line for each message (or refused row), streamed: of CSV all values may be text.
        A caller that does not read to the end closes the lines.
        """

    async def change_state(self, campaign_id: UUID, target: CampaignState, action: str) -> bool:
        """Pause, resume or cancel. False: it was so already."""

    async def resume(self, campaign_id: UUID, operator: str | None, sender_id: str | None) -> bool:
        """Let a campaign go on that is paused or on hold. False: it was running already."""

    async def reschedule(self, campaign_id: UUID, schedule: Schedule) -> int:
        """Have what is not handed over yet wait until `send_at`. Gives how many messages wait."""

    async def resolve(
        self,
        campaign_id: UUID,
        decision: Decision,
        phone: str | None,
        region: str | None,
        operator: str | None,
    ) -> int:
        """Decide on messages in doubt. Gives how many."""

    async def messages(self, by: By, value: str, account: str | None, limit: int) -> Sequence[MessageRow]:
        """Single messages, newest first. Takes a value as `reading.sought` gives it."""

    async def suppress(self, phones: Sequence[str], region: str | None, reason: str) -> int:
        """Put numbers on the suppression list. Gives how many were new."""

    async def unsuppress(self, phones: Sequence[str], region: str | None) -> int:
        """Take numbers off it. Gives how many were on it."""

    async def suppressed(self) -> Sequence[tuple[str, str, datetime]]:
        """The whole list, oldest first: number, reason, since when."""

    async def erase(self, phones: Sequence[str]) -> shapes.Erased:
        """Erase what is known of numbers (E.164)."""
