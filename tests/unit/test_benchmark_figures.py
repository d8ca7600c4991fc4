"""The benchmark's own arithmetic: a table that is wrong is worse than none."""

from collections import Counter

import pytest

from benchmarks.fairness import _BEFORE_THE_FIRST_ENDS
from benchmarks.ground import Refused, judge, phones
from benchmarks.race import rows
from benchmarks.rivals import FLOOR, NAIVE, OURS, Run
from benchmarks.run import parse
from benchmarks.statements import read_log
from benchmarks.table import Row, Spread, at_least, at_most, markdown, number


def _run(rival: str, seconds: float, recipients: int = 1_000, latency_seconds: float = 0.0) -> Run:
    roles = {"workers": 1.0, "postgresql": 0.5, "redis": 0.0, "provider": 0.25, "driver": 0.25}
    return Run(rival, recipients, latency_seconds, seconds, 0.1, roles, {"worker": 2**20}, {})


def test_a_ratio_is_taken_within_a_round_and_its_median_after() -> None:
    """The machine was twice as fast in the second round: the ratio does not show it."""
    ours, floor = Spread.of([100.0, 200.0, 330.0]), Spread.of([200.0, 400.0, 600.0])
    assert ours.over(floor).values == (0.5, 0.5, 0.55)
    assert str(ours.over(floor)) == "0.5 (0.5–0.55)"


def test_a_spread_of_nothing_and_ratios_of_different_rounds_are_errors() -> None:
    with pytest.raises(ValueError, match="no figure"):
        Spread.of([])
    with pytest.raises(ValueError, match="argument"):
        Spread.of([1.0]).over(Spread.of([1.0, 2.0]))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (0.01234, "0.012"), (0.5, "0.5"), (12.345, "12.3"), (123.4, "123"), (35_123.0, "35,100")],
)
def test_figures_show_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_goals_look_both_ways() -> None:
    assert at_least(0.5).is_met(0.5)
    assert not at_least(0.5).is_met(0.49)
    assert at_most(2).is_met(2)
    assert not at_most(2).is_met(2.01)
    assert str(_BEFORE_THE_FIRST_ENDS) == "≤ 1"


def test_a_goal_is_of_the_ratio_where_there_is_one() -> None:
    figure, half = Spread.of([10.0]), Spread.of([0.4])
    missed = Row("a", "b", figure, "s", "c", half, at_least(0.5))
    assert missed.is_reached is False
    assert missed.cells()[-1] == "≥ 0.5: **no**"
    assert Row("a", "b", figure, "s", goal=at_most(2)).is_reached is False
    assert Row("a", "b", figure, "s").is_reached is None
    assert missed.as_json()["figures"] == [10.0]


def test_the_race_holds_ours_against_the_floor_and_the_naive_one_by_recipient() -> None:
    """The naive one ran with a tenth of the recipients: it is the speed that counts."""
    runs = {
        "floor": [_run("floor", 0.1), _run("floor", 0.2)],
        "ours": [_run("ours", 0.125), _run("ours", 0.25)],
        "naive": [_run("naive", 1.25, 100), _run("naive", 2.5, 100)],
    }
    made = rows([FLOOR, OURS, NAIVE], runs)
    by_name = {row.what: row for row in made}
    ours = next(row for what, row in by_name.items() if what.startswith("**ours**"))
    assert ours.ratio is not None
    assert (ours.ratio.values, ours.is_reached) == ((0.8, 0.8), True)
    against = by_name["ours against naive"]
    assert against.ratio is not None
    assert (against.ratio.values, against.is_reached) == ((100.0, 100.0), True)
    lines = markdown(made).splitlines()
    assert len(lines) == len(made) + 2
    assert len({line.count("|") for line in lines}) == 1


def test_the_judge_lets_nothing_pass_but_each_once() -> None:
    wanted = phones(3)
    judge(Counter(wanted), wanted)
    for ledger, why in (
        (Counter(wanted[:2]), "1 were not sent to"),
        (Counter([*wanted, wanted[0]]), "1 more than once"),
        (Counter([*wanted, "37069999999"]), "1 were nobody's"),
    ):
        with pytest.raises(Refused, match=why):
            judge(ledger, wanted)


def test_recipients_are_distinct_and_all_delivered_to() -> None:
    """No ending below 80 has a fate of its own at the simulator."""
    many = phones(1_000, first=79)
    assert len(set(many)) == 1_000
    assert all(len(phone) == 11 and int(phone[-2:]) < 80 for phone in many)
    assert phones(10, first=5)[0] == phones(10)[5]


def test_statements_are_counted_once_and_their_time_wholly() -> None:
    """Parsing and binding are no calls; a statement of many lines is one; strangers' lines are nobody's."""
    log = (
        "2026-11-22 00:00:01.000 UTC [7] LOG:  duration: 0.100 ms  statement: BEGIN;\n"
        "2026-11-22 00:00:01.000 UTC [7] LOG:  duration: 0.500 ms  parse __asyncpg_stmt_1__: UPDATE a\n"
        "\t    SET b = $1\n"
        "2026-11-22 00:00:01.000 UTC [7] LOG:  duration: 0.200 ms  bind __asyncpg_stmt_1__: UPDATE a\n"
        "\t    SET b = $1\n"
        "2026-11-22 00:00:01.000 UTC [7] LOG:  duration: 1.300 ms  execute __asyncpg_stmt_1__: UPDATE a\n"
        "\t    SET b = $1\n"
        "2026-11-22 00:00:01.000 UTC [8] LOG:  checkpoint starting: time\n"
        "2026-11-22 00:00:01.000 UTC [7] LOG:  duration: 2.000 ms  statement: COMMIT;\n"
    )
    found = read_log(log)
    assert found.calls == {"BEGIN;": 1, "UPDATE a SET b = $1": 1, "COMMIT;": 1}
    assert found.milliseconds["UPDATE a SET b = $1"] == pytest.approx(2.0)
    assert (found.count, found.control_count) == (3, 2)


def test_the_command_line_knows_its_own_names(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = parse(["--only", "ours,floor", "--latency", "0.05", "--sizes", "100,10"])
    assert wanted.only == {"ours", "floor"}
    assert (wanted.latencies, wanted.sizes, wanted.repeat) == ((0.05,), (10, 100), 5)
    assert parse([]).latencies == (0.0, 0.05)
    assert {"ours", "floor", "naive", "statements", "callbacks"} <= parse([]).only
    for wrong in (["--only", "theirs"], ["--sizes", "many"], ["--recipients", "0"], ["--latency", "-1"]):
        with pytest.raises(SystemExit) as refused:
            parse(wrong)
        assert refused.value.code == 2
    assert "theirs" in capsys.readouterr().err
