"""A wire that shows a paid request, for an operator who wants to see it before it costs anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from campaigns.providers.wire import MAX_ANSWER_BYTES, Answered, HandOverResult, NeverLeft, Wire


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A paid request as it would go out: holds secrets, a number and a text."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    data: bytes = field(repr=False)


class Rehearsal(Wire):
    """Keeps the paid request it is given. Lets it leave only where it `sends`; questions always leave."""

    def __init__(self, *, sends: bool) -> None:
        super().__init__()
        self._sends = sends
        self.request: Rehearsed | None = None
        self.status: int | None = None
        """The HTTP status it was answered with; None where it was not."""

    async def hand_over(
        self,
        method: str,
        url: str,
        *,
        timeout_seconds: float,
        leave_by: float,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> HandOverResult:
        """As `Wire.hand_over`, where it sends; else NeverLeft."""
        self.request = Rehearsed(method, url, headers or {}, data or b"")
        if not self._sends:
            return NeverLeft("it was only shown")
        result = await super().hand_over(
            method,
            url,
            timeout_seconds=timeout_seconds,
            leave_by=leave_by,
            headers=headers,
            data=data,
            max_bytes=max_bytes,
        )
        if isinstance(result, Answered):
            self.status = result.status
        return result
