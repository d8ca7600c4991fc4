"""Chaos: real processes, broken on purpose. `make chaos` runs all; `make test` a short seeded run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.folders import passable_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder outside pytest's own, which an unprivileged PostgreSQL can reach."""
    with passable_folder("campaigns-chaos-") as made:
        yield made
