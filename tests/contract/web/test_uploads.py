"""A body on its way from a real socket to a thread: whole, bounded, and given up in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from tests.waiting import until
from worker.web import uploads
from worker.web.uploads import Busy, LargeSubmissions, Upload, UploadFailed

Handle = Callable[[Upload], Awaitable[str]]


class Served:
    """What a handler made of each body: its answer, or the refusal."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.url = ""


@asynccontextmanager
async def serving(handle: Handle, **bounds: float) -> AsyncIterator[Served]:
    served = Served()

    async def post(request: web.Request) -> web.Response:
        upload = Upload(request.content.readany, **bounds)  # type: ignore[arg-type]
        try:
            outcome = await handle(upload)
        except UploadFailed as failed:
            outcome = f"{failed.status} {failed}"
        served.outcomes.append(outcome)
        return web.Response(text=outcome)

    application = web.Application()
    application.router.add_post("/", post)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()


async def in_a_thread(upload: Upload) -> str:
    """The length of what a thread reads."""
    length = await asyncio.to_thread(lambda: sum(map(len, upload.pieces())))
    return str(length)


async def send(url: str, *pieces: bytes, length: int) -> asyncio.StreamWriter:
    """Begin a POST of `length` bytes, and send some of them."""
    address = urlsplit(url)
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode() + b"".join(pieces))
    await writer.drain()
    return writer


async def outcome_of(served: Served) -> str:
    async def look() -> str:
        return served.outcomes[0] if served.outcomes else ""

    found: str = await until(look, "the body has an outcome")
    return found


async def test_a_thread_gets_all_of_it() -> None:
    async with serving(in_a_thread) as served:
        writer = await send(served.url, b"x" * 3_000_000, length=3_000_000)
        assert await outcome_of(served) == "3000000"
        writer.close()


async def test_a_client_is_read_no_faster_than_its_rows_are_used() -> None:
    use = asyncio.Event()

    async def slowly(upload: Upload) -> str:
        first = await upload.next()
        await use.wait()
        return str(len(first) + len(await upload.whole()))

    async with serving(slowly) as served:
        length = 64 * 1024 * 1024
        sending = asyncio.create_task(send(served.url, b"x" * length, length=length))
        with pytest.raises(TimeoutError):  # buffers of the kernel are full, and ours hold little
            await asyncio.wait_for(asyncio.shield(sending), 0.5)
        assert not served.outcomes
        use.set()
        assert await outcome_of(served) == str(length)
        (await sending).close()


async def test_a_body_of_which_nothing_comes_is_given_up() -> None:
    async with serving(in_a_thread, idle_seconds=0.05) as served:
        writer = await send(served.url, b"phone\n", length=100)
        assert (await outcome_of(served)).startswith("408 nothing of the body came for 0.05 s")
        writer.close()


async def test_a_client_that_hangs_up_is_no_end_of_the_body() -> None:
    async with serving(in_a_thread) as served:
        writer = await send(served.url, b"phone\n", length=100)
        writer.close()
        assert (await outcome_of(served)).startswith("400 the body did not come whole")


async def test_a_body_beyond_its_bound_is_refused() -> None:
    async with serving(in_a_thread, most_bytes=99) as served:
        writer = await send(served.url, b"x" * 100, length=100)
        assert await outcome_of(served) == "413 the body has more than 99 bytes"
        writer.close()


async def test_a_thread_that_waits_goes_on_once_its_body_is_given_up() -> None:
    async def cancelled(upload: Upload) -> str:
        waiting = asyncio.create_task(in_a_thread(upload))
        await upload_waits(upload)
        upload.give_up()
        return await waiting

    async def upload_waits(upload: Upload) -> None:
        async def look() -> bool:
            return upload._reading is not None

        await until(look, "the thread waits for a piece")

    async with serving(cancelled) as served:
        writer = await send(served.url, length=100)
        assert (await outcome_of(served)).startswith("400")
        writer.close()


async def test_a_body_that_drips_is_given_up_however_regularly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(uploads, "_LEAST_BYTES_PER_SECOND", 1_000_000)

    async def drip() -> bytes:
        await asyncio.sleep(0)
        return b"x"

    with pytest.raises(UploadFailed, match="less than 1000000 bytes a second") as failed:
        await Upload(drip).whole()
    assert failed.value.status == 408


async def test_the_time_that_a_client_waits_for_us_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(uploads, "_LEAST_BYTES_PER_SECOND", 1_000_000)

    async def at_once() -> bytes:
        return b"x"

    upload = Upload(at_once)
    began_at = asyncio.get_running_loop().time()

    async def is_over() -> bool:
        return asyncio.get_running_loop().time() - began_at > 0.1

    await until(is_over, "our own work takes longer than the patience")
    assert await upload.next() == b"x"


async def test_there_are_so_many_large_submissions_and_no_more() -> None:
    large = LargeSubmissions(2)
    with large.slot(), large.slot():
        with pytest.raises(Busy), large.slot():
            pass
        assert await asyncio.get_running_loop().run_in_executor(large.threads, lambda: 7) == 7
    with large.slot():
        pass
    large.close()
