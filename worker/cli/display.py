"""What an operator sees: tables, a live progress display, plain sentences."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from campaigns import reading
from campaigns.domain.states import SETTLED, MessageState
from campaigns.lazy_imports import lazy_imports
from worker import shapes
from worker.cli.printable import printable
from worker.state_groups import GROUP_OF, GROUPS

with lazy_imports(__name__):  # for what not every campaign has
    from rich import live

    from campaigns import cleaning
    from campaigns.domain import said as saying

if TYPE_CHECKING:
    from campaigns.domain.holds import CampaignHold
    from campaigns.domain.provider import Sighting
    from campaigns.domain.timeline import Step
    from campaigns.store.reading.messages import MessageRow
    from campaigns.store.reading.overviews import Overview
    from campaigns.store.reading.status_lag import StatusLag
    from campaigns.store.reasons import Reason

IN_DOUBT = f"bold {GROUPS[GROUP_OF[MessageState.IN_DOUBT]].colour}"
"""The style of a number of messages in doubt."""


class _StateShown:
    """A state's word. In a terminal with its group's sign before it, in its group's colour: as on the
    dashboard. Elsewhere, for programs, the word alone.
    """

    def __init__(self, state: MessageState, before: Text | None = None) -> None:
        self._group = GROUPS[GROUP_OF[state]]
        self._before = before or Text()
        self._state = state

    def _text(self, options: ConsoleOptions) -> Text:
        is_shown = options.is_terminal and not options.ascii_only
        sign = (f"{self._group.sign} ", self._group.colour) if is_shown else ""
        return Text.assemble(self._before, sign, self._state.value)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._text(options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._text(options))


def is_over(overview: Overview) -> bool:
    """Whether nothing more will happen to a campaign."""
    return overview.finished_at is not None


def campaign(overview: Overview) -> RenderableType:
    """One campaign: how far it is, its messages by state, its cost."""
    settled, total = reading.settled_count(overview), overview.recipient_count
    head = Text.assemble(
        (printable(overview.name), "bold"),
        "  ",
        (str(overview.id), "dim"),
        "  ",
        (overview.state.value, "bold"),
    )
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(total=max(total, 1), completed=settled, width=44), f"{settled} of {total} settled"
    )
    states = Table.grid(padding=(0, 2))
    for state in MessageState:
        count = overview.totals[state]
        if count:
            colour = GROUPS[GROUP_OF[state]].colour
            # Also when all are in this state: rich has another colour for what is whole.
            share = ProgressBar(
                total=max(total, 1), completed=count, width=24, complete_style=colour, finished_style=colour
            )
            states.add_row(_StateShown(state), Text(str(count), justify="right"), share)
    lines: list[RenderableType] = [head, bar, states, Text(_money(overview))]
    if overview.follow_up_of:
        lines.append(Text(f"a follow-up of {overview.follow_up_of}"))
    if overview.is_waiting:
        lines.append(Text(f"waits for its time: nothing is handed over before {_moment(overview.send_at)}"))
    if overview.not_after and not is_over(overview):
        lines.append(Text(f"nothing is handed over after {_moment(overview.not_after)}"))
    if overview.refused:
        lines.append(Text(f"not taken in: {sum(overview.refused.values())}", style="yellow"))
        reasons = Table.grid(padding=(0, 2))
        for reason, count in overview.refused.items():
            reasons.add_row(f"  {reason}", Text(str(count), justify="right"))
        lines.append(reasons)
    if overview.reasons:
        lines.append(Text("why not:", style="red"))
        lines += [Text(f"  {said(each)}") for each in overview.reasons]
    if overview.hold:
        lines += _hold(overview.hold)
    lines.extend(
        Text(f"worth a look: {count} {cleaning.NOTES.get(note, note)}", style="yellow")
        for note, count in overview.noted.items()
    )
    if overview.held:
        lines.append(
            Text(f"account {overview.account} is on hold: {printable(overview.held)}", style="bold red")
        )
    elif overview.trouble and not overview.hold and not is_over(overview):
        lines.append(Text(f"last trouble: {printable(overview.trouble)}", style="yellow"))
    if overview.status_lag is not None:
        lines.append(Text(_lag(overview.status_lag, datetime.now(UTC)), style="yellow"))
    return Group(*lines)


def said(reason: Reason) -> str:
    """A reason that messages have in common, with how many have it."""
    why = reason.reason or "the provider does not say why"
    return printable(f"{reason.count} {why}" + (f" (code {reason.code})" if reason.code else ""))


def _moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else ""


def _hold(hold: CampaignHold) -> list[Text]:
    mend = " --sender-id NAME" if hold.about == "sender" else ""
    return [
        Text(
            f"on hold since {hold.since:%Y-%m-%d %H:%M} UTC: its {hold.about} is refused: "
            + printable(f"{hold.reason} (code {hold.code})"),
            style="bold red",
        ),
        Text(f"  once it is mended: campaigns resume {hold.campaign_id}{mend and f' [{mend.strip()}]'}"),
    ]


def _lag(lag: StatusLag, now: datetime) -> str:
    minutes = max(int((now - lag.oldest_due_at).total_seconds() // 60), 1)
    since = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
    return (
        f"statuses lag: {lag.waiting_count} of {lag.open_count} open messages are due to be asked about, "
        f"the oldest for {since}"
    )


def _money(overview: Overview) -> str:
    priced = sum(cost.message_count for cost in overview.costs)
    some = f" of {priced:,} of {priced + overview.unpriced_count:,} messages"
    partly = some if priced and overview.unpriced_count else ""
    return f"cost {costs_of(overview)}{partly}, {overview.segment_count} segments"


def costs_of(overview: Overview) -> str:
    """The known charges, each currency by itself."""
    amounts = [
        f"{shapes.amount_text(cost.amount)} {cost.currency or ''}".rstrip()
        for cost in reading.costs(overview)
    ]
    return " + ".join(amounts) or "unknown"


def campaigns(overviews: Sequence[Overview]) -> RenderableType:
    """Many campaigns, a line each."""
    table = Table(box=None, pad_edge=False)
    for column in ("id", "name", "account", "state", "settled", "in doubt", "delivered", "cost", "created"):
        table.add_column(column, no_wrap=True)
    refused = {each.id for each in overviews if reading.is_wholly_refused(each)}
    if refused:
        table.add_column("why")
    has_follow_ups = any(overview.follow_up_of for overview in overviews)
    if has_follow_ups:
        table.add_column("follow-up of", no_wrap=True)
    for overview in overviews:
        delivered = overview.totals[MessageState.DELIVERED] + overview.totals[MessageState.READ]
        table.add_row(
            str(overview.id),
            printable(overview.name),
            overview.account,
            state_of(overview),
            f"{reading.settled_count(overview)} of {overview.recipient_count}",
            str(overview.totals[MessageState.IN_DOUBT]),
            str(delivered),
            costs_of(overview),
            overview.created_at.strftime("%Y-%m-%d %H:%M"),
            *([said(overview.reasons[0]) if overview.id in refused else ""] if refused else []),
            *([str(overview.follow_up_of or "")] if has_follow_ups else []),
        )
    return table


def state_of(overview: Overview) -> str:
    """Its state, and whether it is on hold or waits for its time."""
    if overview.held or overview.hold:
        return f"{overview.state.value} (on hold)"
    return f"{overview.state.value} (scheduled)" if overview.is_waiting else overview.state.value


def message(row: MessageRow) -> RenderableType:
    """One message, as we know it."""
    heading = _StateShown(row.state, before=Text.assemble((row.phone, "bold"), "  "))
    price = "no cost known" if row.cost is None else f"cost {shapes.amount_text(row.cost)}"
    money = f"{price} {row.currency or ''}".rstrip() if row.cost is not None else price
    lines = [
        f"campaign {row.campaign_id}, row {row.row}, account {row.account}",
        f"reference {row.reference}",
        f"provider's id {printable(row.provider_message_id or 'unknown')}, "
        f"its word {printable(row.provider_state or 'none')}",
        f"attempt {row.attempt}, {row.segment_count} segment(s), {money}",
        *([f"sent by {printable(row.channel)}"] if row.channel else []),
        *([f"reason: {printable(row.reason)}"] if row.reason else []),
        *(
            [f"changed at the provider {row.provider_changed_at:%Y-%m-%d %H:%M:%S} UTC"]
            if row.provider_changed_at
            else []
        ),
        f"changed {row.updated_at:%Y-%m-%d %H:%M:%S} UTC",
        *(_step(step) for step in row.steps),
    ]
    return Group(heading, *(Text(f"  {line}") for line in lines))


def _step(step: Step) -> str:
    told = (
        step.state.value if step.state else "unknown to us",
        f"attempt {step.attempt}" if step.attempt is not None else "",
        printable(step.provider_state or ""),
        printable(step.provider_message_id or ""),
    )
    source = step.source.value.replace("_", " ")
    return f"{step.at:%Y-%m-%d %H:%M:%S} UTC  {source}: {'  '.join(filter(None, told))}"


def sightings(who: str, seen: Sequence[Sighting]) -> RenderableType:
    """What a provider says of messages, newest first."""
    if not seen:
        return Text(f"{who} says: it has no such message")
    lines = [Text(f"{who} says", style="bold")]
    for each in seen:
        state = each.evidence.value if each.evidence else "unknown to us"
        changed_at = each.changed_at or each.accepted_at
        cost = "" if each.cost is None else f"cost {shapes.amount_text(each.cost)} {each.currency or ''}"
        reason = saying.reason_of(each.code, each.reason)
        told = (
            f"to {each.phone}" if each.phone else "",
            f"reference {each.message_ref}" if each.message_ref else "",
            " ".join(filter(None, (each.service, each.action))),
            f"by {each.channel}" if each.channel else "",
            f"{each.segment_count} segment(s)" if each.segment_count is not None else "",
            cost.rstrip(),
            f"reason: {reason}" if reason else "",
            f"changed {changed_at:%Y-%m-%d %H:%M:%S %Z}" if changed_at else "",
        )
        lines.append(Text(printable(f"{each.provider_message_id}  {each.provider_state}  ({state})")))
        lines += [Text(f"  {printable(line)}") for line in told if line]
    return Group(*lines)


async def watch(
    console: Console,
    look: Callable[[], Awaitable[Overview]],
    pause: Callable[[], Awaitable[None]],
) -> Overview:
    """Show a campaign until it is over: redrawn in a terminal; elsewhere a line for each change."""
    if not console.is_terminal:
        last = ""
        while True:
            overview = await look()
            line = _line(overview)
            if line != last:
                console.print(line, markup=False, highlight=False)
                last = line
            if is_over(overview):
                return overview
            await pause()
    with live.Live(console=console, auto_refresh=False) as picture:
        while True:
            overview = await look()
            picture.update(campaign(overview), refresh=True)
            if is_over(overview):
                return overview
            await pause()


def _line(overview: Overview) -> str:
    counts = " ".join(f"{state.value}={count}" for state, count in overview.totals.items() if count)
    why = overview.hold.reason if overview.hold else overview.held
    return f"{overview.state.value}: {counts}" + (f" (on hold: {printable(why)})" if why else "")


def unsettled_states(overview: Overview) -> dict[str, int]:
    """What a campaign still waits for."""
    return {s.value: n for s, n in overview.totals.items() if n and s not in SETTLED}
