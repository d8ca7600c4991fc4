"""kombu's Redis transport, which checks every message as it is taken out of its queue.

What is not a task of ours (see `envelope`) is set aside here: kombu would unpack it, and Celery would end the
worker because of it.
"""

from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.redis import Channel as RedisChannel
from kombu.transport.redis import Transport as RedisTransport

from worker.broker import aside_tasks
from worker.broker.envelope import Refusal, examined
from worker.logs.logger import get_logger

log = get_logger("campaigns")


class _Client(redis.Redis):
    """The client of a channel. A BRPOP whose message is set aside returns as if the queue were empty."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        parse: Any = super().parse_response
        found = parse(connection, command_name, **options)
        if command_name != "BRPOP" or not found:
            return found
        key, raw = found
        queue = key.decode(errors="replace").partition(RedisChannel.sep)[0]
        message = examined(raw, queue)
        if isinstance(message, Refusal):
            # Through another connection: kombu's poller waits on this one.
            set_aside(redis.Redis(connection_pool=self.connection_pool), raw, queue, message)
            return None
        return key, message


def set_aside(client: "redis.Redis", raw: bytes, queue: str, why: Refusal) -> None:
    """Keep a message that is not a task of ours, and log it. Raises RedisError if it cannot be kept."""
    number = aside_tasks.keep(client, raw, queue=queue, reason=why.reason, task=why.task, task_id=why.task_id)
    known = {"task": why.task or "unknown", "task_id": why.task_id, "queue": queue, "why": why.reason}
    if number is None:
        log.error("task thrown away: too many are set aside", **known)
    else:
        log.error("task set aside", aside=f"task:{number}", **known)


class Channel(RedisChannel):
    """kombu's channel, with our client."""

    def _get_client(self) -> Any:
        super()._get_client()  # type: ignore[misc]  # the stubs leave it out; it checks redis-py's version
        return _Client


class Transport(RedisTransport):
    """kombu's transport, with our channel."""

    Channel = Channel


def install() -> None:
    """Make kombu use this transport for redis:// and rediss:// in this process."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
