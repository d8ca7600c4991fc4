"""`campaigns top`: what is under way, live: who works, how fast each campaign goes, and what is wrong."""

import asyncio
import os
import sys
import termios
import tty
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from campaigns import reading
from campaigns.domain.errors import CampaignError
from campaigns.domain.states import SENDABLE, MessageState
from campaigns.store.reading.overviews import Overview
from campaigns.watching import seconds_text
from worker import shapes
from worker.cli import display
from worker.cli.backend.backend import Backend
from worker.cli.printable import printable
from worker.cli.terminal import out, use

_LOOK_SECONDS = 1.0  # between two pictures
_RATE_LOOKS = 10  # pictures over which the pace is told
_MOST = 100  # how many campaigns are looked at
_BESIDE_ROWS = 6  # lines of a screen that are no campaign's


class Paces:
    """How fast campaigns left their queues over the last pictures."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, dict[UUID, int]]] = deque(maxlen=_RATE_LOOKS)

    def look(self, moment: float, overviews: Sequence[Overview]) -> None:
        """Take a picture, at a moment in seconds."""
        self._looks.append((moment, {each.id: each.totals[MessageState.QUEUED] for each in overviews}))

    def per_second(self, campaign_id: UUID) -> float | None:
        """Messages a second; None: it was seen once, or not at all."""
        known = [(moment, queued[campaign_id]) for moment, queued in self._looks if campaign_id in queued]
        if len(known) < 2:
            return None
        (began_at, before), (ended_at, after) = known[0], known[-1]
        return max(0, before - after) / (ended_at - began_at)


def top(
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
) -> None:
    """What is under way, looked at once a second; q or Ctrl-C ends it."""

    async def work(backend: Backend) -> None:
        if once or not out.is_terminal:
            now = asyncio.get_running_loop().time()
            paces, overviews = Paces(), await backend.newest(_MOST, is_open=True)
            paces.look(now, overviews)
            out.print(picture(overviews, await backend.working(), paces, most=_MOST))
        else:
            await _live(backend)

    use(work)


async def _live(backend: Backend) -> None:
    from rich.live import Live  # noqa: PLC0415  only here, and it costs start-up time

    paces, clock = Paces(), asyncio.get_running_loop().time
    with _quitting() as quits, Live(console=out, screen=True, auto_refresh=False) as live:
        quitting = asyncio.create_task(quits.wait())
        while not quitting.done():
            began_at = clock()
            try:
                overviews = await backend.newest(_MOST, is_open=True)
                working = await backend.working()
            except CampaignError as error:  # it may be back a moment later, and is looked for
                live.update(Text(printable(str(error)), style="red"), refresh=True)
            else:
                paces.look(clock(), overviews)
                shown = picture(overviews, working, paces, most=max(1, out.height - _BESIDE_ROWS))
                live.update(shown, refresh=True)
            rest = max(0.0, began_at + _LOOK_SECONDS - clock())
            await asyncio.wait([quitting], timeout=rest)


@contextmanager
def _quitting() -> Iterator[asyncio.Event]:
    """An event that is set when somebody presses q, for the length of the block."""
    quits, loop = asyncio.Event(), asyncio.get_running_loop()
    if not sys.stdin.isatty():
        yield quits
        return
    file = sys.stdin.fileno()
    before = termios.tcgetattr(file)

    def read() -> None:
        pressed = os.read(file, 64)
        if not pressed or b"q" in pressed.lower():
            quits.set()

    tty.setcbreak(file)
    loop.add_reader(file, read)
    try:
        yield quits
    finally:
        loop.remove_reader(file)
        termios.tcsetattr(file, termios.TCSADRAIN, before)


def picture(
    overviews: Sequence[Overview], working: shapes.Working, paces: Paces, *, most: int
) -> RenderableType:
    """What is shown: who works, what is wrong, and at most so many campaigns."""
    rates = {each.id: paces.per_second(each.id) for each in overviews}
    waiting = sum(each.totals[MessageState.QUEUED] for each in overviews)
    doubt = sum(each.totals[MessageState.IN_DOUBT] for each in overviews)
    whole = sum(rate for rate in rates.values() if rate is not None)
    tick = "no tick yet"
    if working.last_tick_at is not None:
        tick = f"last tick {seconds_text((datetime.now(UTC) - working.last_tick_at).total_seconds())} ago"
    head = Text.assemble(
        (f"{len(overviews)} under way", "bold"),
        f"   {waiting} wait   {whole:.0f}/s   ",
        (f"{doubt} in doubt", display.IN_DOUBT if doubt else ""),
        f"   {working.worker_count} worker(s), {tick}",
    )
    lines: list[RenderableType] = [head]
    if working.trouble:
        lines.append(Text(printable(working.trouble), style="red"))
    if not overviews:
        lines.append(Text("nothing is under way: campaigns submit --help"))
        return Group(*lines)
    table = Table(box=None, pad_edge=False)
    for column in ("name", "account", "state", "", "settled", "a second", "left", "in doubt", "cost", "why"):
        table.add_column(column, no_wrap=True)
    for each in overviews[:most]:
        table.add_row(*_row(each, rates[each.id]))
    lines.append(table)
    if len(overviews) > most:
        lines.append(Text(f"and {len(overviews) - most} more: campaigns list", style="dim"))
    return Group(*lines)


def _row(overview: Overview, rate: float | None) -> list[RenderableType]:
    settled, total = reading.settled_count(overview), max(overview.recipient_count, 1)
    queued = overview.totals[MessageState.QUEUED]
    left = f"{seconds_text(queued / rate)}" if rate and queued and overview.state in SENDABLE else ""
    doubt = overview.totals[MessageState.IN_DOUBT]
    why = overview.hold.reason if overview.hold else overview.held or overview.trouble or ""
    if overview.is_waiting:
        why = "waits for its time"
    return [
        printable(overview.name)[:30],
        overview.account,
        display.state_of(overview),
        ProgressBar(total=total, completed=settled, width=20),
        f"{100 * settled / total:.1f} %",
        "" if rate is None else f"{rate:.0f}",
        left,
        Text(str(doubt or ""), style=display.IN_DOUBT),
        display.costs_of(overview),
        Text(printable(why), style="yellow"),
    ]
