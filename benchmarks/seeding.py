"""A database as it is after months of work: campaigns of every size, some under way, and what stands beside
them. Made in sets, for millions are to be made in minutes.

Only what comes from outside is made up: campaigns, batches as submission makes them, messages as a provider
left them. What the product derives (tallies, reasons, ends, totals, points of progress, days, events) is
derived by its own functions, with its triggers on.
"""

from dataclasses import dataclass
from uuid import uuid4

from benchmarks.ground import Refused, say
from campaigns import aggregation, outbox
from campaigns.domain.states import MessageState
from campaigns.domain.timeline import SOURCE_CODES, STATE_CODES, Source
from campaigns.domain.webhooks import EventType
from campaigns.store import days, progress
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.session import Connection, Database
from campaigns.store.totals import by_state

OWNER = "shop"
"""Whose campaigns all are but a few."""

RARE_OWNER = "clinic"
"""Whose rows of the audit are few, and the oldest."""

RARE_REASON = "number was ported away"
"""Why the last message of each campaign that was handed over reached nobody; no other's reason."""

_BATCH = 100
_BATCHES_AT_ONCE = 500
_SIDE_SHARE = 50  # of so many messages one number is suppressed, and one row is in the audit

# In a thousand. What is left is delivered.
_OVER = {"undelivered": 30, "expired": 15, "rejected": 5, "failed": 5, "suppressed": 5}
_UNDER_WAY = {"sent": 150, "accepted": 100, "undelivered": 30, "in_doubt": 10, "suppressed": 5}


@dataclass(frozen=True)
class Kind:
    """Campaigns that are alike: how many, with how many messages each, for how many hours the newest is
    there and how many lie between two; what share was handed over.
    """

    name: str
    campaign_count: int
    message_count: int
    age_hours: float
    hours_between: float = 0
    share: float = 1.0
    states: dict[str, int] | None = None
    is_paused: bool = False

    @property
    def is_over(self) -> bool:
        """Whether each of its messages is settled."""
        return self.states is None


def kinds(count: int) -> list[Kind]:
    """Campaigns of `count` messages in all: half of them in one that runs, a tenth in one that is over."""
    small = min(1_000, max(1, count // 1_000))
    return [
        Kind("Autumn sale, everyone", 1, count // 2, 5, share=0.4, states=_UNDER_WAY),
        Kind("Members", 1, count // 10, 200),
        Kind("Survey", 1, count // 20, 30, share=0.3, states=_UNDER_WAY, is_paused=True),
        Kind("Region", 9, count // 40, 150, 200),
        Kind("Shop", 20, count // 200, 50, 96),
        Kind("Reminders", small, max(1, count // 40 // small), 1, 2_000 / small),
    ]


def _states(shares: dict[str, int]) -> list[str]:
    named = [state for state, share in shares.items() for _ in range(share)]
    return [*named, *["delivered"] * (1_000 - len(named))]


_CAMPAIGN = """
    INSERT INTO campaign (id, state, name, account, sender_id, text, content_hash, currency, recipient_count,
                          refused, owner, segment_count, created_at)
    SELECT $1, 'accepted', $2, $3, 'SHOP', 'Hello, the sale is on until Sunday. Reply STOP to opt out.',
           $1::uuid::text, 'EUR', $4::int, jsonb_build_object('invalid_number', $4::int / 100), $5, $4::int,
           now() - make_interval(secs => $6)
"""
_REFUSED = """
    INSERT INTO refusal (campaign_id, row, reason)
    SELECT $1, $2::int + n, 'invalid_number' FROM generate_series(1, $2::int / 100) n
"""
_BATCHES = """
    INSERT INTO batch (campaign_id, account, number, state, send_at, give_up_at, message_count, queued_count)
    SELECT $1, c.account, n, 'ready', c.created_at, c.created_at + interval '3 days', s.size, s.size
    FROM campaign c CROSS JOIN generate_series($3::int, $4::int) n
    CROSS JOIN LATERAL (SELECT least(100, $2::int - (n - 1) * 100) AS size) s
    WHERE c.id = $1
"""


def _record(moment: str, source: Source, second: str) -> str:
    return (
        f"substring(int8send((extract(epoch FROM {moment}) * 1000)::bigint) FROM 3)"
        f" || set_byte('\\x{SOURCE_CODES[source]:02x}00', 1, {second})"
    )


_ACCEPTED = str(STATE_CODES[MessageState.ACCEPTED])
_CODE = (
    f"(ARRAY{[STATE_CODES[state] for state in MessageState]})[array_position(enum_range(s.state), s.state)]"
)

# A batch is handed over 30 ms after the one before, and answered half a minute later. Whoever is in a small
# campaign is in all of them: the numbers of each begin with the first.
_MESSAGES = f"""
    INSERT INTO message (batch_id, position, row, state, attempt, segment_count, phone, updated_at, cost,
                         provider_message_id, provider_state, reason, provider_reason, provider_changed_at,
                         timeline)
    SELECT b.id, p, n.n, s.state, h.is_handed::int, 1, '+3706' || lpad(n.n::text, 7, '0'),
           CASE WHEN h.is_handed THEN h.at + interval '30 seconds' ELSE c.created_at END,
           CASE WHEN h.is_taken THEN 0.042 END, CASE WHEN h.is_taken THEN b.id || '-' || p END,
           CASE WHEN h.is_taken THEN upper(s.state::text) END,
           CASE WHEN s.state = 'suppressed' THEN 'answered STOP'
                WHEN s.state IN ('rejected', 'failed') THEN 'the sender id is not known there' END,
           CASE WHEN s.state IN ('undelivered', 'expired')
                THEN (ARRAY['absent subscriber', 'memory full', 'barred', '{RARE_REASON}'])[
                    CASE WHEN n.n = $5 THEN 4 ELSE 1 + n.n % 3 END] END,
           CASE WHEN h.is_taken THEN h.at + interval '30 seconds' END,
           CASE WHEN h.is_handed THEN {_record("h.at", Source.HAND_OVER, "1")}
                || {_record("h.at + interval '1 second'", Source.ANSWER, _ACCEPTED)}
                || {_record("h.at + interval '30 seconds'", Source.CALLBACK, _CODE)} END
    FROM batch b JOIN campaign c ON c.id = b.campaign_id
    CROSS JOIN LATERAL generate_series(0, b.message_count - 1) p
    CROSS JOIN LATERAL (SELECT (b.number - 1) * 100 + p + 1 AS n OFFSET 0) n
    CROSS JOIN LATERAL (SELECT CASE WHEN n.n = $5 THEN 'undelivered'
                                    ELSE ($4::message_state[])[1 + n.n * 7 % cardinality($4)] END AS state
                        OFFSET 0) s
    CROSS JOIN LATERAL (SELECT s.state NOT IN ('queued', 'suppressed') AS is_handed,
                               s.state NOT IN ('queued', 'suppressed', 'in_doubt', 'rejected', 'failed')
                                   AS is_taken,
                               c.created_at + b.number * interval '30 milliseconds' AS at OFFSET 0) h
    WHERE b.campaign_id = $1 AND b.number BETWEEN $2 AND $3
"""  # noqa: S608  our own words
_LET_GO = """
    SELECT count(*) FROM let_go_batches((
        SELECT jsonb_agg(jsonb_build_object('id', id, 'poll_in', 30)) FROM batch
        WHERE campaign_id = $1 AND number BETWEEN $2 AND $3))
"""


async def _campaign(connection: Connection, kind: Kind, nth: int) -> None:
    campaign_id, count = uuid4(), kind.message_count
    age_seconds = (kind.age_hours + nth * kind.hours_between) * 3600
    account = "second" if nth % 4 == 3 else "main"
    last = (count + _BATCH - 1) // _BATCH
    handed = max(1, int(last * kind.share))
    shares = kind.states or _OVER
    states = _states(shares)
    async with connection.transaction():
        await connection.execute(
            _CAMPAIGN, campaign_id, f"{kind.name} {nth + 1}", account, count, OWNER, age_seconds
        )
        await connection.execute(_REFUSED, campaign_id, count)
        await connection.execute(_BATCHES, campaign_id, count, 1, last)
    for first in range(1, last + 1, _BATCHES_AT_ONCE):
        until = min(last, first + _BATCHES_AT_ONCE - 1)
        for begin, end, chosen in (
            (first, min(until, handed), states),
            (max(first, handed + 1), until, ["queued"]),
        ):
            if begin > end:
                continue
            final = min(count, handed * _BATCH)
            async with connection.transaction():
                await connection.execute(_MESSAGES, campaign_id, begin, end, chosen, final)
                if chosen is states:
                    await connection.fetchval(_LET_GO, campaign_id, begin, end)
    if kind.share:
        await connection.execute("UPDATE campaign SET state = 'running' WHERE id = $1", campaign_id)
    if kind.is_paused:
        await connection.execute("UPDATE campaign SET state = 'paused' WHERE id = $1", campaign_id)


_SIDES = (
    """INSERT INTO suppression (phone, reason, created_at)
       SELECT '+3706' || lpad((n * 5)::text, 7, '0'), 'answered STOP', now() - n * interval '1 second'
       FROM generate_series(1, $1::int) n""",
    f"""INSERT INTO audit (at, actor_kind, actor, owner, action, subject, origin)
        SELECT now() - ($1::int - n) * interval '10 seconds', 'key', 'f7k2m9ab',
               CASE WHEN n <= 3 THEN '{RARE_OWNER}' ELSE '{OWNER}' END, 'campaign.export',
               'campaign/' || gen_random_uuid(), '192.0.2.7'
        FROM generate_series(1, $1::int) n""",  # noqa: S608  our own words
    """WITH told AS (
           INSERT INTO webhook_event (at, handed_out_at, owner, type, data)
           SELECT e.at, e.at, 'shop', 'message.settled', '{"messages": []}'
           FROM generate_series(1, $1::int) n
           CROSS JOIN LATERAL (SELECT now() - ($1::int - n) * interval '10 seconds' AS at) e RETURNING id, at
       )
       INSERT INTO webhook_delivery (webhook_id, event_id, created_at, due_at, tried_at, finished_at, attempt,
                                     status, took_milliseconds, state)
       SELECT w.id, t.id, t.at, t.at, t.at, t.at, 1, 204, 30, 'succeeded'
       FROM told t CROSS JOIN webhook w""",
)
# A campaign of the past did not end now, as the product must believe: it took a minute and 30 ms a batch.
_ENDS = """
    UPDATE campaign SET finished_at = created_at + make_interval(secs => 60 + recipient_count * 0.0003)
    WHERE finished_at IS NOT NULL
"""
_CURVE = """
    INSERT INTO campaign_progress (campaign_id, at, totals, cost)
    SELECT c.id, c.created_at + n * interval '1 minute',
           jsonb_build_object('queued', (s.queued + (c.recipient_count - s.queued) * (1 - n / 300.0))::int,
                              'delivered', ((c.recipient_count - s.queued) * n / 300.0)::int), 0
    FROM campaign c
    CROSS JOIN LATERAL (SELECT sum(queued_count) AS queued FROM batch WHERE campaign_id = c.id) s
    CROSS JOIN generate_series(0, 299) n
    WHERE c.finished_at IS NULL AND c.state <> 'accepted' ON CONFLICT DO NOTHING
"""


async def seed(database: Database, count: int) -> None:
    """Make it, on a migrated database that is empty. Raises Refused where what was derived is not true."""
    made = 0
    async with database.own_connection() as connection:
        # As the product has it: statistics of a table that is being filled lie.
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for kind in kinds(count):
            for nth in range(kind.campaign_count):
                await _campaign(connection, kind, nth)
                made += kind.message_count
            say(f"  … {made:,} messages: {kind.name}")
    # Before there is a webhook, as before there was a dashboard: no event for each batch of long ago.
    await outbox.create(
        database,
        url="https://shop.example.com/sms/events",
        secret="whsec_" + "a" * 40,
        owner=OWNER,
        event_types=[EventType.CAMPAIGN_FINISHED],
        with_numbers=False,
    )
    await aggregation.finish(database)
    async with database.own_connection() as connection:
        await connection.execute(_ENDS)
        for statement in _SIDES:
            await connection.execute(statement, max(10, count // _SIDE_SHARE))
        await connection.execute(_CURVE)
        await connection.execute(
            "INSERT INTO pulse (kind, name) VALUES ('tick', 'tick'), ('worker', 'one:1'), ('beat', 'beat')"
        )
    say("  … ends and sides")
    while await _are_to_sum_up(database):
        await aggregation.sum_up(database)
    await progress.note(database)
    say("  … totals")
    while await days.count(database) is not None:
        continue
    say("  … days")
    async with database.own_connection() as connection:
        await connection.execute("VACUUM (ANALYZE)")
    await _check(database)
    say("  … looked at")


async def _are_to_sum_up(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT EXISTS (SELECT FROM campaign WHERE finished_at IS NOT NULL AND totals IS NULL)"
            )
        )


async def _check(database: Database) -> None:
    async with database.own_connection() as connection:
        counted = dict(await connection.fetch("SELECT state::text, count(*) FROM message GROUP BY state"))
        (sums,) = await connection.fetch(
            f"SELECT {', '.join(f'sum({each}) AS {each}' for each in TALLY_COLUMNS)} FROM batch"  # noqa: S608  our own names
        )
        of_days = await connection.fetchval("SELECT sum(message_count)::int FROM account_day")
        of_over = await connection.fetchval(
            "SELECT sum(recipient_count - (totals->>'suppressed_count')::int)::int FROM campaign"
            " WHERE finished_at IS NOT NULL"
        )
    said = {state.value: count for state, count in by_state(dict(sums)).items() if count}
    if said != counted or of_days != of_over:
        raise Refused(f"tallies say {said}, messages {counted}; days have {of_days} messages of {of_over}")
