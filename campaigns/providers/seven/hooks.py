"""What seven.io keeps of where to call back: its hooks, of which an account may have many.

Sources are named as in `adapter.py`. Nothing of others' is ever removed or changed.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import urlencode

from campaigns.domain.errors import ProviderRefused
from campaigns.providers.base import expect_answer
from campaigns.providers.documents import field_of
from campaigns.providers.seven.access import Access
from campaigns.providers.seven.answers import CODES, load, top_code
from campaigns.providers.wire import Wire

_KNOWN_SECONDS = 600.0  # how long a hook that is there is believed to stay
_MISSING_SECONDS = 60.0  # before a hook that is not there is looked for again
_EVENTS = frozenset({"dlr", "all"})
_LONGEST_SECONDS = 5.0  # batches wait for this before they are handed over
_OFF = (False, "0", "false")  # numbers are read as text


class Hooks:
    """The hooks of one account. Takes `root`, everything before `/hooks`. Any number may ask at once: the
    answer about an address is remembered for ten minutes where it is yes, else for one.
    """

    def __init__(
        self,
        wire: Wire,
        root: str,
        access: Access,
        timeout_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._url = f"{root}/hooks"
        self._access = access
        self._timeout_seconds = min(timeout_seconds, _LONGEST_SECONDS)
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._known: dict[str, tuple[float, bool | ProviderRefused]] = {}  # until when, by address

    async def are_registered(self, url: str) -> bool:
        """Whether a hook that is on brings every delivery report to `url`. Raises ProviderRefused."""
        async with self._asking:
            until, known = self._known.get(url, (0.0, False))
            if self._monotonic() >= until:
                try:
                    known = await self._look(url)
                except ProviderRefused as refused:
                    known = refused
                lasts = _KNOWN_SECONDS if known is True else _MISSING_SECONDS
                self._known = {url: (self._monotonic() + lasts, known)}
            if isinstance(known, ProviderRefused):
                raise ProviderRefused(str(known))
            return known

    async def register(self, url: str) -> bool:
        """Add a hook for delivery reports, as JSON; False: there is one already. Raises ProviderRefused."""
        if await self._look(url):
            return False
        fields = {"target_url": url, "event_type": "dlr", "request_method": "JSON"}
        document = await self._ask("POST", urlencode(fields).encode())
        if field_of(document, "success") is not True:
            raise ProviderRefused("seven.io did not take the address: it must be https and reachable for it")
        self._known = {}
        return True

    async def _look(self, url: str) -> bool:
        document = await self._ask("GET")
        hooks = field_of(document, "hooks") or []
        if field_of(document, "success") is not True or not isinstance(hooks, list):
            raise ProviderRefused("seven.io's list of hooks cannot be read")
        return any(
            field_of(hook, "target_url") == url
            and field_of(hook, "event_type") in _EVENTS
            and not field_of(hook, "event_filter")
            and field_of(hook, "enabled") not in _OFF
            for hook in hooks
        )

    async def _ask(self, method: str, form: bytes = b"") -> object:
        headers = self._access.headers(method, self._url, form)
        if form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        result = await self._wire.ask(
            self._url,
            method=method,
            timeout_seconds=self._timeout_seconds,
            headers=headers,
            data=form or None,
            once=method != "GET",  # a second pass would be a second hook
        )
        answer = expect_answer("seven.io", result)
        if not 200 <= answer.status < 300:
            raise ProviderRefused(f"seven.io answered HTTP {answer.status}")
        document = load(answer.body)
        code = top_code(document)
        if code is not None:
            reason = CODES[code][1] if code in CODES else "a code their documents do not hold"
            raise ProviderRefused(f"seven.io refused the question: {reason} (code {code})")
        return document
