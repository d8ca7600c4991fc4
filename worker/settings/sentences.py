"""What is wrong with a setting, in one sentence that says how to mend it."""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from campaigns.domain.described_fields import described_fields
from worker.settings.accounts import PROVIDERS
from worker.settings.environment import PREFIX
from worker.settings.model import GROUPS, Settings


@dataclass(frozen=True, slots=True)
class _Mistake:
    """An error of pydantic's, and the setting that it is about."""

    variable: str  # as one would type it
    name: str
    beside: Mapping[str, FieldInfo]  # the settings that could have been meant, by name
    provider: str  # of the account that it belongs to, where that is known
    value: object
    said: str  # by a check of our own


def sentence(details: ErrorDetails) -> str:
    """What is wrong, beginning with the variable as one would type it. Shows no value of a text field."""
    path = [str(part) for part in details["loc"] if part != "[key]"]
    beside = GROUPS[path[0]] if path[1:] and path[0] in GROUPS else Settings.model_fields
    provider, value = "", details["input"]
    if path[0] == "accounts" and path[2:3] and path[2] in PROVIDERS:
        provider = path.pop(2)  # pydantic names the member of a union there
        beside = described_fields(PROVIDERS[provider].settings)
    if details["type"].startswith("union_tag"):
        path.append("provider")
    if details["type"] == "union_tag_invalid":
        value = value.get("provider")
    name = "" if path[0] == "accounts" and len(path) == 2 else path[-1]
    said = str(details.get("ctx", {}).get("error", ""))
    mistake = _Mistake(PREFIX + "__".join(path).upper(), name, beside, provider, value, said)
    return _SENTENCE_OF.get(details["type"], _does_not_fit)(mistake)


def _is_refused(mistake: _Mistake) -> str:
    return mistake.said if mistake.said.startswith(PREFIX) else f"{mistake.variable} {mistake.said}"


def _is_unknown(mistake: _Mistake) -> str:
    if mistake.provider and mistake.name in GROUPS["accounts"]:
        return f"{mistake.variable} is not a setting of an account at {mistake.provider}: remove it"
    near = difflib.get_close_matches(mistake.name, mistake.beside, n=1)
    meant = "__".join([*mistake.variable.split("__")[:-1], *near]).upper()
    return f"{mistake.variable} is not a setting here" + (f": did you mean {meant}?" if near else "")


def _is_missing(mistake: _Mistake) -> str:
    field = mistake.beside[mistake.name]
    about = (field.description or "its value").split(".")[0]
    what = _rule(field) if get_origin(field.annotation) is Literal else about[0].lower() + about[1:]
    return f"{mistake.variable} is missing: set it to {what}"


def _does_not_fit(mistake: _Mistake) -> str:
    field = mistake.beside.get(mistake.name)
    if field is None:
        return f"{mistake.variable} must be one JSON object"
    shown = f'is "{mistake.value}": it ' if _may_be_shown(mistake.value, field) else ""
    return f"{mistake.variable} {shown}must be {_rule(field)}"


_SENTENCE_OF: Mapping[str, Callable[[_Mistake], str]] = {
    "value_error": _is_refused,
    "extra_forbidden": _is_unknown,
    "missing": _is_missing,
    "union_tag_not_found": _is_missing,
}
"""By pydantic's type of error; what is not here does not fit the setting's type or its bounds."""


def _rule(field: FieldInfo) -> str:
    """What `field` takes, in words: "a number ≥ 1", "one of auto, json, console"."""
    if get_origin(field.annotation) is Literal:
        choices = get_args(field.annotation)
        if choices[0] in PROVIDERS:
            choices = tuple(PROVIDERS)
        return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"
    if field.annotation not in {int, float}:
        least = max((limit.min_length for limit in field.metadata if hasattr(limit, "min_length")), default=1)
        return "text, and not empty" if least == 1 else f"text of at least {least} characters"
    noun = "a whole number" if field.annotation is int else "a number"
    bounds = {
        name: getattr(limit, name)
        for limit in field.metadata
        for name in ("gt", "ge", "le")
        if hasattr(limit, name)
    }
    if "le" in bounds:
        return f"{noun} from {bounds['ge']:g} to {bounds['le']:g}"
    return f"{noun} ≥ {bounds['ge']:g}" if "ge" in bounds else f"{noun} above {bounds['gt']:g}"


def _may_be_shown(value: object, field: FieldInfo) -> bool:
    """Numbers and choices may be shown; text may not, nor what looks like an address or a key in a wrong
    field.
    """
    if get_origin(field.annotation) is Literal:
        return isinstance(value, str) and re.fullmatch(r"[A-Za-z_.-]{1,16}", value) is not None
    if field.annotation not in {int, float}:
        return False
    return isinstance(value, str | int | float) and len(str(value)) <= 24 and "://" not in str(value)
