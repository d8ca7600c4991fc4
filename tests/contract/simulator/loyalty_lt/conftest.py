"""The day of Loyalty.lt's pages."""

from datetime import UTC, datetime

import pytest


@pytest.fixture
def moment(moment: list[float]) -> list[float]:
    """The ledger's clock, moved by hand: 2025-01-15 10:30:00 UTC, as on their pages."""
    moment[0] = datetime(2025, 1, 15, 10, 30, tzinfo=UTC).timestamp()
    return moment
