"""Which connections a request may ride: none on which something came since its last answer."""

import select
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

# Shorter than any server's own patience, a second at least: a batch that rides a connection which the far
# side is just closing is in doubt for nothing. Long enough for a campaign: its next batch goes at once.
_KEEP_ALIVE_SECONDS = 0.5


class Connector(aiohttp.TCPConnector):
    """Gives no connection out again on which something came since its answer: the end, which would cut
    the next request, or bytes, which would be taken for its answer.
    """

    def __init__(self) -> None:
        super().__init__(keepalive_timeout=_KEEP_ALIVE_SECONDS, limit=0)
        self._used: WeakSet[ResponseHandler] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            assert protocol is not None  # noqa: S101  only a connection given back has none
            is_fresh = protocol not in self._used
            self._used.add(protocol)
            if is_fresh or not (protocol.should_close or _has_something(connection)):
                return connection
            connection.close()


def _has_something(connection: Connection) -> bool:
    """Whether something came that our loop did not look at: it may have been busy, or the process stopped."""
    transport = connection.transport
    if transport is None:
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), select.POLLIN)
    return bool(poll.poll(0))
