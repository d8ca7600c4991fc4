"""JSON in which no object holds a key twice, however its text looks."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.providers.documents import Json

_READER = Json(parse_int=str, parse_float=str)
_STRINGS = st.text(max_size=3) | st.sampled_from(["a", "b", ":", '":', "11:07:43", '{"a":1,"a":1}', "\\"])


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """An object as text, whose keys may stand twice."""
    pairs = draw(st.lists(st.tuples(st.sampled_from(["a", "b", ":", 'x":']), inner), max_size=4))
    gap = draw(st.sampled_from(["", " ", "\n"]))
    return "{" + ",".join(f"{json.dumps(key)}{gap}:{gap}{value}" for key, value in pairs) + "}"


_TEXTS = st.recursive(
    st.sampled_from(["1", "-2.50", "null", "true", "NaN"]) | _STRINGS.map(json.dumps),
    lambda inner: _objects(inner) | st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]"),
    max_leaves=12,
)


def _read_plainly(text: str) -> Any:
    """The same, by looking at every object."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError
        return dict(pairs)

    return json.loads(text, parse_int=str, parse_float=str, object_pairs_hook=once)


@given(text=_TEXTS)
@example('{"a":1,"a":2}')
@example('{"a":{"b":1,"b":2}}')
@example('[[{"a":[{"b":1,"b":1}]}]]')
@example('{"a":1,"a":{"b":2}}')
@example('{"a":"::","a":1}')
@example('{"":0,"at":"11:07:43"}')
@example('":"')
def test_a_key_that_stands_twice_is_never_overlooked(text: str) -> None:
    try:
        expected = repr(_read_plainly(text))
    except ValueError:
        with pytest.raises(ValueError, match="a key stands twice"):
            _READER.read(text)
    else:
        assert repr(_READER.read(text)) == expected


@pytest.mark.parametrize("text", ["", "{", '{"a":1', "\ufeff{}", '{"a" 1}', "{} {}", "[" * 10 + "]"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        _READER.read(text)


def test_numbers_become_what_was_asked_for() -> None:
    assert _READER.read('{"id": 1234567890123456789012, "cost": 1.50}') == {
        "id": "1234567890123456789012",
        "cost": "1.50",
    }
    assert Json().read('{"id": 12, "cost": 1.5}') == {"id": 12, "cost": 1.5}
