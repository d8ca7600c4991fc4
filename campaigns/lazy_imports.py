"""Imports that wait until they are used: nobody waits for what only another command needs.

    with lazy_imports(__name__):
        from campaigns import checking, rescue

`checking` then stands for the module, which is loaded when something of it is first asked for. Only modules
can be imported so, by `from package import module` or `import module`: a class is needed at once where it
stands in a base class, an annotation or a `case`. Readers, mypy and import-linter see ordinary imports.
"""

import builtins
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

_awaited: set[str] = set()
"""The modules that something stands for and nobody loaded through it yet."""

_ONE_AT_A_TIME = threading.RLock()  # two threads that load modules must not restore each other's stand-in


class _Awaited(ModuleType):
    """Stands for a module, and passes on what it is asked for. Any number of threads may ask."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


@contextmanager
def lazy_imports(importer: str) -> Iterator[None]:
    """Have the import statements of the block, in the module of that name, load nothing yet."""

    def awaited(name: str, fromlist: Sequence[str]) -> Any:
        if not fromlist:
            return _module(name)
        return SimpleNamespace(**{each: _module(f"{name}.{each}") for each in fromlist})

    with _imports_by(importer, awaited):
        yield


@contextmanager
def lazy_exports(package: str) -> Iterator[None]:
    """Have a package hand on what the block imports `from module import name`, and load that module when
    somebody first asks the package for the name. The package itself cannot use those names.
    """
    module_of: dict[str, str] = {}

    def noted(name: str, fromlist: Sequence[str]) -> Any:
        module_of.update(dict.fromkeys(fromlist, name))
        return SimpleNamespace(**dict.fromkeys(fromlist))

    with _imports_by(package, noted):
        yield
    _awaited.update(module_of.values())
    names = vars(sys.modules[package])
    for name in module_of:
        del names[name]

    def asked(name: str) -> Any:
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        names[name] = getattr(import_module(module_of[name]), name)
        return names[name]

    names["__getattr__"] = asked


@contextmanager
def _imports_by(importer: str, answer: Callable[[str, Sequence[str]], Any]) -> Iterator[None]:
    """Have the import statements of one module, in this block, be answered so. All others load as ever."""

    def stand_in(
        name: str,
        globals: Any = None,  # noqa: A002  the interpreter's own name for it
        locals: Any = None,  # noqa: A002  likewise
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if globals is None or globals.get("__name__") != importer:
            return loads(name, globals, locals, fromlist or (), level)
        return answer(name, fromlist or ())

    with _ONE_AT_A_TIME:
        loads = builtins.__import__
        builtins.__import__ = stand_in
        try:
            yield
        finally:
            builtins.__import__ = loads


def _module(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    _awaited.add(name)
    return _Awaited(name)


def load_awaited() -> None:
    """Load all that waits. For what goes on running: files may be replaced under it by the next release, and
    what it loaded then would not fit what it has.
    """
    while _awaited:
        import_module(_awaited.pop())
