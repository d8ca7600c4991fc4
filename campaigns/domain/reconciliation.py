"""A provider's own month beside ours, by day: what differs, and what may explain it. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum

from campaigns.domain.provider import DayStatistics
from campaigns.domain.values import value


class Why(StrEnum):
    """What may explain a difference."""

    UNSURE = "unsure"  # in doubt or unknown: the provider may have them
    OPEN = "open"  # taken, and no final status yet: a provider may count what came to its end
    UNPRICED = "unpriced"  # taken, and no cost was named
    CURRENCY = "currency"  # charged in several currencies, or in one that is not known
    MIDNIGHT = "midnight"  # the day before or after differs by as much the other way
    OTHER = "other"  # nothing that we know of


@value
class Ours:
    """What we know of a day: messages that the provider took, their segments and cost; those that it may
    have, and those whose end is not known.
    """

    message_count: int = 0
    segment_count: int = 0
    cost: Decimal = Decimal(0)
    unpriced_count: int = 0
    open_segment_count: int = 0
    unsure_segment_count: int = 0
    has_one_currency: bool = True


@value
class Theirs:
    """What the provider says of a day, over all its status words."""

    segment_count: int = 0
    cost: Decimal = Decimal(0)


@value
class Explanation:
    """What may explain a difference, of how many segments (of messages, where costs are not known; None: that
    is not said), in a sentence.
    """

    why: Why
    count: int | None
    sentence: str


@value
class Day:
    """A day as both have it. `theirs` None: the provider tells nothing by day. Differences are theirs less
    ours; None where they cannot be told.
    """

    day: date
    ours: Ours
    theirs: Theirs | None
    segment_difference: int | None
    cost_difference: Decimal | None
    explanations: Sequence[Explanation]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs that can be compared."""
        return not self.segment_difference and not self.cost_difference


def reconcile(ours: Mapping[date, Ours], theirs: Iterable[DayStatistics] | None) -> list[Day]:
    """The days of both, in order. Takes what we know by day, and what the provider says (None: it has no
    month of its own). A line of the provider's whose day cannot be read is passed over.
    """
    said = None if theirs is None else _by_day(theirs)
    days = sorted({*ours, *(said or {})})
    nothing = Theirs()
    pairs = [(day, ours.get(day, Ours()), None if said is None else said.get(day, nothing)) for day in days]
    differences = {
        day: 0 if other is None else other.segment_count - own.segment_count for day, own, other in pairs
    }
    return [
        Day(
            day,
            own,
            other,
            None if other is None else differences[day],
            _cost_difference(own, other),
            [] if other is None else list(_explanations(day, own, other, differences)),
        )
        for day, own, other in pairs
    ]


def _by_day(lines: Iterable[DayStatistics]) -> dict[date, Theirs]:
    found: dict[date, Theirs] = {}
    for line in lines:
        try:
            day = date.fromisoformat(line.date)
        except ValueError:
            continue
        before = found.get(day, Theirs())
        found[day] = Theirs(before.segment_count + line.segment_count, before.cost + line.cost)
    return found


def _cost_difference(ours: Ours, theirs: Theirs | None) -> Decimal | None:
    if theirs is None or not ours.has_one_currency or (ours.unpriced_count and not ours.cost):
        return None
    return theirs.cost - ours.cost


def _explanations(
    day: date, ours: Ours, theirs: Theirs, differences: Mapping[date, int]
) -> Iterator[Explanation]:
    difference = differences[day]
    cost_difference = _cost_difference(ours, theirs)
    is_explained = False
    if difference > 0 and ours.unsure_segment_count:
        sent = min(difference, ours.unsure_segment_count)
        yield Explanation(
            Why.UNSURE,
            sent,
            f"{ours.unsure_segment_count} parts are in doubt or unknown: {sent} of them were probably sent",
        )
        is_explained = sent == difference
    if difference < 0 and ours.open_segment_count:
        yield Explanation(
            Why.OPEN,
            ours.open_segment_count,
            f"{ours.open_segment_count} parts have no final status yet: their receipts are late, and a "
            "provider may count a message only when it has come to its end",
        )
        is_explained = ours.open_segment_count >= -difference
    if difference and -difference in _neighbours(day, differences):
        yield Explanation(
            Why.MIDNIGHT,
            None,
            "the day beside it differs by as much the other way: ours are days in UTC, theirs may begin at "
            "another hour",
        )
        is_explained = True
    if ours.unpriced_count and cost_difference != 0:
        yield Explanation(
            Why.UNPRICED,
            ours.unpriced_count,
            f"the provider named no cost for {ours.unpriced_count} messages",
        )
        is_explained = is_explained or not difference
    if not ours.has_one_currency:
        yield Explanation(
            Why.CURRENCY, None, "costs were named in several currencies, or in none: they are not compared"
        )
    if (difference or cost_difference) and not is_explained:
        yield Explanation(
            Why.OTHER,
            None,
            "nothing we know of explains all of it: was something else sent through the account, or were "
            "parts or prices counted otherwise?",
        )


def _neighbours(day: date, differences: Mapping[date, int]) -> Iterator[int]:
    for other in (day.toordinal() - 1, day.toordinal() + 1):
        yield differences.get(date.fromordinal(other), 0)
