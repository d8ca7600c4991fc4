"""When a campaign may be handed over: from one moment, until another. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from campaigns.domain.errors import SubmissionError

_FARTHEST = timedelta(days=366)
_MOST_LATE = timedelta(hours=24)


class ScheduleError(SubmissionError):
    """A moment that will not do. One sentence: what is wrong with it and how to mend it."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the messages of a campaign may leave. Both moments are aware; None: no bound.

    `send_at`: nothing is handed over before it. `not_after`: nothing is handed over after it.
    """

    send_at: datetime | None = None
    not_after: datetime | None = None

    def words(self) -> list[str]:
        """Both as text, for a hash over what was submitted; nothing where there is no bound."""
        return [] if self == ALWAYS else [str(self.send_at), str(self.not_after)]


ALWAYS = Schedule()


def read_schedule(send_at: str | None, not_after: str | None, zone: str | None = None) -> Schedule:
    """A schedule as people and other programs write it. Takes each as `read_moment` does, None: no bound.

    Raises ScheduleError, which names the moment that will not do.
    """
    moments: list[datetime | None] = []
    for name, typed in (("the time to send", send_at), ("not-after", not_after)):
        try:
            moments.append(None if typed is None else read_moment(typed, zone))
        except ScheduleError as error:
            raise ScheduleError(f"{name} {error}") from error
    return Schedule(*moments)


def read_moment(typed: str, zone: str | None = None) -> datetime:
    """A moment as people type it: ISO 8601, such as 2026-12-01T09:30+02:00.

    Takes `zone`, an IANA name such as Europe/Vilnius, for a moment without an offset of its own. Gives UTC.
    Raises ScheduleError without its subject: not readable, no offset and no zone, or an hour that a change of
    clocks leaves out or repeats.
    """
    try:
        moment = datetime.fromisoformat(typed.strip())
    except (ValueError, AttributeError):  # the second: other programs are not held to our types
        raise ScheduleError("cannot be read: write it as 2026-12-01T09:30+02:00") from None
    if "T" not in typed.upper() and " " not in typed.strip():
        raise ScheduleError("is a day without an hour: write it as 2026-12-01T09:30+02:00")
    if moment.tzinfo is None:
        moment = _in_zone(moment, zone)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ScheduleError("is out of range: check the year") from None


def _in_zone(moment: datetime, zone: str | None) -> datetime:
    if zone is None:
        raise ScheduleError(
            "names no offset from UTC: write it as 2026-12-01T09:30+02:00, "
            "or give a zone such as Europe/Vilnius"
        )
    try:
        there = ZoneInfo(zone)
    except (ValueError, OSError, KeyError, TypeError):  # no zone of that name; KeyError also: no zone data
        raise ScheduleError("cannot be read in that zone: give an IANA name such as Europe/Vilnius") from None
    first, second = moment.replace(tzinfo=there), moment.replace(tzinfo=there, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first
    is_left_out = first.astimezone(UTC).astimezone(there).replace(tzinfo=None) != moment
    trouble = "does not exist there" if is_left_out else "comes twice there"
    raise ScheduleError(f"{trouble}, for the clocks change: give an offset, as in 2026-12-01T09:30+02:00")


def check_schedule(schedule: Schedule, now: datetime) -> None:
    """Refuse moments that cannot be meant. Takes the present moment, aware.

    A start that passed less than a day ago is now: the order waited somewhere. Raises ScheduleError.
    """
    send_at, not_after = schedule.send_at, schedule.not_after
    for name, moment in (("send_at", send_at), ("not_after", not_after)):
        if moment is not None and moment.tzinfo is None:
            raise ScheduleError(f"{name} names no offset from UTC: give an aware moment")
        if moment is not None and moment - now > _FARTHEST:
            raise ScheduleError(f"{name} is more than a year ahead: check the year")
    if send_at is not None and now - send_at > _MOST_LATE:
        raise ScheduleError("send_at passed more than a day ago: check the date, or leave it out to send now")
    if not_after is not None and not_after <= now:
        raise ScheduleError("not_after has passed: nothing of this campaign could be sent")
    if send_at is not None and not_after is not None and not_after <= send_at:
        raise ScheduleError("not_after is not later than send_at: nothing of this campaign could be sent")
