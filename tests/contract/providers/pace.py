"""The pace of an account, as an adapter waits for it before each question."""

from campaigns.domain.provider import PaceUsedUp


async def at_once() -> None:
    """The pace allows it."""


class Pace:
    """Allows `most` requests and counts them; for any further one there are `wait_seconds` to wait."""

    def __init__(self, most: int = 10**6, wait_seconds: float = 7.0) -> None:
        self.count = 0
        self._most = most
        self._wait_seconds = wait_seconds

    async def __call__(self) -> None:
        if self.count >= self._most:
            raise PaceUsedUp(self._wait_seconds)
        self.count += 1
