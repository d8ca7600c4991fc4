"""The usual Celery code for the same job, compared with ours under the same storm. Never send with it.

A task a batch; `acks_late` and `reject_on_worker_lost` so that "nothing is lost"; a retry on any exception
so that "everything arrives"; the state of a message in the database once its answer is there. Each line of
it stands in many tutorials.
"""

import asyncio
import os
import time
from typing import Any

import aiohttp
import asyncpg
from celery import Celery, Task

from campaigns.providers.lightsms.adapter import signature

app = Celery("naive", broker=os.environ["NAIVE_BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 5, "health_check_interval": 10},
)


@app.task(bind=True, max_retries=20)
def send_batch(self: "Task[Any, Any]", batch: int, phones: list[str]) -> None:
    """Send one batch; try again on any error."""
    try:
        asyncio.run(_send(phones))  # noqa: TID251  a loop a task, as the tutorials have it
    except Exception as error:
        raise self.retry(exc=error, countdown=1) from error


async def _send(phones: list[str]) -> None:
    parameters = {
        "login": "YourLogin",
        "phone": ",".join(phones),
        "text": "Hello",
        "sender": "Demo",
        "return": "json",
        "timestamp": str(int(time.time())),
    }
    parameters["signature"] = signature(parameters, "your_api_key")
    url = f"{os.environ['NAIVE_BASE_URL']}/external/get/send.php"
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3), raise_for_status=True) as session,
        session.get(url, params=parameters) as response,
    ):
        answer = await response.json(content_type=None)
    connection = await asyncpg.connect(os.environ["NAIVE_DATABASE_URL"])
    try:
        await connection.executemany(
            "UPDATE naive SET provider_message_id = $2 WHERE phone = $1",
            [(phone, entry["id_sms"]) for phone, entry in answer.items()],
        )
    finally:
        await connection.close()
