"""Each alert of docs/ops/alerts.yml fires in its trouble, by what our exporter says in it, and no other does;
promtool (Debian's package `prometheus`) judges. Nothing fires where all is well.
"""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from campaigns import holding
from campaigns.domain.late import LateAnswer
from campaigns.domain.metrics import LATE_ANSWERS, PACE, SECOND_PASS_REFUSED, TRUTH, MetricKind
from campaigns.domain.policy import Desk
from campaigns.domain.provider import Accepted, InDoubt, Money, Receipt
from campaigns.late import LateAnswers
from campaigns.measuring import Measuring
from campaigns.pacing.witness import SEEN_KEY, RedisWitness
from campaigns.store.session import Database
from tests.conftest import MakeDesk
from tests.contract.web.conftest import SETTINGS, URLS
from tests.integration.rows import bend, put_day, query
from tests.integration.sent_and_polled import send_all
from tests.river import flow, phones, submit
from tests.stub import Stub
from worker.metrics import truth
from worker.metrics.process import ProcessMeter
from worker.metrics.truth import Truth
from worker.settings.model import Settings
from worker.web.inbox import Inbox

OPS = Path(__file__).parents[2] / "docs" / "ops"
ALERTS = re.findall(r"- alert: (\w+)", (OPS / "alerts.yml").read_text())
DAY = 86_400

Values = Mapping[str, float]
Make = Callable[["Installation"], Awaitable[None]]


class Installation:
    """A database, a Redis, and processes that count, all in this one."""

    def __init__(self, database: Database, redis: Redis, desk: Callable[[Stub], Desk]) -> None:
        self.database, self.redis = database, redis
        self.settings = Settings(accounts={"main": SETTINGS})
        self.meter = ProcessMeter()
        self.witness: RedisWitness | None = RedisWitness(redis, give_up_seconds=60)
        self.has_web = True
        self._desk = desk

    def desk(self, stub: Stub) -> Desk:
        """A worker's, at this provider, which calls back."""
        made = self._desk(stub)
        accounts = {
            name: replace(account, callbacks=URLS, provider_name="seven")
            for name, account in made.accounts.items()
        }
        return replace(made, accounts=accounts, meter=self.meter)

    async def scrape(self) -> Values:
        """What all its processes say at /metrics."""
        registry = CollectorRegistry()
        measuring = Measuring(self.database, self.witness, [*self.settings.accounts])
        registry.register(Truth(measuring.samples, asyncio.get_running_loop()))
        said = generate_latest(self.meter.registry).decode()
        if self.has_web:
            said += (await asyncio.to_thread(generate_latest, registry)).decode()
        return {
            _series(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(said)
            for sample in family.samples
            if sample.name.startswith("campaigns_")
        }


def _series(name: str, labels: Mapping[str, str]) -> str:
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


async def all_is_well(at: Installation) -> None:
    """Nothing of before, a worker and a tick, and a campaign that was delivered."""
    await bend(
        at.database,
        "TRUNCATE campaign, batch, message, account_hold, campaign_hold, waiting_receipt, webhook,"
        " webhook_event, webhook_delivery, pulse, account_currency, account_day CASCADE",
    )
    await query(at.database, "INSERT INTO pulse (kind, name) VALUES ('worker', 'h:1:a'), ('tick', 'tick')")
    at.witness, at.has_web, at.meter = RedisWitness(at.redis, give_up_seconds=60), True, ProcessMeter()
    await at.redis.hset(SEEN_KEY, "since", str(int(datetime.now(UTC).timestamp()) - DAY))
    at.meter.begin(at.settings, "worker")
    taken = await submit(at.database, phones(3))
    await flow(at.database, replace(at.desk(Stub("main")), meter=at.meter), taken.id)


async def _statement(at: Installation, sql: str, *arguments: object) -> None:
    await query(at.database, sql, *arguments)


def sql(statement: str) -> Make:
    """A trouble that one statement makes."""
    return lambda at: _statement(at, statement)


async def no_web(at: Installation) -> None:
    at.has_web = False


async def no_database(at: Installation) -> None:
    at.database = Database("postgresql://nobody@127.0.0.1:1/nothing")


async def no_redis(at: Installation) -> None:
    away = Redis(host="127.0.0.1", port=1)
    at.witness = RedisWitness(away, give_up_seconds=60, ask_again_seconds=())


async def nothing_leaves(at: Installation) -> None:
    await submit(at.database, phones(3))


async def a_campaign_is_held(at: Installation) -> None:
    taken = await submit(at.database, phones(3))
    await _statement(
        at,
        "INSERT INTO campaign_hold (campaign_id, about, code, reason, sender_id)"
        " VALUES ($1, 'sender', '12', 'not registered', 'Ops')",
        taken.id,
    )


async def much_doubt(at: Installation) -> None:
    rows = phones(50)
    stub = Stub("main", outcomes={rows[0]["phone"]: [InDoubt("cut")]})
    await submit(at.database, rows)
    await send_all(at.database, at.desk(stub))


async def old_doubt(at: Installation) -> None:
    await submit(at.database, phones(3))
    await bend(
        at.database,
        "UPDATE batch SET state = 'tracking', queued_count = 0, in_doubt_count = 3 WHERE state = 'ready'",
    )
    await bend(
        at.database,
        "UPDATE message SET state = 'in_doubt', attempt = 1, updated_at = now() - interval '2 h'"
        " WHERE state = 'queued'",
    )


async def totals_are_wrong(at: Installation) -> None:
    await bend(at.database, "UPDATE batch SET delivered_count = 2, read_count = 1")
    await bend(at.database, "UPDATE campaign SET totals = NULL")


async def a_second_pass(at: Installation) -> None:
    # What the wire counts: tests/contract/providers/test_wire_failures.py.
    at.meter.count(SECOND_PASS_REFUSED, 1, "seven")


async def callbacks_are_lost(at: Installation) -> None:
    taken = await submit(at.database, phones(10))
    await flow(at.database, at.desk(Stub("main")), taken.id)
    receipts = [("main", Receipt(str(n), None, "sent", None)) for n in range(10)]
    await Inbox(_stored, meter=at.meter).put(receipts)


async def _stored(_taken: object) -> None:
    """Take them."""


async def callbacks_wait(at: Installation) -> None:
    async def never(_taken: object) -> None:
        await asyncio.Event().wait()

    inbox = Inbox(never, meter=at.meter, patience_seconds=0, write_seconds=0.01)
    waiting = Receipt("1", None, "sent", None)
    inbox._waiting_count = len([waiting] * 6_000)  # what `put` counts, without a write that never ends


async def late_answers(at: Installation) -> None:
    late = LateAnswers()
    outcome = Accepted("1", Decimal(1), 1)
    await late.keep([LateAnswer("main", f"{uuid4().hex}000100", 1, outcome)])
    at.meter.watch(LATE_ANSWERS, lambda: len(late))


async def too_little_money(at: Installation) -> None:
    """A hundred messages of four cents, and three euros."""
    await put_day(at.database, "main", datetime.now(UTC).date(), 10)
    await submit(at.database, phones(100), currency="EUR")
    await _statement(at, "UPDATE batch SET send_at = now() + interval '1 h'")
    await holding.learn_balance(at.database, "main", Money(Decimal(3), "EUR"))


async def a_young_witness(at: Installation) -> None:
    await submit(at.database, phones(3))
    await _statement(at, "UPDATE batch SET send_at = now() + interval '1 h'")
    await at.redis.hset(SEEN_KEY, "since", str(int(datetime.now(UTC).timestamp()) - 60))


_WEBHOOK = (
    "INSERT INTO webhook (id, url, secret, owner, disabled_at, disabled_reason) VALUES"
    " (gen_random_uuid(), 'https://a.test/', 's', '', {}, {})"
)


async def a_webhook_is_late(at: Installation) -> None:
    await _statement(at, _WEBHOOK.format("NULL", "NULL"))
    await _statement(
        at,
        "WITH event AS (INSERT INTO webhook_event (type, data) VALUES ('webhook.test', '{}') RETURNING id)"
        " INSERT INTO webhook_delivery (webhook_id, event_id, created_at)"
        " SELECT w.id, e.id, now() - interval '2 h' FROM webhook w, event e",
    )


TROUBLES: dict[str, Make] = {
    "CampaignsNoMetrics": no_web,
    "CampaignsDatabaseAway": no_database,
    "CampaignsRedisAway": no_redis,
    "CampaignsNoTick": sql("UPDATE pulse SET seen_at = now() - interval '31 s' WHERE kind = 'tick'"),
    "CampaignsNoWorker": sql("DELETE FROM pulse WHERE kind = 'worker'"),
    "CampaignsNothingLeaves": nothing_leaves,
    "CampaignsAccountHeld": sql(
        "INSERT INTO account_hold (account, probe_at, code, reason) VALUES ('main', now(), '3', 'no money')"
    ),
    "CampaignsBalanceLow": too_little_money,
    "CampaignsHeld": a_campaign_is_held,
    "CampaignsMuchInDoubt": much_doubt,
    "CampaignsOldDoubt": old_doubt,
    "CampaignsTotalsWrong": totals_are_wrong,
    "CampaignsSecondPassRefused": a_second_pass,
    "CampaignsCallbacksLost": callbacks_are_lost,
    "CampaignsCallbacksWait": callbacks_wait,
    "CampaignsReceiptsWait": sql(
        "INSERT INTO waiting_receipt (account, provider_state, provider_message_id, look_at)"
        " VALUES ('main', 'sent', '1', now() - interval '6 min')"
    ),
    "CampaignsReceiptsSetAside": sql(
        "INSERT INTO waiting_receipt (account, provider_state, provider_message_id, set_aside_at,"
        " set_aside_reason) VALUES ('main', 'sent', '1', now(), 'it cannot be merged')"
    ),
    "CampaignsLateAnswers": late_answers,
    "CampaignsWitnessYoung": a_young_witness,
    "CampaignsWebhookDisabled": sql(_WEBHOOK.format("now()", "'it took nothing for three days'")),
    "CampaignsWebhookLate": a_webhook_is_late,
}


def _promtool_test(before: Values, after: Values, firing: list[str], name: str) -> dict[str, Any]:
    """Ten minutes as before, then as after, and which alerts fire eleven minutes later."""

    def values(series: str) -> str:
        first = f"{before[series]:f}+0x9" if series in before else "_x10"
        return first + (f" {after[series]:f}+0x15" if series in after else " _x16")

    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": each, "values": values(each)} for each in {*before, *after}],
        "promql_expr_test": [
            {
                "expr": 'clamp_max(count by (alertname) (ALERTS{alertstate="firing"}), 1)',
                "eval_time": "21m",
                "exp_samples": [{"labels": f'{{alertname="{each}"}}', "value": 1} for each in firing],
            }
        ],
    }


@pytest.fixture
async def installation(database: Database, redis: Redis, make_desk: MakeDesk) -> Installation:
    return Installation(database, redis, make_desk)


async def test_each_alert_fires_in_its_trouble_and_no_other_does(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed, so no alert was tried: apt-get install prometheus")
    assert {*TROUBLES, "CampaignsDiskNearlyFull"} == {*ALERTS}

    database = installation.database
    usage = SimpleNamespace(free=2**40)  # whatever the machine of the test has
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    monkeypatch.setattr(truth, "_PATIENCE_SECONDS", 60.0)  # a machine that is slow is none that is away
    tests = []
    for alert, make in TROUBLES.items():
        installation.database = database
        await all_is_well(installation)
        before = await installation.scrape()
        await make(installation)
        tests.append(_promtool_test(before, await installation.scrape(), [alert], alert))
    await all_is_well(installation)
    before = await installation.scrape()
    tests.append(_promtool_test(before, before, [], "all is well"))
    usage.free = 2**30 - 1
    tests.append(
        _promtool_test(before, await installation.scrape(), ["CampaignsDiskNearlyFull"], "a full disk")
    )

    file = tmp_path / "alerts.test.yml"
    document = {"rule_files": [str(OPS / "alerts.yml")], "evaluation_interval": "1m", "tests": tests}
    file.write_text(json.dumps(document))
    judged = await asyncio.to_thread(
        subprocess.run, [promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_each_metric_that_is_looked_at_exists(name: str) -> None:
    known = set()
    for metric in (*PACE, *TRUTH):
        ends = ("_bucket", "_sum", "_count") if metric.kind is MetricKind.HISTOGRAM else ("",)
        known |= {f"campaigns_{metric.name}{end}" for end in ends}
    looked_at = set(re.findall(r"\bcampaigns_[a-z_]+", (OPS / name).read_text()))
    assert looked_at <= known
    assert looked_at
