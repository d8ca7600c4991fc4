"""A link to PostgreSQL that can be cut, mended, and made to lose an answer on the way back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit


class Link:
    """A TCP port on 127.0.0.1 that leads to a PostgreSQL on a unix socket."""

    def __init__(self, database_url: str) -> None:
        self._target = urlsplit(database_url)
        where = parse_qs(self._target.query)
        self._socket = f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}"
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self._loses_answer_to: bytes | None = None
        self.url = ""
        self.refused_count = 0
        self.lost_count = 0

    def cut(self) -> None:
        """Close every connection; refuse new ones until `mend`."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def lose_answer_to(self, words: bytes) -> None:
        """The next statement with `words` is carried out, and the connection closed instead of the answer."""
        self._loses_answer_to = words

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.url = self._target._replace(netloc=f"postgres@127.0.0.1:{port}", query="").geturl()
        return server

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(*self._pumps)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            self.refused_count += 1
            writer.transport.abort()
            return
        there, back = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, back}
        said = bytearray()
        for pump in (self._ask(reader, back, said), self._answer(there, writer, said)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytearray) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                said[:] = data
                writer.write(data)
        writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytearray
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if self._loses_answer_to is not None and self._loses_answer_to in said:
                    self._loses_answer_to = None
                    self.lost_count += 1
                    writer.transport.abort()
                    break
                writer.write(data)
        writer.close()


@asynccontextmanager
async def link(database_url: str) -> AsyncIterator[Link]:
    """A link to a database for the length of a test."""
    made = Link(database_url)
    server = await made.serve()
    try:
        yield made
    finally:
        server.close()
        await made.close()
        await server.wait_closed()
