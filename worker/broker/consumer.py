"""Celery's consumer, changed so that a message it cannot handle neither ends the worker nor appears in the
log.

`transport` sets aside what is not a task of ours before it gets here. What gets here all the same is a case
that nobody has thought of; it is set aside too.
"""

from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer as CelerysConsumer
from kombu.utils.json import dumps

from worker.broker.envelope import Refusal
from worker.broker.transport import set_aside

_OF_A_MESSAGE = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What a bad message can raise. A broker that is away raises none of them."""


class Consumer(CelerysConsumer):
    """Celery's consumer: its four hooks for bad messages set them aside, and so does a fifth of ours."""

    def on_decode_error(self, message: Any, exc: BaseException) -> None:
        """Its body cannot be read."""
        _keep(message, "its body cannot be read", exc)

    def on_unknown_message(self, _body: Any, message: Any) -> None:
        """It is no task."""
        _keep(message, "it is no task", None)

    def on_unknown_task(self, _body: Any, message: Any, _exc: BaseException) -> None:
        """It is a task that this program does not know."""
        _keep(message, "no task of ours has its name", None)

    def on_invalid_task(self, _body: Any, message: Any, exc: BaseException) -> None:
        """Its headers or its arguments are none."""
        _keep(message, "Celery does not take it", exc)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """What is called with each message."""
        handle = super().create_task_handler(*args, **kwargs)

        def handle_or_keep(message: Any) -> None:
            try:
                handle(message)
            except _OF_A_MESSAGE as error:
                _keep(message, "Celery cannot begin it", error)

        return handle_or_keep


def _keep(message: Any, reason: str, error: BaseException | None) -> None:
    """Set it aside. The message of `error` is not shown: it may quote the task."""
    kind = f" ({type(error).__name__})" if error is not None else ""
    queue = str(message.delivery_info.get("routing_key", ""))
    with message.channel.conn_or_acquire() as client:
        set_aside(client, dumps(message._raw).encode(), queue, Refusal(reason + kind))
    if not message.acknowledged:
        message.ack()
