"""What other programs put into our queues, met by a real worker."""

from typing import Any

import pytest
from celery import Celery
from redis import Redis

from tests.acceptance.processes import Stack, ledger_counts
from tests.unit.test_envelope import GOOD, message
from tests.waiting import wait_until
from worker.queues import QUEUE_OF, SEND_BATCHES, SUBMIT
from worker.settings.addresses import broker_url
from worker.stack.embedded.servers import ServerUrls

pytestmark = pytest.mark.acceptance


def test_without_a_key_each_task_is_a_campaign_and_its_copy_is_none(
    stack: Stack, servers: ServerUrls
) -> None:
    """Same content or other content: the task's id tells them apart. Redelivered, it is the same campaign."""
    url = stack.simulator("--delivery-seconds", "0")
    stack.worker()
    stack.beat()
    service = Celery(broker=broker_url(servers.redis_url))

    def send(task_id: str | None, text: str) -> None:
        service.send_task(
            SUBMIT,
            kwargs={"account": "main", "text": text, "recipients": [{"phone": "+37060000001"}]},
            queue=QUEUE_OF[SUBMIT],
            task_id=task_id,
        )

    for task_id, text in (
        ("first", "Monthly"),
        ("second", "Monthly"),
        ("third", "Other"),
        ("third", "Other"),
    ):
        send(task_id, text)
    service.close()

    wait_until(lambda: stack.log("worker").read_text().count("campaign known already"), "the copy is known")
    campaigns = wait_until(
        lambda: len(found := stack.json("list")) == 3 and found, "three campaigns", every=0.3
    )
    for campaign in campaigns:
        stack.finished(campaign["id"])

    assert ledger_counts(url) == {"37060000001": 3}
    assert "submission refused" not in stack.log("worker").read_text()


# fmt: off
_POISON: tuple[bytes, ...] = (
    b"\x00\xff no envelope", b"[]", b"null", b'{"body": "e30=", "properties": {}}',
    message([[], GOOD]), message(None), message({"a": 1}), message("abc"), message([[], GOOD, "a text"]),
    message([1, GOOD, {}]),
    message(raw_body=b"\x80", whole={"content-type": "application/x-python-serialize"}),
    message(task="shop.tasks.invoice"),
    message([[[["1; DROP TABLE message", "x"]]], {}, {}], task=SEND_BATCHES),
    message(raw_body=b"[[],{},{}," + b"[" * 200_000 + b"]" * 200_000 + b"]"),
    message(headers={"eta": "x"}),
)
# fmt: on


def test_poison_is_set_aside_and_the_worker_goes_on(stack: Stack, servers: ServerUrls) -> None:
    """Each with one sentence of ours; what is behind them is done. They can be listed, retried, dropped."""
    url = stack.simulator("--delivery-seconds", "0")
    with Redis.from_url(servers.redis_client_url) as redis:
        for raw in _POISON:
            redis.lpush(QUEUE_OF[SUBMIT], raw)
        redis.lpush(QUEUE_OF[SUBMIT], message([[], GOOD | {"text": "Hello"}, {}]))
        worker = stack.worker()
        stack.beat()
        (campaign,) = wait_until(lambda: stack.json("list"), "what came behind is taken in", every=0.3)
        stack.finished(campaign["id"])

        assert ledger_counts(url) == {"37060000111": 1}
        assert worker.poll() is None
        log = stack.log("worker").read_text()
        assert log.count('"task set aside"') == len(_POISON)
        assert "Traceback" not in log
        assert "SECRETWORD" not in log
        assert "shop.tasks.invoice" in log
        assert redis.hlen("unacked") == 0

        aside = stack.json("aside", "list")
        assert len(aside) == len(_POISON)
        assert sum("three parts" in each["reason"] for each in aside) == 4
        stack.run("aside", "retry", aside[0]["id"])
        wait_until(
            lambda: stack.log("worker").read_text().count('"task set aside"') == len(_POISON) + 1,
            "it is set aside again",
        )
        stack.run("aside", "drop", *(each["id"] for each in stack.json("aside", "list")))
        assert stack.json("aside", "list") == []
        assert worker.poll() is None


_WRONG: tuple[dict[str, Any], ...] = (
    {"senderid": "X"},
    {"text": None},
    {"account": 7},
    {"account": "nosuch"},
    {"region": 370},
    {"submission_key": 4711},
    {"recipients": {"phone": "+37060000111"}},
)


def test_bad_input_is_one_sentence_and_no_level_of_the_log_holds_a_text(
    stack: Stack, servers: ServerUrls
) -> None:
    """Not of what is refused, nor of what is taken, nor of what is serialised otherwise."""
    stack.simulator("--delivery-seconds", "0")
    stack.settings["LOG_LEVEL"] = "debug"
    stack.worker()
    stack.beat()
    service = Celery(broker=broker_url(servers.redis_url))
    for number, wrong in enumerate(_WRONG):
        service.send_task(
            SUBMIT, kwargs=GOOD | wrong, queue=QUEUE_OF[SUBMIT], task_id=f"wrong-{number}", countdown=0.1
        )
    service.send_task(SUBMIT, kwargs={"account": "main"}, queue=QUEUE_OF[SUBMIT])
    service.send_task(SUBMIT, kwargs=GOOD, queue=QUEUE_OF[SUBMIT], serializer="pickle")
    service.send_task(SUBMIT, args=list(GOOD.values()), queue=QUEUE_OF[SUBMIT])
    service.close()

    (campaign,) = wait_until(lambda: stack.json("list"), "the good one is taken in", every=0.3)
    stack.finished(campaign["id"])
    log = wait_until(
        lambda: (
            (text := stack.log("worker").read_text()).count('"submission refused"') > len(_WRONG) and text
        ),
        "all are answered",
    )
    assert log.count('"submission refused"') == len(_WRONG) + 1
    assert "did you mean sender_id?" in log
    assert "account must be text, not a whole number" in log
    assert log.count('"task set aside"') == 1
    assert "Traceback" not in log
    for word in ("SECRETWORD", "60000111", "0000111"):
        assert word not in log
