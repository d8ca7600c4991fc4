"""The templates of a mapping: text with names in braces, filled by where it is. Pure.

    url and query    each value percent-encoded
    form             each value form-encoded
    json             each value put into the parsed structure, never into JSON as text
    headers          values of the account and our reference alone

A value that there is none of (nobody to call back, no validity) leaves its key out, and whatever is empty
without it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

_NAME = re.compile(r"\{([a-z_]+)\}")

SECRETS = ("username", "password", "api_key", "api_secret")
"""What the account's own settings give: a mapping holds no secret, it names one."""

NUMBERS = ("validity_seconds", "validity_minutes", "validity_milliseconds")
"""Numbers in JSON, where a value is one of these alone."""

OF_SEVERAL = ("phones", "msisdns")
OF_ONE = ("phone", "msisdn", "ref", "callback_url")
OF_TEXT = ("text", "encoding")
OF_VALIDITY = ("valid_until", *NUMBERS)
MESSAGE = (*OF_ONE, *OF_SEVERAL, *OF_TEXT, *OF_VALIDITY, "sender")

Values = Mapping[str, str | int | None]
Json = Any  # a parsed document: what it holds is looked at piece by piece


def names_in(node: object, path: str) -> Iterator[tuple[str, str]]:
    """Every name in a template of any shape, with its key."""
    match node:
        case str():
            yield from ((path, name) for name in _NAME.findall(node))
        case Mapping():
            for key, inner in node.items():
                yield from names_in(inner, f"{path}.{key}")
        case list() | tuple():
            for index, inner in enumerate(node):
                yield from names_in(inner, f"{path}.{index}")


def fill(template: str, values: Values, encode: Callable[[str], str] = str) -> str | None:
    """The template with its values, each encoded; None where there is none of one it names."""
    if any(values[name] is None for name in _NAME.findall(template)):
        return None
    return _NAME.sub(lambda found: encode(str(values[found[1]])), template)


def fill_address(address: str, query: Mapping[str, str], values: Values) -> str:
    """An address and its query, encoded. Raises UnicodeEncodeError for half of a surrogate pair."""
    filled = fill(address, values, lambda value: quote(value, safe="")) or ""
    pairs = fill_pairs(query, values)
    return filled + (f"?{urlencode(pairs, errors='strict')}" if pairs else "")


def fill_pairs(template: Mapping[str, str], values: Values) -> list[tuple[str, str]]:
    """Names and filled values, without those there are none of."""
    return [(key, value) for key, each in template.items() if (value := fill(each, values)) is not None]


def fill_form(template: Mapping[str, str], values: Values) -> bytes:
    """A form. Raises UnicodeEncodeError as `fill_address`."""
    return urlencode(fill_pairs(template, values), errors="strict").encode()


def fill_json(template: Json, values: Values, each: Sequence[str], several: Sequence[Values]) -> bytes:
    """A JSON document. Takes where the list of recipients is (a pointer's parts) and the values of each.

    Raises UnicodeEncodeError as `fill_address`.
    """
    filled = _filled(template, values, tuple(each) if several else None, several)
    return json.dumps(filled, ensure_ascii=False, separators=(",", ":")).encode()


def _filled(node: Json, values: Values, each: tuple[str, ...] | None, several: Sequence[Values]) -> Json:
    match node:
        case str():
            alone = _NAME.fullmatch(node)
            return values[alone[1]] if alone and alone[1] in NUMBERS else fill(node, values)
        case list() if each == ():
            return [_filled(node[0], each_values, None, ()) for each_values in several]
        case list():
            made = [_filled(inner, values, _below(each, str(at)), several) for at, inner in enumerate(node)]
            return _unless_emptied(node, [inner for inner in made if inner is not None])
        case dict():
            filled = {key: _filled(inner, values, _below(each, key), several) for key, inner in node.items()}
            return _unless_emptied(node, {key: inner for key, inner in filled.items() if inner is not None})
        case _:
            return node


def _below(each: tuple[str, ...] | None, key: str) -> tuple[str, ...] | None:
    return each[1:] if each and each[0] == key else None


def _unless_emptied(before: Json, filled: Json) -> Json:
    return None if before and not filled else filled


def parts_of(template: Json, each: Sequence[str]) -> tuple[Json, Json]:
    """A JSON template in two: what is around the list at the pointer's parts, and its one element.

    Raises ValueError where there is no list of one element.
    """
    if not each:
        if not isinstance(template, list) or len(template) != 1:
            raise ValueError("has an each that leads to no list in json with one element, which is repeated")
        return [], template[0]
    first, *rest = each
    holder = dict(enumerate(template)) if isinstance(template, list) else template
    key: str | int = int(first) if isinstance(template, list) and first.isdigit() else first
    if not isinstance(holder, dict) or key not in holder:
        raise ValueError("has an each that leads to no list in json with one element, which is repeated")
    around, element = parts_of(holder[key], rest)
    return {**holder, key: around}, element
