"""Delivers Celery's tasks again: late, in random order, and all of them over again when asked to.

It sees what is published through Redis's MONITOR, so not one message escapes it, however soon a worker
takes it.
"""

import ast
import heapq
import json
import random
import re
import threading
import time
from types import TracebackType
from uuid import uuid4

from redis import Redis

from worker.queues import POLL_BATCHES, QUEUE_OF, SEND_BATCHES

_OF_BATCHES = (QUEUE_OF[SEND_BATCHES], QUEUE_OF[POLL_BATCHES])
_PUBLISHED = re.compile(rf'"LPUSH" ("(?:{"|".join(map(re.escape, _OF_BATCHES))})") (".*")$'.encode())
_LATEST_SECONDS = 3.0
_LOOK_SECONDS = 0.02


class Redelivery:
    """A thread that publishes a copy or two of every task of batches. Use it as a context."""

    def __init__(self, redis: Redis, seed: int) -> None:
        self._redis = redis
        self._random = random.Random(seed)
        self._thread = threading.Thread(target=self._work, name="redelivery")
        self._over = threading.Event()
        self._listening = threading.Event()
        self._waiting: list[tuple[float, str, str, bytes]] = []  # when, tag, queue, message
        self._own: set[str] = set()
        self.seen: list[tuple[str, bytes]] = []  # queue, message as it was published
        self.copy_count = 0

    def __enter__(self) -> "Redelivery":
        self._thread.start()
        assert self._listening.wait(10), "Redis does not show what is published"
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(10)

    def replay(self) -> None:
        """Publish everything that was ever seen once more, in random order. Call it after the block."""
        for queue, message in self._random.sample(self.seen, len(self.seen)):
            self._publish(uuid4().hex, queue, message)

    def is_drained(self) -> bool:
        """Whether every published task was taken by a worker."""
        return not any(self._redis.llen(queue) for queue in _OF_BATCHES) and not self._redis.hlen("unacked")

    def _work(self) -> None:
        with self._redis.monitor() as monitor:  # type: ignore[no-untyped-call]  # redis-py leaves it open
            self._listening.set()
            while not self._over.is_set():
                if monitor.connection.can_read(timeout=_LOOK_SECONDS):
                    self._see(monitor.connection.read_response())
                while self._waiting and self._waiting[0][0] <= time.monotonic():
                    self._publish(*heapq.heappop(self._waiting)[1:])
        for _, tag, queue, message in self._waiting:
            self._publish(tag, queue, message)

    def _see(self, line: bytes) -> None:
        published = _PUBLISHED.search(line)
        if published is None:
            return
        # Redis shows arguments as C would write them, which is how Python writes bytes.
        queue, message = (ast.literal_eval(f"b{shown.decode()}") for shown in published.groups())
        if json.loads(message)["properties"]["delivery_tag"] in self._own:
            return
        self.seen.append((queue.decode(), message))
        for _ in range(self._random.randint(1, 2)):
            moment = time.monotonic() + self._random.uniform(0, _LATEST_SECONDS)
            heapq.heappush(self._waiting, (moment, uuid4().hex, queue.decode(), message))

    def _publish(self, tag: str, queue: str, message: bytes) -> None:
        copy = json.loads(message)
        copy["properties"]["delivery_tag"] = tag  # kombu keeps what it is doing by it
        self._own.add(tag)
        # At either end: before others or after them.
        push = self._redis.lpush if self._random.random() < 0.5 else self._redis.rpush
        push(queue, json.dumps(copy))
        self.copy_count += 1
