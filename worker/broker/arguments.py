"""Checks the arguments of a task, so that a wrong call is one sentence for its sender and no traceback."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from campaigns.domain.errors import SubmissionError

_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    NoneType: "null",
}


def check(function: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object]) -> None:
    """Raises SubmissionError for arguments that `function` does not take, by its names and annotations. Does
    not look into lists: their items are checked where they are read. Shows no value.
    """
    parameters = inspect.signature(function).parameters
    known = list(parameters)
    if len(args) > len(known):
        raise SubmissionError(f"there are {len(args)} arguments and at most {len(known)} are taken")
    given = dict(zip(known, args, strict=False))
    for name in kwargs:
        if name not in parameters:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            shown = f'"{name}" ' if name.isidentifier() and len(name) <= 40 else "one of the names "
            raise SubmissionError(f"{shown}is not an argument: {hint}")
        if name in given:
            raise SubmissionError(f"{name} is given twice, by position and by name")
        given[name] = kwargs[name]
    missing = [name for name, each in parameters.items() if each.default is each.empty and name not in given]
    if missing:
        raise SubmissionError(f"{' and '.join(missing)} must be given")
    hints = get_type_hints(function)
    for name, value in given.items():
        choices = _choices(hints.get(name, object))
        if not any(_fits(value, choice) for choice in choices):
            must = " or ".join(_said(choice) for choice in choices if choice is not NoneType)
            raise SubmissionError(
                f"{name} must be {must}, not {_NAMES.get(type(value), type(value).__name__)}"
            )


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _fits(value: object, choice: Any) -> bool:
    if choice in (object, Any):
        return True
    if get_origin(choice) is Literal:
        return isinstance(value, str)  # which word it may be is said where it is acted upon
    kind = get_origin(choice) or choice
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _said(choice: Any) -> str:
    if get_origin(choice) is Literal:
        return " or ".join(f'"{each}"' for each in get_args(choice))
    return _NAMES.get(get_origin(choice) or choice, "something else")
