"""Answers that are streamed, part by part, at the pace of whoever reads them."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from worker.web.api.operations import Call

CSV = "text/csv"
_WRITE_SECONDS = 60.0  # for a client to take the next part


def wants_csv(call: Call) -> bool:
    """Whether a client asks for CSV instead of JSON."""
    return any(part.partition(";")[0].strip().lower() == CSV for part in call.accept.split(","))


async def stream(
    call: Call, media_type: str, filename: str, parts: AsyncIterator[bytes]
) -> web.StreamResponse:
    """Answer 200 with `parts` as a file to be saved."""
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{media_type}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{filename}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
    )
    await response.prepare(call.request)
    async for part in parts:
        async with asyncio.timeout(_WRITE_SECONDS):
            await response.write(part)
    await response.write_eof()
    return response
