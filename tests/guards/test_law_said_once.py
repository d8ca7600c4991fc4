"""SQL names states through `store/law.py`: a copied word would not follow the law of `domain/states.py`."""

import re

from campaigns.domain.states import BatchState, CampaignState, MessageState
from tests.guards.test_house import ROOT

STATES = "|".join({state.value for law in (CampaignState, BatchState, MessageState) for state in law})
MOST = 35
"""Lines of SQL in which a command or a guard names the one state it means: `WHERE state = 'queued'`."""


def _sql() -> dict[str, str]:
    paths = [
        path
        for pattern in ("*.py", "*.sql")
        for path in ROOT.glob(f"campaigns/store/**/{pattern}")
        if "migrations" not in path.parts
    ]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(paths)
        if path.name != "law.py"  # it shows what it renders
    }


def test_no_set_of_states_is_copied_into_sql() -> None:
    """`in_list` and `sum_of` render them."""
    copied = (
        rf"IN \('(?:{STATES})'(?:, '(?:{STATES})')+\)|\b(?:{STATES})_count \+ (?:\w+\.)?(?:{STATES})_count"
    )
    found = [(name, hit) for name, text in _sql().items() for hit in re.findall(copied, text)]
    allowed = [
        # what makes a campaign failed
        ("campaigns/store/aggregation.py", "failed_count + expired_count"),
        ("campaigns/store/aggregation.py", "failed_count + expired_count"),
        (
            "campaigns/store/tables/campaigns.py",
            "IN ('failed', 'expired')",
        ),  # who may be settled without an attempt
        ("campaigns/store/tables/campaigns.py", "IN ('finished', 'failed')"),  # who must say when it ended
        ("campaigns/store/tables/campaigns.py", "IN ('tracking', 'done')"),  # who holds nothing queued
    ]
    assert sorted(found) == sorted(allowed)


def test_few_statements_name_a_state_by_its_word() -> None:
    counts = {
        name: sum(bool(re.search(rf"'(?:{STATES})'", line)) for line in text.splitlines())
        for name, text in _sql().items()
    }
    assert sum(counts.values()) <= MOST, {name: n for name, n in counts.items() if n}
