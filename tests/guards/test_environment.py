"""Only `worker/settings/environment.py` reads the environment: a setting that is read elsewhere is checked by
nobody, is in no documentation, and is not hidden in logs.
"""

import ast
from collections.abc import Iterator

import pytest

from tests.guards.test_house import sources

_READERS = {"environ", "environb", "getenv", "getenvb"}


def _reads(text: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(attr=name) if name in _READERS:
                yield node.lineno
            case ast.ImportFrom(module="os", names=names) if _READERS & {each.name for each in names}:
                yield node.lineno


def test_only_the_settings_read_the_environment() -> None:
    readers = {path for path, text in sources("campaigns", "worker", "simulator") if any(_reads(text))}
    assert readers == {"worker/settings/environment.py"}


@pytest.mark.parametrize(
    "text", ["os.environ['A']", "os.getenv('A')", "from os import environ as e", "sys.os.environb"]
)
def test_the_guard_sees_them(text: str) -> None:
    assert list(_reads(text)) == [1]
