"""Answers on the disk of a worker: what a process that ended left, the next one here finds."""

import asyncio
import json
import stat
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from campaigns.domain.late import LateAnswer, as_line, late_answer, of_line
from campaigns.domain.provider import AccountTrouble, Throttled
from campaigns.domain.states import MessageState
from worker.spool import Spool

TAKEN = LateAnswer(
    "main",
    f"{'ab' * 16}-12-34",
    2,
    MessageState.ACCEPTED,
    provider_message_id="ID/1",
    cost=Decimal("0.0144"),
    segment_count=1,
)
REFUSED = replace(TAKEN, state=MessageState.REJECTED, provider_message_id=None, provider_state="8", cost=None)


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jsonl"))


async def test_what_a_process_left_is_found_once_it_has_ended(tmp_path: Path) -> None:
    gone, here = Spool(tmp_path), Spool(tmp_path)
    await gone.write([TAKEN])
    await gone.write([REFUSED])
    assert here.take_over() == [], "it lives"
    gone.close()  # as the end of its process does

    assert here.take_over() == [TAKEN, REFUSED]
    assert len(files(tmp_path)) == 1, "until it is merged"
    await here.forget()
    assert files(tmp_path) == []


async def test_only_we_can_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    await spool.write([TAKEN])
    spool.close()
    (file,) = files(tmp_path)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        '{"account": "main"}',
        json.dumps(as_line(TAKEN))[:-9],
        json.dumps(as_line(TAKEN) | {"ref": "x"}),
        json.dumps(as_line(TAKEN) | {"state": "suppressed"}),
        json.dumps(as_line(TAKEN) | {"attempt": 40_000}),
        json.dumps(as_line(TAKEN) | {"id": "a\x00b"}),
        json.dumps(as_line(TAKEN) | {"cost": "NaN dear"}),
    ],
)
async def test_a_line_that_cannot_be_read_does_not_keep_the_others(tmp_path: Path, line: str) -> None:
    gone, here = Spool(tmp_path), Spool(tmp_path)
    await gone.write([TAKEN])
    gone.close()  # as the end of its process does
    (file,) = files(tmp_path)
    file.write_text(line + "\n" + file.read_text())

    assert here.take_over() == [TAKEN]
    here.close()


async def test_a_disk_that_takes_nothing_is_said_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "late-answers").write_text("a file where the folder should be")

    await asyncio.wait_for(Spool(tmp_path).write([TAKEN]), 10)

    assert files(tmp_path) == []


@pytest.mark.parametrize("answer", [TAKEN, REFUSED])
def test_an_answer_is_read_as_it_was_written(answer: LateAnswer) -> None:
    assert of_line(json.loads(json.dumps(as_line(answer)))) == answer


@pytest.mark.parametrize("outcome", [Throttled(5, "slow"), AccountTrouble("402", "no money")])
def test_what_was_not_taken_may_be_sent_again(outcome: Throttled | AccountTrouble) -> None:
    found = late_answer("main", TAKEN.message_ref, 1, outcome)

    assert found is not None
    assert found.state is MessageState.QUEUED
