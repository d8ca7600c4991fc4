"""Moments as people type them, and schedules that can be meant."""

from datetime import UTC, datetime, timedelta

import pytest

from campaigns.domain.schedule import Schedule, ScheduleError, check_schedule, read_moment, read_schedule

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "zone"),
    [
        ("2026-12-01T09:30+02:00", None),
        ("2026-12-01T07:30:00Z", None),
        (" 2026-12-01 09:30 ", "Europe/Vilnius"),
        ("2026-12-01T09:30", "Europe/Vilnius"),
        ("2026-12-01T07:30Z", "America/New_York"),  # its own offset counts
    ],
)
def test_a_moment_is_read_with_its_offset_or_in_a_zone(typed: str, zone: str | None) -> None:
    assert read_moment(typed, zone) == datetime(2026, 12, 1, 7, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "zone", "says"),
    [
        ("tomorrow", None, "cannot be read: write it as"),
        ("", None, "cannot be read: write it as"),
        ("2026-12-01", "Europe/Vilnius", "day without an hour"),  # midnight is nobody's wish
        ("2026-12-01T09:30", None, "names no offset from UTC"),
        ("2026-12-01T09:30", "Vilnius", "IANA name"),
        ("2026-12-01T09:30", "../../etc/passwd", "IANA name"),
        ("2026-12-01T09:30", "", "IANA name"),
        ("2027-03-28T03:30", "Europe/Vilnius", "does not exist there"),
        ("2026-10-25T03:30", "Europe/Vilnius", "comes twice there"),
        ("0001-01-01T00:00+02:00", None, "out of range"),
    ],
)
def test_a_moment_that_is_not_certain_is_refused(typed: str, zone: str | None, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        read_moment(typed, zone)


def test_what_is_no_text_is_refused_and_named() -> None:
    with pytest.raises(ScheduleError, match="the time to send cannot be read"):
        read_schedule(1764408000, None)  # type: ignore[arg-type]
    with pytest.raises(ScheduleError, match="not-after names no offset"):
        read_schedule(None, "2026-12-01T09:30")


@pytest.mark.parametrize(
    ("send_in", "not_after_in", "says"),
    [
        (timedelta(days=-2), None, "passed more than a day ago"),
        (timedelta(days=400), None, "more than a year ahead"),
        (None, timedelta(days=400), "more than a year ahead"),
        (None, timedelta(seconds=-1), "not_after has passed"),
        (timedelta(hours=2), timedelta(hours=1), "not later than send_at"),
        (timedelta(hours=2), timedelta(hours=2), "not later than send_at"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused(
    send_in: timedelta | None, not_after_in: timedelta | None, says: str
) -> None:
    schedule = Schedule(*(None if ahead is None else NOW + ahead for ahead in (send_in, not_after_in)))
    with pytest.raises(ScheduleError, match=says):
        check_schedule(schedule, NOW)


def test_an_order_that_waited_for_an_hour_is_sent_at_once() -> None:
    check_schedule(Schedule(NOW - timedelta(hours=1), NOW + timedelta(hours=1)), NOW)
    check_schedule(Schedule(), NOW)


def test_naive_moments_are_refused() -> None:
    with pytest.raises(ScheduleError, match="send_at names no offset"):
        check_schedule(Schedule(datetime(2026, 12, 1)), NOW)  # noqa: DTZ001  the naive moment is the point
