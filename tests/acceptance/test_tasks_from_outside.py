"""What other programs put into our queues, met by a real worker."""

import pytest
from celery import Celery

from tests.acceptance.processes import Stack, ledger_counts
from tests.waiting import wait_until
from worker.addresses import broker_url
from worker.embedded.stack import ServerUrls
from worker.queues import QUEUE_OF, SUBMIT

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
