"""Imports that wait: nothing is loaded before it is used, and nobody else's imports are touched."""

import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from campaigns.lazy_imports import lazy_exports, lazy_imports, load_awaited

_LATER = """
import sys
from campaigns.lazy_imports import lazy_imports, lazy_exports

with {how}(__name__):
    from lazy_example.inner import {names}
"""


def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, names: str) -> ModuleType:
    """`lazy_example`, which imports lazily from its `inner`, a folder with `loaded` in it."""
    inner = tmp_path / "lazy_example" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text(_LATER.format(how=how, names=names))
    (inner / "__init__.py").write_text("class Thing: ...\n")
    (inner / "loaded.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("lazy_example", "lazy_example.inner", "lazy_example.inner.loaded"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__("lazy_example")


def test_a_module_is_loaded_when_something_of_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = _package(tmp_path, monkeypatch, "lazy_imports", "loaded")
    assert "lazy_example.inner" not in sys.modules
    assert package.loaded.value == 1
    with pytest.raises(AttributeError, match="nothing"):
        _ = package.loaded.nothing


def test_a_name_that_is_handed_on_is_the_thing_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = _package(tmp_path, monkeypatch, "lazy_exports", "Thing")
    assert "lazy_example.inner" not in sys.modules
    from lazy_example import Thing  # type: ignore[import-not-found]

    assert Thing is sys.modules["lazy_example.inner"].Thing is package.Thing
    with pytest.raises(AttributeError, match="'lazy_example' has no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize(
    ("how", "name", "module"),
    [
        ("lazy_imports", "loaded", "lazy_example.inner.loaded"),
        ("lazy_exports", "Thing", "lazy_example.inner"),
    ],
)
def test_what_goes_on_running_loads_it_all_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, name: str, module: str
) -> None:
    _package(tmp_path, monkeypatch, how, name)
    assert module not in sys.modules
    load_awaited()
    assert module in sys.modules


@pytest.mark.parametrize("lazily", [lazy_imports, lazy_exports])
def test_what_another_thread_imports_meanwhile_is_loaded(lazily: type) -> None:
    got: list[object] = []

    def elsewhere() -> None:
        names: dict[str, object] = {"__name__": "elsewhere"}
        exec("from decimal import Decimal\nimport fractions", names)  # noqa: S102  another module's imports
        got.extend((names["Decimal"], names["fractions"]))

    with lazily(__name__):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    decimal, fractions = got
    assert (decimal, fractions) == (sys.modules["decimal"].Decimal, sys.modules["fractions"])
