"""How much may be submitted: so many recipients a day, so many segments a month. Pure.

Segments and not money: they are what providers charge for, and are known to the last one when a campaign is
taken in; what each cost is known days later, at some providers never. Days and months are those of UTC.
"""

from datetime import UTC, datetime, timedelta

from campaigns.domain.errors import OverAllowance
from campaigns.domain.values import value


@value
class Allowance:
    """What a key of the API, or an account, allows. All keys of an owner are counted together, so that a new
    key begins no new budget. None: any number.
    """

    recipients_per_day: int | None = None
    segments_per_month: int | None = None
    approval_above: int | None = None  # segments of a campaign: one of more waits for somebody's approval

    @property
    def is_bounded(self) -> bool:
        """Whether it matters what was submitted before."""
        return self.recipients_per_day is not None or self.segments_per_month is not None

    def exceeds(self, other: "Allowance") -> bool:
        """Whether this one allows anything that the other does not."""
        pairs = (
            (self.recipients_per_day, other.recipients_per_day),
            (self.segments_per_month, other.segments_per_month),
            (self.approval_above, other.approval_above),
        )
        return any(most is not None and (own is None or own > most) for own, most in pairs)


UNBOUNDED = Allowance()


@value
class Used:
    """Recipients since the day began, and segments since the month began; or those of one submission."""

    recipients: int
    segments: int


def check(whose: str, allowance: Allowance, used: Used, wanted: Used, now: datetime) -> None:
    """Raises OverAllowance where what is wanted is more than is left. `whose`: its subject."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for most, taken, more, what, ends_at in (
        (
            allowance.recipients_per_day,
            used.recipients,
            wanted.recipients,
            "recipients a day",
            day + timedelta(days=1),
        ),
        (
            allowance.segments_per_month,
            used.segments,
            wanted.segments,
            "segments a month",
            (day.replace(day=1) + timedelta(days=31)).replace(day=1),
        ),
    ):
        if most is None or taken + more <= most:
            continue
        raise OverAllowance(
            f"{whose} may submit {most} {what} (UTC), of which {max(0, most - taken)} are left, and this has "
            f"{more}: nothing was stored",
            # What is more than all of it fits on no day.
            retry_after_seconds=None if more > most else max(1, round((ends_at - now).total_seconds())),
        )
