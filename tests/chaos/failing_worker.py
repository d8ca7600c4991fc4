"""Celery's own worker command, with functions of ours wrapped so that the process fails at a stated
point: `python -m tests.chaos.failing_worker worker …`. Nothing in production code knows of it.

    FAIL_AT          point:fault:hits/passes, as before_request:kill:1/4. So many of the first passes
                     through the point are hit; which ones is drawn from FAIL_SEED.
    FAIL_RECORD      a file in which every worker writes down its passes, one JSON line each, before it
                     fails; passes are counted over all workers that share it.
    FAIL_SEED        a number.
    FAIL_POSTMASTER  PostgreSQL's pid file, for the fault `postgres`.
    FAIL_POISON      a phone: whoever takes up a batch with it for handing over is killed, each time.
"""

import asyncio
import fcntl
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from celery.__main__ import main

from campaigns.providers import wire
from campaigns.providers.lightsms.adapter import LightSms
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.outcome_rows import OutcomeRow

POINTS = ("taken_up", "before_request", "after_request", "before_commit", "after_commit")
"""Lease ours · intent committed · answer in hand · outcome written, not committed · outcome committed."""

ON_THE_WIRE = "on_the_wire"
"""Behind the last look at the clock, before the first byte."""

FAULTS = ("kill", "stop", "postgres")
"""kill -9 · SIGSTOP, of oneself · an immediate stop of PostgreSQL, after which the worker goes on."""

_GONE_SECONDS = 20.0
_STOPPED_SECONDS = 0.5  # a gap in time that no busy machine makes

_in_hand: ContextVar[Sequence[str]] = ContextVar("_in_hand", default=())


def _stand_still() -> None:
    """Stop this process, here. The signal goes to the main thread, and until that has run the others go on:
    this one does not leave the point before it was stopped and woken.
    """
    last = time.monotonic()  # before the signal: it may stop us inside the next line
    os.kill(os.getpid(), signal.SIGSTOP)
    ends_at = last + _GONE_SECONDS
    while (now := time.monotonic()) - last < _STOPPED_SECONDS:
        assert now < ends_at, "SIGSTOP did not stop us"
        last = now


@dataclass(slots=True)
class _Failpoint:
    """Where and how this process fails."""

    point: str
    fault: str
    hits: frozenset[int]  # numbers of passes
    record: Path
    postmaster: Path | None
    phones: dict[int, dict[int, str]] = field(default_factory=dict)  # batch -> position -> phone

    @classmethod
    def read(cls, told: str) -> "_Failpoint":
        point, fault, share = told.split(":")
        if point not in (*POINTS, ON_THE_WIRE) or fault not in FAULTS:
            raise SystemExit(f"FAIL_AT is not understood: {told}")
        hits, passes = (int(number) for number in share.split("/"))
        chosen = random.Random(os.environ["FAIL_SEED"]).sample(range(passes), hits)
        pid_file = os.environ.get("FAIL_POSTMASTER")
        return cls(
            point,
            fault,
            frozenset(chosen),
            Path(os.environ["FAIL_RECORD"]),
            Path(pid_file) if pid_file else None,
        )

    async def passed(self, point: str, phones: Sequence[str]) -> None:
        """One pass through a point; hurts if it is ours and the draw says so."""
        if point != self.point or not self._draw(phones):
            return
        match self.fault:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                _stand_still()
            case _:
                await self._end_postgres()

    def passed_now(self, point: str, phones: Sequence[str]) -> None:
        """The same where nothing can be awaited; for faults to oneself."""
        if point == self.point and self._draw(phones):
            if self.fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            _stand_still()

    def _draw(self, phones: Sequence[str]) -> bool:
        """Count this pass and write it down. Gives whether it is hit."""
        with self.record.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            is_hit = len(file.readlines()) in self.hits
            said = {"hit": is_hit, "pid": os.getpid(), "phones": list(phones) if is_hit else []}
            file.write(f"{json.dumps(said)}\n")
        return is_hit

    async def _end_postgres(self) -> None:
        assert self.postmaster is not None, "FAIL_POSTMASTER is missing"
        os.kill(int(self.postmaster.read_text().split()[0]), signal.SIGQUIT)
        deadline = time.monotonic() + _GONE_SECONDS
        while self.postmaster.exists():
            assert time.monotonic() < deadline, "PostgreSQL does not end"
            await asyncio.sleep(0.005)

    # --- what is wrapped -----------------------------------------------------------------------------

    def wrap(self) -> None:
        """Put ourselves around the functions that lead through the points."""
        self._wrap_batches()
        hand_over, release = LightSms.hand_over, wire._Journey.release

        async def answered(adapter: LightSms, request: Any, *more: Any, **named: Any) -> Any:
            phones = [message.phone for message in request]
            _in_hand.set(phones)
            outcomes = await hand_over(adapter, request, *more, **named)
            await self.passed("after_request", phones)
            return outcomes

        def released(journey: wire._Journey) -> None:
            release(journey)
            if journey.begun:  # a paid one: questions have no middleware
                self.passed_now(ON_THE_WIRE, _in_hand.get())

        mock.patch.object(LightSms, "hand_over", answered).start()
        mock.patch.object(wire._Journey, "release", released).start()

    def _wrap_batches(self) -> None:
        take_up, begin, write = batches.take_up_sending, batches.begin_hand_over, batches.write_and_let_go
        write_outcomes, release = batches.write_outcomes, batches.release

        async def taken_up(database: Any, dealt: Any, **named: Any) -> Any:
            work = await take_up(database, dealt, **named)
            if work is not None:
                self.phones[work.batch_id] = {m.position: m.phone for m in work.messages}
                await self.passed("taken_up", [m.phone for m in work.messages])
            return work

        async def begun(database: Any, work: Any, positions: Any, **named: Any) -> bool:
            is_ours = await begin(database, work, positions, **named)
            if is_ours:
                await self.passed("before_request", self._of(work.batch_id, positions))
            return is_ours

        async def in_transaction(connection: Any, asked: Any) -> Any:
            async with connection.transaction():  # one of its own, to stand still before its end
                states = await write(connection, asked)
                for holder, written, _ in asked:
                    if not written:  # given back untouched: nothing to be lost
                        continue
                    await self.passed("before_commit", self._of_written(holder.batch_id, written))
            return states

        async def outcomes_written(database: Any, work: Any, written: Any, **named: Any) -> bool:
            is_ours = await write_outcomes(database, work, written, **named)
            if is_ours:
                await self.passed("after_commit", self._of_written(work.batch_id, written))
            return is_ours

        async def released(database: Any, work: Any, how: Any, **named: Any) -> Any:
            state = await release(database, work, how, **named)
            written = named.get("rows", ())
            if state is not None and written:
                await self.passed("after_commit", self._of_written(work.batch_id, written))
            return state

        mock.patch.object(batches, "take_up_sending", taken_up).start()
        mock.patch.object(batches, "begin_hand_over", begun).start()
        mock.patch.object(batches, "write_and_let_go", in_transaction).start()
        mock.patch.object(batches, "write_outcomes", outcomes_written).start()
        mock.patch.object(batches, "release", released).start()

    def _of(self, batch_id: int, positions: Sequence[int]) -> list[str]:
        return [self.phones[batch_id][position] for position in positions]

    def _of_written(self, batch_id: int, written: Sequence[OutcomeRow]) -> list[str]:
        return self._of(batch_id, [position for each in written for position in each.positions])


def _wrap_poison(phone: str) -> None:
    take_up: Callable[..., Any] = batches.take_up_sending

    async def taken_up(*arguments: Any, **named: Any) -> Any:
        work = await take_up(*arguments, **named)
        if work is not None and any(message.phone == phone for message in work.messages):
            os.kill(os.getpid(), signal.SIGKILL)
        return work

    mock.patch.object(batches, "take_up_sending", taken_up).start()


if __name__ == "__main__":
    if told := os.environ.get("FAIL_AT"):
        _Failpoint.read(told).wrap()
    if poison := os.environ.get("FAIL_POISON"):
        _wrap_poison(poison)
    sys.argv = ["celery", "-A", "worker.app", *sys.argv[1:]]
    sys.exit(main())
