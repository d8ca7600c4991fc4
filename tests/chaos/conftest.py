"""Chaos: real processes, broken on purpose. `make chaos` runs all; `make test` a short seeded run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder outside pytest's own, which an unprivileged PostgreSQL can reach."""
    with tempfile.TemporaryDirectory(prefix="campaigns-chaos-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()
