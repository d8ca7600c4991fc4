"""A form as a customer sends it."""

from urllib.parse import parse_qsl

from aiohttp import web

from simulator.reading import Unreadable


def read_form(request: web.Request, body: bytes) -> dict[str, str]:
    """The fields of a form. Raises Unreadable: no form, one that cannot be decoded, a field given twice."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Unreadable("a form is expected", 415)
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict"
        )
    except ValueError:  # those of Unicode are; their message would quote what was sent
        raise Unreadable("the form cannot be decoded") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Unreadable("a field is given twice")
    return fields
