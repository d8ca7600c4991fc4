"""The signs and colours of states: one look, on the dashboard and in a terminal."""

import io
import re
from dataclasses import replace
from importlib.resources import files

import pytest
from rich.console import Console

from campaigns.domain.states import MessageState
from tests.unit.test_display import PLAIN
from worker.cli import display
from worker.state_groups import GROUP_OF, GROUPS
from worker.web.pages import sentences


def test_every_state_is_in_one_group_and_every_group_has_a_name_and_a_sign_of_its_own() -> None:
    states = [state for group in GROUPS.values() for state in group.states]
    assert sorted(states) == sorted(MessageState)
    assert list(sentences.GROUPS) == list(GROUPS)
    assert len({group.sign for group in GROUPS.values()}) == len(GROUPS)


def test_the_style_sheet_has_the_same_signs_and_colours() -> None:
    css = (files("worker") / "web" / "static" / "app.css").read_text()
    light = css[: css.index("@media screen and (prefers-color-scheme: dark)")]
    colours = dict(re.findall(r"--state-(\w+): (#\w+);", light))
    signs = dict(re.findall(r'\.mark-(\w+)::before { content: "(.)"; }', css))
    assert colours == {name: group.colour for name, group in GROUPS.items()}
    assert {name: signs.get(name) for name in GROUPS} == {name: group.sign for name, group in GROUPS.items()}
    assert len(set(signs.values())) == len(signs), "a sign means one thing, also where it is of no state"


@pytest.mark.parametrize("state", MessageState)
def test_a_terminal_shows_them_and_nothing_else_does(state: MessageState) -> None:
    """Without colours where NO_COLOR says so; without a sign where it could not be shown, or for programs."""
    group = GROUPS[GROUP_OF[state]]
    red, green, blue = (int(group.colour[at : at + 2], 16) for at in (1, 3, 5))
    coloured = f"\x1b[38;2;{red};{green};{blue}m{group.sign} \x1b[0m{state}"
    assert coloured in _shown(state, force_terminal=True, color_system="truecolor")
    plain = _shown(state, force_terminal=True, no_color=True)
    assert f"{group.sign} {state}" in plain
    assert "38;2" not in plain
    assert group.sign not in _shown(state, force_terminal=True, encoding="ascii")
    assert f"\n{state} " in _shown(state)


def _shown(state: MessageState, encoding: str = "utf-8", **of_console: object) -> str:
    written = io.BytesIO()
    text = io.TextIOWrapper(written, encoding=encoding, errors="backslashreplace")
    overview = replace(PLAIN, totals=PLAIN.totals | {MessageState.QUEUED: 0, state: 1234})
    Console(file=text, width=200, **of_console).print(display.campaign(overview))  # type: ignore[arg-type]  # its own options
    text.flush()
    return written.getvalue().decode(encoding)
