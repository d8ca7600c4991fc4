"""The providers over their own wires, on one server, as one account with one ledger.

A message's id is each provider's own spelling of 32 hexadecimal digits. What the documents of a provider
leave open is decided in its file. A field nobody knows is HTTP 400 with a sentence.
"""

import secrets
from functools import partial

from aiohttp import web

from simulator.callbacks import Callbacks
from simulator.faults import Drawn, Endpoint, Faults
from simulator.http import infobip, twilio, vonage
from simulator.http.desk import Desk, Work
from simulator.http.fates import FATES
from simulator.options import Options
from simulator.provider import Provider, Series
from simulator.reading import Unreadable
from simulator.wire import Answer, Wire


class Http(Provider):
    """One account at each of the providers."""

    fates = FATES
    retry_seconds = (60.0, 120.0, 240.0, 480.0)  # Infobip: a minute, and more each time

    @staticmethod
    def new_series() -> Series:
        """Thirty-two hexadecimal digits: the series and the number in it."""
        return Series(secrets.token_hex(12), 8, 16)

    def __init__(self, options: Options, faults: Faults, wire: Wire, callbacks: Callbacks) -> None:
        super().__init__(options, faults, wire, callbacks)
        self._desk = Desk(options, self.ledger, self._series, callbacks)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the paths of every provider to `router`."""
        for method, path, endpoint, work in (*twilio.PATHS, *vonage.PATHS, *infobip.PATHS):
            self._add(router, method, path, endpoint, partial(self._handle, endpoint, work))

    async def _handle(self, endpoint: Endpoint, work: Work, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        return await self._exchange(endpoint, request, partial(self._answer, work, request, body))

    def _answer(self, work: Work, request: web.Request, body: bytes, drawn: Drawn) -> Answer:
        try:
            return work(self._desk, request, body, drawn)
        except Unreadable as unreadable:
            return unreadable.answer
