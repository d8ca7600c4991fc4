"""Errors are named: what catches everything does not try again, and says why it may catch everything."""

import ast
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.guards.test_house import sources

BROAD: dict[str, str] = {
    "campaigns/adapter_calls.py": "an adapter's bug must not lose what it did: its messages are in doubt",
    "campaigns/grouping.py": "raises it to every caller of the group",
    "campaigns/providers/wire.py": "how far a request came decides its outcome, whatever ended it",
    "worker/cli/start.py": "the last one who can say it: type, place and exit code",
    "worker/cli/doctor/findings.py": "the other findings are worth having",
    "worker/logs/logger.py": "a wrong format must not end what was being told",
    "worker/logs/masking.py": "a value that cannot be written must not end what was being told",
    "worker/cli/submit.py": "the campaign stands: said to have failed, it would be submitted again",
    "worker/web/api/serving.py": "a bug is answered 500, and logged by its place alone",
    "worker/web/pages/serving.py": "a bug is answered 500, and logged by its place alone",
    "worker/web/callbacks.py": "an adapter's bug is answered 500: the provider brings it again",
    "worker/web/streams.py": "those who watch are let go and come again, and it is logged by its place alone",
    "worker/web/inbox.py": "logs it once for all callers of the group",
}
"""Who catches everything and does not raise it on, and why. A file that no longer does leaves the list."""

_EVERYTHING = {"Exception", "BaseException"}


def _is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = [handler.type] if not isinstance(handler.type, ast.Tuple) else handler.type.elts
    return any(kind is None or ast.unparse(kind) in _EVERYTHING for kind in kinds)


def _goes_on(handler: ast.ExceptHandler) -> bool:
    return not isinstance(handler.body[-1], ast.Raise | ast.Return | ast.Break)


def _swallows(node: ast.AST) -> bool:
    match node:
        case ast.ExceptHandler():
            end = node.body[-1]
            return _is_broad(node) and not (isinstance(end, ast.Raise) and end.exc is None)
        case ast.Call(func=func) if ast.unparse(func).split(".")[-1] == "suppress":
            return any(ast.unparse(kind) in _EVERYTHING for kind in node.args)
    return False


def _swallowers(text: str) -> Iterator[int]:
    return (node.lineno for node in ast.walk(ast.parse(text)) if _swallows(node))  # type: ignore[attr-defined]


def _tries_again(text: str) -> Iterator[int]:
    """Lines in a loop that catch everything and let the loop go on."""
    for loop in ast.walk(ast.parse(text)):
        if not isinstance(loop, ast.While | ast.For | ast.AsyncFor):
            continue
        for node in ast.walk(loop):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node) and _goes_on(node):
                yield node.lineno


def test_who_catches_everything_is_known() -> None:
    found = Counter(path for path, text in sources("campaigns", "worker") for _ in _swallowers(text))
    assert set(found) == BROAD.keys()


def test_nothing_that_catches_everything_tries_again() -> None:
    found = [f"{path}:{line}" for path, text in sources("campaigns", "worker") for line in _tries_again(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "swallowed", "again"),
    [
        ("try:\n    f()\nexcept Exception:\n    g()\n", 1, 0),
        ("try:\n    f()\nexcept (KeyError, BaseException):\n    g()\n", 1, 0),
        ("try:\n    f()\nexcept:\n    g()\n", 1, 0),
        ("with contextlib.suppress(Exception):\n    f()\n", 1, 0),
        ("while True:\n    try:\n        f()\n    except Exception:\n        g()\n", 1, 1),
        ("while True:\n    try:\n        f()\n    except Exception:\n        raise X from None\n", 1, 0),
        ("try:\n    f()\nexcept BaseException:\n    g()\n    raise\n", 0, 0),
        ("try:\n    f()\nexcept KeyError:\n    g()\n", 0, 0),
    ],
)
def test_the_guard_sees_them(text: str, swallowed: int, again: int) -> None:
    assert (len(list(_swallowers(text))), len(list(_tries_again(text)))) == (swallowed, again)
