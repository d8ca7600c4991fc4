"""The states are drawn as their law stands: README and docs/states.md against `domain/states.py`."""

import re
from collections.abc import Collection, Mapping
from itertools import pairwise
from pathlib import Path

from campaigns.domain.states import (
    BATCH_INITIAL,
    BATCH_MOVES,
    CAMPAIGN_INITIAL,
    CAMPAIGN_MOVES,
    EVIDENCE,
    INITIAL,
    MOVES,
    RANK,
    SETTLED,
    BatchState,
    CampaignState,
    MessageState,
    is_move,
    takes_evidence,
)

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENT = (ROOT / "docs" / "states.md").read_text(encoding="utf-8")
SAID = "evidence"


def drawn(
    kind: type[MessageState | BatchState | CampaignState],
    initial: Collection[str],
    moves: Mapping[str, Collection[str]],
    more: Collection[str] = (),
) -> str:
    """A law as a Mermaid diagram, everything in the order of life."""
    arrows = [(before, after) for before in kind for after in kind if after in moves.get(before, ())]
    lines = [
        "stateDiagram-v2",
        *(f"    [*] --> {state}" for state in kind if state in initial),
        *(f"    {before} --> {after}" for before, after in arrows),
        *(f"    {line}" for line in more),
    ]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def message_diagram() -> str:
    """Commands as they stand in the table; evidence as a box in which it only goes up."""
    ranked = sorted(EVIDENCE, key=RANK.__getitem__)
    reached = [state for state in MessageState if takes_evidence(state, 1) and state not in EVIDENCE]
    return drawn(
        MessageState,
        INITIAL,
        MOVES,
        [
            *(
                f"{state} --> {SAID}" + ("" if takes_evidence(state, 0) else ": handed over before")
                for state in reached
            ),
            f"state {SAID} {{",
            *(f"    {low} --> {high}" for low, high in pairwise(ranked)),
            "}",
        ],
    )


def test_the_document_draws_every_move() -> None:
    for diagram in (
        message_diagram(),
        drawn(BatchState, BATCH_INITIAL, BATCH_MOVES),
        drawn(CampaignState, CAMPAIGN_INITIAL, CAMPAIGN_MOVES),
    ):
        assert diagram in DOCUMENT, f"docs/states.md must hold:\n{diagram}"
    assert DOCUMENT.count("```mermaid") == 3
    settled = ", ".join(state for state in MessageState if state in SETTLED)
    assert f"Settled: {settled}." in DOCUMENT


def test_the_readme_says_every_move_of_a_message_and_the_ranks() -> None:
    section = README[README.index("### States") : README.index("## Run it for real")]
    found = dict(re.findall(r"^(\w+) ─▶ ((?:\w+ \| )*\w+)", section, flags=re.MULTILINE))
    assert found == {
        before: " | ".join(after for after in MessageState if is_move(before, after)) for before in MOVES
    }
    ranks = re.search(r"(?:\w+ < )+\w+", section)
    assert ranks is not None
    assert ranks[0].split(" < ") == sorted(
        {MessageState.SENDING, MessageState.IN_DOUBT} | EVIDENCE, key=RANK.__getitem__
    )
    for kind, name in ((CampaignState, "campaign"), (BatchState, "batch")):
        line = re.search(rf"^A {name}: ([^.]+)\.", section, flags=re.MULTILINE)
        assert line is not None
        assert re.findall(r"\w+", line[1]) == list(kind)
