"""What machines are told of the database: how much waits, how old it is, who works, what is held. One process
of the web tells it for all.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from campaigns import aggregation, reading, watching
from campaigns.domain import metrics as m
from campaigns.domain.errors import DatabaseUnavailable, SchemaMismatch, WitnessUnavailable
from campaigns.domain.metrics import Sample
from campaigns.domain.states import CampaignState, MessageState
from campaigns.domain.webhooks import BY_A_PERSON
from campaigns.domain.witness import Witness
from campaigns.store import measuring as rows
from campaigns.store.measuring import Now
from campaigns.store.session import Database

_RECOUNT_SECONDS = 3600.0  # between two recounts of the newest campaigns' messages
_RECOUNTED = 5  # of the newest campaigns
_OPEN = (CampaignState.ACCEPTED, CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.CANCELLED)


class Measuring:
    """Measures for one process. Takes the database, the second witness (None: there is none), and the
    accounts of the settings, so that each is told of also before anything goes through it.
    """

    def __init__(self, database: Database, witness: Witness | None, accounts: Sequence[str]) -> None:
        self._database = database
        self._witness = witness
        self._accounts = accounts
        self._recounted_at = float("-inf")
        self._wrong_count = 0

    async def samples(self) -> list[Sample]:
        """What is so now. Where the database or Redis is away, that is what is told."""
        found = await self._of_redis()
        try:
            return [*found, Sample(m.DATABASE_UP, 1), *await self._of_database()]
        except (DatabaseUnavailable, SchemaMismatch):
            return [*found, Sample(m.DATABASE_UP, 0)]

    async def _of_redis(self) -> list[Sample]:
        if self._witness is None:
            return []
        try:
            since = await self._witness.since()
        except WitnessUnavailable:
            return [Sample(m.REDIS_UP, 0)]
        age = (datetime.now(UTC) - since).total_seconds() if since is not None else 0.0
        return [Sample(m.REDIS_UP, 1), Sample(m.WITNESS_MEMORY_SECONDS, age)]

    async def _of_database(self) -> list[Sample]:
        database = self._database
        now = await rows.now(database, by_a_person=BY_A_PERSON)
        working = await watching.working(database, tick_seconds=0)
        doubt = await watching.doubt(database)
        await self._recount()
        work, age = working.work, working.age
        ages = [
            (m.TICK_AGE, age(work.ticked_at)),
            (m.SENDING_OLDEST_DUE, age(work.to_send_since) or 0.0),
            (m.POLLING_OLDEST_DUE, age(work.to_poll_since) or 0.0),
            (m.LEASE_OLDEST_OVER, age(work.lease_over_since) or 0.0),
            (m.RECEIPTS_OLDEST, age(work.receipt_since) or 0.0),
            (m.IN_DOUBT_OLDEST, age(doubt.since) or 0.0),
        ]
        return [
            *self._of_accounts(now),
            *_of_balances(now),
            *(Sample(m.CAMPAIGNS, now.campaigns.get(each, 0), (each,)) for each in _OPEN),
            # Of a tick that never came there is no age: it has no sample, as of a database that is away.
            *(Sample(metric, seconds) for metric, seconds in ages if seconds is not None),
            Sample(m.WORKERS, work.worker_count),
            Sample(m.CAMPAIGNS_HELD, now.held_campaign_count),
            Sample(m.LEASES_ACTIVE, now.lease_count),
            Sample(m.RECEIPTS_WAITING, now.receipt_count),
            Sample(m.RECEIPTS_ASIDE, now.aside_count),
            Sample(m.ENDPOINTS_DISABLED, now.disabled_webhook_count),
            Sample(m.DELIVERY_OLDEST, now.delivery_seconds),
            Sample(m.TOTALS_WRONG, self._wrong_count),
        ]

    def _of_accounts(self, now: Now) -> Iterator[Sample]:
        known = {each.account: each for each in now.accounts}
        for name in sorted({*self._accounts, *known, *now.held, *now.recipients}):
            yield Sample(m.ACCOUNT_HELD, name in now.held, (name,))
            yield Sample(m.RECIPIENTS_LAST_HOUR, now.recipients.get(name, 0), (name,))
            found = known.get(name)
            yield Sample(m.SENDING_BACKLOG, found.due_count if found else 0, (name,))
            for state in MessageState:
                yield Sample(m.MESSAGES, found.totals[state] if found else 0, (name, state))

    async def _recount(self) -> None:
        if time.monotonic() - self._recounted_at < _RECOUNT_SECONDS:
            return
        self._recounted_at = time.monotonic()
        newest = await reading.newest(self._database, limit=_RECOUNTED)
        self._wrong_count = sum([bool(await aggregation.verify(self._database, each.id)) for each in newest])


def _of_balances(now: Now) -> Iterator[Sample]:
    """What is left, and what the queued messages cost at the average price of lately, where that is known."""
    open_ones = {each.account: each for each in now.accounts}
    for each in now.balances:
        labels = (each.account, each.currency)
        yield Sample(m.ACCOUNT_BALANCE, float(each.balance), labels)
        found = open_ones.get(each.account)
        cost = each.cost + (found.cost if found else 0)
        priced_count = each.priced_count + (found.priced_count if found else 0)
        if priced_count:
            queued_count = found.charged_queued_count if found else 0
            yield Sample(m.ACCOUNT_QUEUED_COST, float(queued_count * cost / priced_count), labels)
