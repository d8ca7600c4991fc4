"""What `campaigns top` shows: who works, how fast campaigns go, what is wrong; and how it ends."""

import asyncio
import os
import pty
import termios
from collections.abc import Iterator
from datetime import UTC, datetime
from io import StringIO
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from rich.console import Console

from campaigns.domain.errors import CampaignError
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.reading.overviews import Overview
from worker import shapes
from worker.cli import top

ID = uuid4()


def overview(queued: int, *, id_: UUID = ID, **more: Any) -> Overview:
    """A campaign of a thousand, so many of them queued and the rest delivered."""
    totals = dict.fromkeys(MessageState, 0)
    totals |= {MessageState.QUEUED: queued, MessageState.DELIVERED: 1000 - queued}
    return Overview(
        **{
            "id": id_,
            "name": "Spring",
            "account": "main",
            "state": CampaignState.RUNNING,
            "recipient_count": 1000,
            "totals": totals,
            "segment_count": 0,
            "costs": [],
            "unpriced_count": 0,
            "currency": "EUR",
            "created_at": datetime.now(UTC),
            "finished_at": None,
            "refused": {},
            "noted": {},
            "held": None,
            "trouble": None,
            "send_at": None,
            "not_after": None,
            "is_waiting": False,
            "hold": None,
            "reasons": [],
            "status_lag": None,
            "owner": "",
            "needs_approval": False,
            "follow_up_of": None,
        }
        | more
    )


def working(**more: Any) -> shapes.Working:
    nothing = {"last_tick_at": None, "worker_seen_at": None, "worker_count": 0, "due_since": None}
    return shapes.Working(**nothing | {"trouble": None} | more)


def shown(paces: top.Paces, *overviews: Overview, most: int = 10, **of_work: Any) -> str:
    text = StringIO()
    console = Console(file=text, width=200)
    console.print(top.picture(overviews, working(**of_work), paces, most=most))
    return text.getvalue()


def test_pace_and_time_left_are_those_of_the_last_looks() -> None:
    paces = top.Paces()
    for second in range(30):
        paces.look(float(second), [overview(900 - 10 * second)])
    assert paces.per_second(ID) == 10
    assert paces.per_second(uuid4()) is None
    said = shown(paces, overview(610))
    assert "610 wait   10/s" in said
    assert "39.0 %" in said
    assert "61 s" in said


def test_what_is_wrong_is_said() -> None:
    said = shown(
        top.Paces(), overview(9, held="no money\x1b[2J"), trouble="no tick for 94 s: is beat running?"
    )
    assert "no tick for 94 s" in said
    assert "no money" in said
    assert "\x1b[2J" not in said
    assert "running (on hold)" in said
    many = [overview(9, id_=uuid4()) for _ in range(5)]
    assert "and 3 more" in shown(top.Paces(), *many, most=2)
    assert "campaigns submit --help" in shown(top.Paces())


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal to type in. Gives the side of the person."""
    person, ours = pty.openpty()
    stdin = SimpleNamespace(isatty=lambda: True, fileno=lambda: ours)
    monkeypatch.setattr(top.sys, "stdin", stdin)
    before = termios.tcgetattr(ours)
    yield person
    assert termios.tcgetattr(ours) == before, "the terminal is left as it was"
    os.close(person)
    os.close(ours)


async def test_q_ends_it_and_an_answer_that_fails_does_not(
    terminal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it shows stays up to date; the database may be away for a while."""
    looks = 0

    async def newest(_most: int, *, is_open: bool) -> list[Overview]:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise CampaignError("the database is away")
        if looks == 3:
            os.write(terminal, b"xq")
        return [overview(100 - looks, costs=[], currency=None)] if is_open else []

    async def found() -> shapes.Working:
        return working(worker_count=1, last_tick_at=datetime.now(UTC))

    text = StringIO()
    monkeypatch.setattr(top, "out", Console(file=text, force_terminal=True, width=160, height=20))
    monkeypatch.setattr(top, "_LOOK_SECONDS", 0.01)
    async with asyncio.timeout(20):
        await top._live(SimpleNamespace(newest=newest, working=found))  # type: ignore[arg-type]
    assert looks >= 3
    assert "the database is away" in text.getvalue()
    assert "1 worker(s), last tick 0 s ago" in text.getvalue()
