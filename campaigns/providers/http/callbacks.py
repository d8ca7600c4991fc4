"""A callback as a document: a query, a form or JSON, whichever came. Pure."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from campaigns.domain.provider import Callback, CallbackRefused
from campaigns.providers.http.answers import load
from campaigns.providers.http.pointers import Document


def document_of(callback: Callback) -> Document:
    """What a callback says. Raises CallbackRefused: no method of a callback, or nothing that can be read."""
    if callback.method == "GET":
        return _of_pairs(callback.query)
    if callback.method != "POST":
        raise CallbackRefused(405, "callbacks come by GET or POST")
    if callback.body.lstrip()[:1] in (b"{", b"["):
        document = load(callback.body)
        if document.root is None:
            raise CallbackRefused(400, "the callback is not JSON")
        return document
    try:
        return _of_pairs(parse_qsl(callback.body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise CallbackRefused(400, "the callback's form cannot be decoded") from None


def _of_pairs(pairs: Iterable[tuple[str, str]]) -> Document:
    fields: dict[str, str] = {}
    for name, value in pairs:
        if name in fields:
            raise CallbackRefused(400, "the callback has a field twice")
        fields[name] = value
    return Document(fields, fields, "")
