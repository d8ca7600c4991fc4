"""Loaded by schemathesis (`SCHEMATHESIS_HOOKS`): with which keys it asks, and what makes a request one
that can be carried out. It knows the document alone.
"""

import itertools
import os
from typing import Any

import schemathesis
from schemathesis import GenerationMode

KEYS = itertools.cycle(os.environ["KEYS"].split(","))
NUMBERS = itertools.count(1)


@schemathesis.auth(refresh_interval=None)
class Keys:
    """A key has a rate; many have more."""

    def get(self, _case: Any, _context: Any) -> str:
        return next(KEYS)

    def set(self, case: Any, data: str, _context: Any) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.serializer("application/jsonl", "application/x-ndjson")
def as_text(_context: Any, value: Any) -> bytes:
    """A body that the document calls a text."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """An address of its own for each request: one that shows wrong keys has to wait. And where all is as the
    document wants it, an account that there is and numbers that there may be.
    """
    number = next(NUMBERS)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    body = case.body
    if (
        case.meta is None
        or case.meta.generation.mode is not GenerationMode.POSITIVE
        or not isinstance(body, dict)
    ):
        return
    phones = [f"+3706{(number * 7 + n) % 10_000_000:07d}" for n in range(3)]
    if "recipients" in body:
        body |= {"account": "main", "text": "Hello", "recipients": [{"phone": phone} for phone in phones]}
        case.query.clear()
        for name in ("region", "send_at", "not_after", "phone_column", "sender_id"):
            body.pop(name, None)
    if "phones" in body:
        body["phones"] = phones
    if "url" in body:
        body["url"] = "https://93.184.216.34/hook"
