"""Commands by the database of the settings, as an operator: each change is in the audit before it is done."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

from campaigns import reading, watching
from campaigns.lazy_imports import lazy_imports
from campaigns.store.reading.overviews import Wanted
from worker import shapes

with lazy_imports(__name__):  # each command asks one or two of them, and waits for none of the others
    from campaigns import (
        aggregation,
        batching,
        checking,
        erasing,
        follow_up,
        holding,
        rescue,
        submission,
        suppression,
    )
    from campaigns.domain import following
    from worker import mending
    from worker.cli import operator as operators
    from worker.cli.backend import accounts, aside, keys, webhooks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from campaigns.cleaning import Portion
    from campaigns.domain.blocks import Block
    from campaigns.domain.schedule import Schedule
    from campaigns.domain.states import CampaignState
    from campaigns.reading import By
    from campaigns.store.reading.messages import MessageRow
    from campaigns.store.reading.overviews import Overview
    from campaigns.store.rescue.resolution import Decision
    from campaigns.store.session import Database
    from campaigns.store.submission import TakenIn
    from campaigns.submission import Submission
    from worker.bootstrap import Parts
    from worker.cli.backend.accounts import Accounts
    from worker.cli.backend.aside import Aside
    from worker.cli.backend.backend import Heard, Lines, Told, ToldFollowUp
    from worker.cli.backend.keys import Keys
    from worker.cli.backend.webhooks import Webhooks
    from worker.settings.model import Settings


def submission_of(settings: Settings, told: Told) -> Submission:
    """The submission that is meant, with what its account decides. Raises NotFound, SubmissionError."""
    return submission.completed(
        submission.Submission(
            account=settings.terms(told.account),
            text=told.text,
            sender_id=told.sender_id,
            name=told.name,
            submission_key=told.submission_key,
            phone_column=told.phone_column,
            region=told.region,
            on_doubt=told.on_doubt,
            schedule=told.schedule,
            once_within_seconds=None if told.again else submission.ONCE_WITHIN_SECONDS,
            allow_kinds=told.allow_kinds,
            mobile_only=told.mobile_only,
            literal=told.literal,
        )
    )


class Here:
    """Keeps `Backend`. `parts`: where a provider or Redis is asked, too."""

    def __init__(self, settings: Settings, database: Database, parts: Parts | None = None) -> None:
        self._settings = settings
        self._database = database
        self._parts = parts

    @property
    def accounts(self) -> Accounts:
        """See `Backend`."""
        return accounts.AccountsHere(self._settings, self._database, self._parts)

    @property
    def aside(self) -> Aside:
        """See `Backend`."""
        return aside.AsideHere(self._parts)

    @property
    def keys(self) -> Keys:
        """See `Backend`."""
        return keys.KeysHere(self._settings, self._database)

    @property
    def webhooks(self) -> Webhooks:
        """See `Backend`."""
        return webhooks.WebhooksHere(self._settings, self._database)

    async def status(self, campaign_id: UUID) -> Overview:
        """See `Backend`."""
        return await reading.status(self._database, campaign_id)

    async def newest(self, limit: int, *, is_open: bool = False) -> Sequence[Overview]:
        """See `Backend`."""
        return await reading.newest(self._database, Wanted(is_open=is_open or None), limit=limit)

    async def working(self) -> shapes.Working:
        """See `Backend`."""
        found = await watching.working(self._database, tick_seconds=self._settings.tick_seconds)
        return shapes.Working.of(found)

    async def submit(self, told: Told, rows: Iterable[Block], hear: Heard) -> TakenIn:
        """See `Backend`."""
        wanted = submission_of(self._settings, told)
        await operators.record(
            self._database,
            "campaign.submit",
            f"campaign/{wanted.campaign_id}",
            account=wanted.account.name,
        )
        return await submission.submit(self._database, self._settings.policy(), wanted, rows, progress=hear)

    async def check(
        self,
        told: Told,
        rows: Iterable[Block],
        hear: Heard,
        mend: Callable[[bytes], None] | None,
    ) -> shapes.Check:
        """See `Backend`."""
        wanted = submission_of(self._settings, told)
        name = wanted.account.name
        provider = None if self._parts is None else self._parts.desk.accounts[name].provider
        through = checking.Through(self._settings.account(name).requests_per_second, provider)
        with mending.mending() if mend is not None else nullcontext() as kept:

            def hear_portion(portion: Portion) -> None:
                hear(portion.row_count)
                if kept is not None:
                    kept.add(portion)

            found = await checking.check(
                self._database, wanted, rows, through, hear=hear_portion, keeps_refused=mend is not None
            )
            if kept is not None and mend is not None:
                for part in kept.parts():
                    mend(part)
        return shapes.Check.of(found)

    async def follow_up(self, told: ToldFollowUp) -> TakenIn:
        """See `Backend`."""
        wanted = follow_up.FollowUp(
            following.chosen(told.campaign_id, told.states, told.in_doubt),
            text=told.text,
            sender_id=told.sender_id,
            name=told.name,
            submission_key=told.submission_key,
            on_doubt=told.on_doubt,
            schedule=told.schedule,
            literal=told.literal,
            once_within_seconds=None if told.again else submission.ONCE_WITHIN_SECONDS,
        )
        await operators.record(
            self._database,
            "campaign.follow_up",
            f"campaign/{told.campaign_id}",
            states=list(told.states),
            in_doubt=told.in_doubt is not None,
            follow_up=str(wanted.campaign_id),
        )
        return await follow_up.follow_up(
            self._database, self._settings.policy(), wanted, self._settings.terms
        )

    async def refusals(self, campaign_id: UUID, limit: int) -> Sequence[tuple[int, str, str | None]]:
        """See `Backend`."""
        return await reading.refusals_in_full(self._database, campaign_id, limit=limit)

    async def export(
        self, campaign_id: UUID, file_format: Literal["csv", "jsonl"], *, refused: bool
    ) -> tuple[Sequence[str], Lines]:
        """See `Backend`."""
        await reading.status(self._database, campaign_id)  # raises NotFound before anything is printed
        await operators.record(
            self._database, "campaign.export", f"campaign/{campaign_id}", refused=refused or None
        )
        if refused:
            return await reading.export_refused(self._database, campaign_id)
        return await reading.export(self._database, campaign_id)

    async def change_state(self, campaign_id: UUID, target: CampaignState, action: str) -> bool:
        """See `Backend`."""
        await operators.record(self._database, f"campaign.{action}", f"campaign/{campaign_id}")
        return await aggregation.change_state(self._database, campaign_id, target)

    async def resume(self, campaign_id: UUID, operator: str | None, sender_id: str | None) -> bool:
        """See `Backend`."""
        if sender_id is not None:
            known = await reading.status(self._database, campaign_id)
            # Raises where its provider rules it out.
            submission.sender_of(self._settings.terms(known.account), sender_id)
        subject = f"campaign/{campaign_id}"
        await operators.record(self._database, "campaign.resume", subject, by=operator, sender_id=sender_id)
        resumed = await holding.resume_campaign(
            self._database, campaign_id, operator=operator or operators.login(), sender_id=sender_id
        )
        return resumed.was_paused or resumed.was_held

    async def reschedule(self, campaign_id: UUID, schedule: Schedule) -> int:
        """See `Backend`."""
        await operators.record(
            self._database, "campaign.reschedule", f"campaign/{campaign_id}", send_at=str(schedule.send_at)
        )
        return await batching.reschedule(self._database, self._settings.policy(), campaign_id, schedule)

    async def resolve(
        self,
        campaign_id: UUID,
        decision: Decision,
        phone: str | None,
        region: str | None,
        operator: str | None,
    ) -> int:
        """See `Backend`."""
        await operators.record(
            self._database,
            "campaign.resolve",
            f"campaign/{campaign_id}",
            by=operator,
            decision=decision,
            one_number=phone is not None,
        )
        return await rescue.resolve(
            self._database,
            self._settings.policy(),
            campaign_id,
            decision,
            raw_phone=phone,
            region=region,
            operator=operator or operators.login(),
        )

    async def messages(self, by: By, value: str, account: str | None, limit: int) -> Sequence[MessageRow]:
        """See `Backend`."""
        return await reading.messages(self._database, by=by, value=value, account=account, limit=limit)

    async def suppress(self, phones: Sequence[str], region: str | None, reason: str) -> int:
        """See `Backend`."""
        await operators.record(self._database, "suppression.add", "suppression", phone_count=len(phones))
        return await suppression.suppress(self._database, phones, region, reason)

    async def unsuppress(self, phones: Sequence[str], region: str | None) -> int:
        """See `Backend`."""
        await operators.record(self._database, "suppression.remove", "suppression", phone_count=len(phones))
        return await suppression.unsuppress(self._database, phones, region)

    async def suppressed(self) -> Sequence[tuple[str, str, datetime]]:
        """See `Backend`."""
        return await suppression.suppressed(self._database)

    async def erase(self, phones: Sequence[str]) -> shapes.Erased:
        """See `Backend`."""
        await operators.record(self._database, "number.erase", "messages", phone_count=len(phones))
        return shapes.Erased.like(await erasing.erase(self._database, phones))
