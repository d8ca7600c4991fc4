"""Every refusal of the API, as RFC 9457 (`application/problem+json`).

A problem says where the mistake is, by a JSON pointer, and never repeats what was sent: that may be a number
or a text, and problems end up in other people's logs.
"""

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, get_args

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from worker.shapes import Shape

MEDIA_TYPE = "application/problem+json"


class Kind(Enum):
    """The problems there are: status, and title. The name is the last part of the type's address."""

    INVALID_REQUEST = (422, "the request cannot be used")
    MALFORMED = (400, "the request cannot be read")
    NO_SUCH_KEY = (401, "there is no such key")
    MISSING_SCOPE = (403, "the key may not do that")
    NOT_FOUND = (404, "there is no such thing")
    METHOD_NOT_ALLOWED = (405, "this method is not allowed here")
    TOO_SLOW = (408, "the body came too slowly")
    NOT_ALLOWED = (409, "its state does not allow that")
    TOO_LARGE = (413, "the body is too large")
    UNSUPPORTED_MEDIA_TYPE = (415, "this kind of body is not taken")
    MISDIRECTED = (421, "this name is not ours")
    SUBMISSION_KEY_REUSED = (422, "the submission key was used before, with other content")
    TOO_MANY_REQUESTS = (429, "too many requests")
    OVER_ALLOWANCE = (429, "more than may be submitted")
    INTERNAL = (500, "this is our mistake")
    PROVIDER_REFUSED = (502, "the provider gave no usable answer")
    BUSY = (503, "there is no room for that just now")
    DATABASE_AWAY = (503, "the database is away")

    @property
    def status(self) -> int:
        """Its HTTP status."""
        return self.value[0]

    @property
    def title(self) -> str:
        """What happened, in a few words that are the same each time."""
        return self.value[1]

    @property
    def type(self) -> str:
        """Its address, by which programs tell problems apart."""
        return f"/problems/{self.name.lower().replace('_', '-')}"


class Mistake(Shape):
    """One place in the request that is wrong."""

    pointer: str = Field(description="A JSON pointer that begins with /query, /header or /body.")
    detail: str = Field(description="What is wrong there, and what would be right.")


class Problem(Shape):
    """Why a request was refused (RFC 9457)."""

    type: str = Field(description="By this, programs tell problems apart.")
    title: str
    status: int
    detail: str | None = Field(default=None, description="What, where and how to mend it.")
    errors: list[Mistake] = Field(default=[], description="Each place that is wrong.")


class Refused(Exception):
    """Raised by whatever handles a request: it is answered with a problem. `detail` repeats nothing of the
    request; `retry_after_seconds` is told to the client.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str | None = None,
        errors: Sequence[Mistake] = (),
        *,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(kind.title)
        self.kind, self.detail, self.errors = kind, detail, errors
        self.retry_after_seconds = retry_after_seconds

    def response(self) -> web.Response:
        """The answer."""
        headers = {}
        if self.retry_after_seconds is not None:
            headers["Retry-After"] = str(self.retry_after_seconds)
        if self.kind is Kind.NO_SUCH_KEY:
            headers["WWW-Authenticate"] = "Bearer"
        return answer(self.kind, self.detail, self.errors, headers=headers)


def answer(
    kind: Kind,
    detail: str | None = None,
    errors: Sequence[Mistake] = (),
    *,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The answer that tells a problem."""
    more: dict[str, Any] = {"detail": detail} if detail is not None else {}
    if errors:
        more["errors"] = list(errors)
    problem = Problem(type=kind.type, title=kind.title, status=kind.status, **more)
    return web.Response(
        status=kind.status, body=json.dumps(problem.public()), content_type=MEDIA_TYPE, headers=headers
    )


# What pydantic finds, in words of ours: its own repeat what was sent.
_SENTENCES = {
    "missing": "it is missing",
    "extra_forbidden": "there is a field that is not known here",
    "json_invalid": "it is no valid JSON",
    "json_type": "it is no valid JSON",
    "string_type": "give text",
    "string_too_short": "too short: {min_length} characters at least",
    "string_too_long": "too long: {max_length} characters at most",
    "string_pattern_mismatch": "it has not the form {pattern}",
    "int_type": "give a whole number",
    "int_parsing": "give a whole number",
    "int_from_float": "give a whole number",
    "bool_type": "give true or false",
    "bool_parsing": "give true or false",
    "list_type": "give a list",
    "dict_type": "give an object",
    "model_type": "give an object",
    "model_attributes_type": "give an object",
    "too_short": "too few: {min_length} at least",
    "too_long": "too many: {max_length} at most",
    "greater_than_equal": "too small: {ge} at least",
    "less_than_equal": "too large: {le} at most",
    "enum": "give one of: {expected}",
    "literal_error": "give one of: {expected}",
    "timezone_aware": "give a moment with its offset, such as 2026-12-01T09:30:00+02:00",
    "none_required": "give null, or leave it out",
}
_BEGINNINGS = {
    "uuid": "give an id, such as 0de42725-799e-4b48-8047-b343181269fe",
    "datetime": "give a moment with its offset, such as 2026-12-01T09:30:00+02:00",
}


def mistakes(where: str, error: ValidationError, model: type[BaseModel]) -> list[Mistake]:
    """What a model found, as pointers below `where`. Nothing of the request is repeated: a name that is not
    one of the model's own ends the pointer, for it is the client's.
    """
    names = _names(model)
    found: dict[Mistake, None] = {}  # each once, in order
    for each in error.errors(include_url=False, include_input=False):
        parts: list[str] = []
        for part in each["loc"]:
            if isinstance(part, str) and part not in names:
                break
            parts.append(str(part))
        found[Mistake(pointer="/".join(["", where, *parts]), detail=_sentence(each))] = None
    return list(found)


def _sentence(each: Mapping[str, Any]) -> str:
    kind: str = each["type"]
    if kind == "value_error":  # raised by a validator of ours, which repeats nothing
        return str(each["ctx"]["error"])
    for beginning, sentence in _BEGINNINGS.items():
        if kind.startswith(beginning):
            return sentence
    sentence = _SENTENCES.get(kind, "it cannot be used")
    return sentence.format_map(each.get("ctx", {}))


def _names(model: type[BaseModel]) -> set[str]:
    """The names of all fields of a model, and of the models in it."""
    found: set[str] = set()
    waiting: list[Any] = [model]
    seen: set[Any] = set()
    while waiting:
        each = waiting.pop()
        waiting += get_args(each)
        if isinstance(each, type) and issubclass(each, BaseModel) and each not in seen:
            seen.add(each)
            for name, field in each.model_fields.items():
                found.add(field.alias or name)
                waiting.append(field.annotation)
    return found


_OF_STATUS = {kind.status: kind for kind in reversed(Kind)}  # the first of a status stands for it


def of_status(error: web.HTTPException) -> web.Response:
    """What the server itself refuses (404, 405, 413 …), as a problem."""
    kind = _OF_STATUS.get(error.status, Kind.MALFORMED)
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return answer(kind, headers=headers)
