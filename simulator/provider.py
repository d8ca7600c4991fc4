"""What every simulated provider has: an account, a ledger, a series of ids, and the serving of requests."""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from aiohttp import web

from simulator.callbacks import Callbacks
from simulator.fates import Fates
from simulator.faults import Code18Fault, CutFault, Drawn, Endpoint, Faults
from simulator.ledger import Ledger
from simulator.options import Options
from simulator.wire import Answer, Wire

_DELAYED: Final = frozenset({"send", "status", "phone_number", "reference"})  # by Options.latency_seconds


class Series:
    """The ids of one run: a prefix and a sequence number.

    Takes the prefix (random: a provider never gives an id twice, not even after a restart), how many digits
    the number has, and their base, 10 or 16.
    """

    def __init__(self, prefix: str, digits: int, base: int = 10) -> None:
        self._prefix = prefix
        self._form = f"0{digits}{'d' if base == 10 else 'x'}"
        self._base = base
        letters = "0-9" if base == 10 else "0-9a-f"
        self._known = re.compile(f"{re.escape(prefix)}([{letters}]{{{digits}}})")

    def id_of(self, sequence: int) -> str:
        """The id of a sequence number."""
        return f"{self._prefix}{sequence:{self._form}}"

    def sequence_of(self, message_id: str) -> int | None:
        """The sequence number of an id; None: it is not of this run."""
        found = self._known.fullmatch(message_id)
        return int(found[1], self._base) if found else None


class Provider(ABC):
    """One account at one provider. Each provider's own class adds its paths (`add_routes`) and its rules."""

    fates: ClassVar[Fates[Any]]
    retry_seconds: ClassVar[Sequence[float]] = ()
    """The pauses before a callback is tried again."""
    retried_statuses: ClassVar[frozenset[int] | None] = None
    """The HTTP statuses after which a callback is tried again; None: all from 400 on."""

    def __init__(self, options: Options, faults: Faults, wire: Wire, callbacks: Callbacks) -> None:
        self._options = options
        self._faults = faults
        self._wire = wire
        self._callbacks = callbacks
        self._money = options.balance
        self._series = self.new_series()
        self.ledger = Ledger(self._series.id_of)

    @staticmethod
    @abstractmethod
    def new_series() -> Series:
        """The ids of this run, in the provider's form."""

    @abstractmethod
    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add its paths to `router`."""

    def _add(
        self,
        router: web.UrlDispatcher,
        method: str,
        path: str,
        endpoint: Endpoint,
        handle: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> None:
        """Serve a path. The ledger counts every request under `endpoint` first."""

        async def counted(request: web.Request) -> web.StreamResponse:
            self.ledger.requests[endpoint] += 1
            return await handle(request)

        router.add_route(method, path, counted)

    async def _exchange(
        self,
        endpoint: Endpoint,
        request: web.Request,
        work: Callable[[Drawn], Answer],
        concerns: Callable[[Code18Fault], bool] = lambda _fault: False,
    ) -> web.StreamResponse:
        """Answer a request by `work`, as far as the faults it draws allow.

        `concerns` says whether a code18 fault is about this request; without it none is.
        """
        if self._wire.is_doomed(request):
            drawn = Drawn(CutFault(endpoint="*", kind="cut_after"))
        else:
            drawn = self._faults.draw(endpoint, concerns)
        latency_seconds = self._options.latency_seconds if endpoint in _DELAYED else 0.0
        return await self._wire.exchange(request, drawn, partial(work, drawn), latency_seconds)


def concerns_ids(ids: Sequence[str], is_unknown: Callable[[str], bool], fault: Code18Fault) -> bool:
    """Whether a code18 fault is about a question for these ids."""
    if fault.poison is None:
        return len(ids) > 1
    if fault.poison == "unknown":
        return any(map(is_unknown, ids))
    return fault.poison in ids
