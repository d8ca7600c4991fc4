"""What every provider does with a request first: decode it, compare secrets."""

import secrets
from urllib.parse import parse_qsl

from aiohttp import web

from simulator.wire import Answer


class Refused(Exception):
    """The whole request is refused with one of the provider's codes."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Unreadable(Exception):
    """No document allows the request, and there is no code for that.

    Takes a sentence that quotes nothing of the request, and the HTTP status it is refused with.
    """

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.status = status

    @property
    def answer(self) -> Answer:
        """The refusal as it is sent: the sentence as plain text."""
        return Answer.of_text(f"{self}\n", self.status)


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that does not depend on where they differ."""
    return secrets.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def read_query(request: web.Request) -> dict[str, str]:
    """The decoded query. Raises Unreadable where it cannot be decoded or names a parameter twice."""
    _, _, raw = request.raw_path.partition("?")
    if not raw:
        return {}
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:  # UnicodeDecodeError is one; its message would quote what was sent
        raise Unreadable("the query cannot be decoded") from None
    query = dict(pairs)
    if len(query) != len(pairs):
        raise Unreadable("a parameter is given twice")
    return query
