"""LightSMS's clock, which every signature holds a moment of. Sources are named as in `adapter.py`."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from campaigns.providers.base import NoAnswer, expect_success
from campaigns.providers.documents import text_of
from campaigns.providers.wire import Wire

_GOOD_SECONDS = 300.0  # how long a learned clock is good for
_ROUND_TRIP_SECONDS = 3.0  # learning may put us behind by so much and one second more
_DRIFT_SECONDS = 2.0  # wall and monotonic clock apart by more: the machine slept or was set
_MOMENT = re.compile("[0-9]{9,11}")


@dataclass(slots=True)
class ClockReading:
    """Their clock, as it was learned once."""

    ahead_seconds: float  # of our monotonic clock
    learned_at: float  # by our monotonic clock
    wall_ahead_seconds: float  # our own wall clock before our monotonic one, at that moment
    follows_refusal: bool  # learned because a signature was refused, and not believed since
    doubted: bool = False


class Clock:
    """Their clock as we know it. Takes `url`, of timestamp.php, and our own clocks, wall and monotonic.

    Promises: made inside the loop of its `wire`; any number of tasks may use it at once.
    """

    def __init__(
        self,
        wire: Wire,
        url: str,
        timeout_seconds: float,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._wall = wall
        self._monotonic = monotonic
        self._learning = asyncio.Lock()
        self._failure: tuple[float, str] | None = None  # when learning last failed, and why
        self._refused = False  # a signature was refused and none believed since
        self.reading: ClockReading | None = None

    def moment(self, reading: ClockReading) -> int:
        """What that clock shows now, in whole seconds."""
        return int(self._monotonic() + reading.ahead_seconds)

    async def learn(self) -> ClockReading:
        """A reading that is neither old nor doubted. One question however many ask. Raises NoAnswer."""
        asked_at = self._monotonic()
        async with self._learning:
            now, reading = self._monotonic(), self.reading
            if (
                reading is not None
                and not reading.doubted
                and now - reading.learned_at < _GOOD_SECONDS
                and abs(self._wall() - now - reading.wall_ahead_seconds) < _DRIFT_SECONDS
            ):
                return reading
            if self._failure is not None and self._failure[0] >= asked_at:
                raise NoAnswer(self._failure[1])  # it failed while we waited: that was our answer too
            try:
                self.reading = await self._learn()
            except NoAnswer as failure:
                self._failure = (self._monotonic(), str(failure))
                raise
            return self.reading

    async def _learn(self) -> ClockReading:
        before = self._monotonic()
        result = await self._wire.ask(self._url, timeout_seconds=self._timeout_seconds, max_bytes=4096)
        now = self._monotonic()
        answer = expect_success("LightSMS", result, self._wall())
        try:
            said = text_of(answer.body)
        except ValueError:
            said = ""
        if not _MOMENT.fullmatch(said):
            raise NoAnswer("LightSMS's clock cannot be read")
        if now - before > _ROUND_TRIP_SECONDS:
            raise NoAnswer("LightSMS answers too slowly to set a clock by")
        # Counted from the moment the answer was here, so we are never ahead of them: a timestamp of the
        # past is good for 10 s, of the future they say nothing. Kept against the monotonic clock, which
        # nobody sets; where it runs away from the wall clock, `learn` asks anew.
        return ClockReading(int(said) - now, now, self._wall() - now, self._refused)

    def refused(self, signed_by: ClockReading) -> bool:
        """Note that a signature was refused; whether that says the credentials are at fault."""
        if signed_by is not self.reading:
            return False  # an answer to a signature of before: the clock in use was learned since
        signed_by.doubted = True
        self._refused = True
        return signed_by.follows_refusal

    def believed(self, signed_by: ClockReading) -> None:
        """Note that a signature was accepted."""
        if signed_by is self.reading:
            self._refused = signed_by.follows_refusal = False
