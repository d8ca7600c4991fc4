"""The submission key: the same campaign however often it is submitted, also at the same instant."""

import asyncio
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import cleaning, submission
from campaigns.domain.errors import DatabaseUnavailable, SubmissionKeyConflict
from campaigns.domain.limits import AccountTerms
from campaigns.store import session
from campaigns.store.session import Database
from campaigns.store.submission import TakenIn
from tests.conftest import open_database
from tests.integration.submitted import cut_into_portions, kill, locked, stored, waiting
from tests.river import numbered, phones, submit

ONE = "+37060000001"
TWO = "+37060000002"
DEADLINE_SECONDS = 60


# --- the submission key -----------------------------------------------------------------------------


async def test_the_same_key_and_content_is_the_same_campaign_and_other_content_a_conflict(
    database: Database,
) -> None:
    rows = [{"phone": ONE, "name": "Ona"}, {"phone": "12", "name": "x"}]
    first = await submit(database, rows, text="Hi {name}", submission_key="k")
    before = await stored(database)

    again = await submit(database, rows, text="Hi {name}", submission_key="k", name="another name")
    assert again == TakenIn(first.id, False, 1, {"no_region": 1})
    others: list[dict[str, Any]] = [
        {"text": "Hi {name}!"},
        {"sender_id": "Other"},
        {"account": "second"},
        {"region": "LT"},
        {"on_doubt": "resend"},
    ]
    for other in others:
        with pytest.raises(SubmissionKeyConflict, match=str(first.id)):
            await submit(database, rows, **({"text": "Hi {name}", "submission_key": "k"} | other))
    for other_rows in (
        rows[:1],
        [rows[1], rows[0]],
        [*rows, {"phone": "", "name": ""}],
        [rows[0] | {"name": "Ona "}, rows[1]],
        [rows[0] | {"city": ""}, rows[1]],
        [{"name": ONE, "phone": "Ona"}, rows[1]],
    ):
        with pytest.raises(SubmissionKeyConflict):
            await submit(database, other_rows, text="Hi {name}", submission_key="k")
    assert await stored(database) == before

    assert (await submit(database, rows, text="Hi {name}", submission_key="l")).created
    assert (await submit(database, rows, text="Hi {name}")).created
    assert (await submit(database, rows, text="Hi {name}")).created, "no key: each is a campaign of its own"


async def test_a_key_is_its_owners_alone(database: Database) -> None:
    """Two services that both count `order-1` get a campaign each, and neither hears of the other's."""
    owners = ("", "shop", "clinic")
    rows = phones(2)
    taken = [await submit(database, rows, submission_key="order-1", owner=owner) for owner in owners]
    assert len({each.id for each in taken}) == len(owners)
    assert all(each.created for each in taken)

    for owner, first in zip(owners, taken, strict=True):
        again = await submit(database, rows, submission_key="order-1", owner=owner)
        assert (again.id, again.created) == (first.id, False)
        with pytest.raises(SubmissionKeyConflict, match=str(first.id)):
            await submit(database, rows, text="Other", submission_key="order-1", owner=owner)
        once = {"text": "No key", "once_within_seconds": 60.0, "owner": owner}
        assert [(await submit(database, rows, **once)).created for _ in range(2)] == [True, False]


def content_hash(rows: list[dict[str, str]], text: str = "Hello") -> str:
    cleaner = submission.cleaner_of(submission.Submission(AccountTerms("main"), text, "Demo", "test"))
    for _ in cleaner.portions(numbered(rows)):
        continue
    return cleaner.content_hash()


def test_the_content_is_the_same_however_it_is_cut_into_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row | {"name": f"ž{n}"} for n, row in enumerate(phones(100))]
    expected = content_hash(rows)
    for rows_held, characters_held in ((1, 10**9), (7, 10**9), (10**9, 50), (10**9, 10**9)):
        cut_into_portions(monkeypatch, rows_held)
        monkeypatch.setattr(cleaning, "_PORTION_CHARACTERS", characters_held)
        assert content_hash(rows) == expected


# Also of the characters that hold the pieces apart.
cells = st.text(alphabet='a+1:{}",\\\x1e\x1f\0\ud800é', max_size=4)
some_rows = st.lists(
    st.dictionaries(st.sampled_from(["phone", "a", "b\x1f", '"']), cells).map(lambda r: {"phone": ""} | r),
    max_size=3,
)


@given(some_rows, some_rows)
def test_other_rows_are_other_content(one: list[dict[str, str]], other: list[dict[str, str]]) -> None:
    def said(rows: list[dict[str, str]]) -> list[tuple[str, list[tuple[str, str]]]]:
        return [(row["phone"], [(k, v) for k, v in row.items() if k != "phone"]) for row in rows]

    assert (content_hash(one) == content_hash(other)) == (said(one) == said(other))


def test_the_hash_of_a_content_is_that_of_every_version() -> None:
    """A key that an earlier version stored is still known by the same content."""
    rows = [
        {"phone": ONE},
        {"phone": "0 600 00002", "name": "Žydrė", "note": 'a "quote", a \\ and 100%'},
        {"note": "line\r\nend\t\x7f\u2028", "%s{name}": "😀", "phone": TWO},
        {"phone": "", "na\x00me": "\x00", "": ""},
        {"phone": "+3706\ud800", "\udfff": "\ud83d \udc00"},
    ]
    assert content_hash(rows) == "782ced18c4a2e8e02ab4fdaf38f12ed54272028e64e8447d83593f6aee12614b"


def test_a_cell_cannot_pretend_to_be_two_rows() -> None:
    two = [{"phone": ONE}, {"phone": TWO}]
    pretended = [{"phone": f"{ONE}\x1f\x1e{TWO}"}, {"phone": f"{ONE}\x1f\x1e{len(TWO)}:{TWO}"}]
    assert len({content_hash(two), *(content_hash([row]) for row in pretended)}) == 3


# --- at the same instant ----------------------------------------------------------------------------


async def test_two_at_the_same_instant_make_one_campaign(database_url: str, database: Database) -> None:
    """Raced many times over two pools: one makes it, the other is given it; other content is a conflict."""
    other = open_database(database_url)
    try:
        for n in range(15):
            a, b = await asyncio.gather(
                *(submit(d, phones(3), submission_key=f"same {n}") for d in (database, other))
            )
            assert a.id == b.id
            assert sorted((a.created, b.created)) == [False, True]
            outcomes = await asyncio.gather(
                *(
                    submit(d, phones(3, first=first), submission_key=f"other {n}")
                    for d, first in ((database, 0), (other, 100))
                ),
                return_exceptions=True,
            )
            assert sorted(type(o).__name__ for o in outcomes) == ["SubmissionKeyConflict", "TakenIn"]
    finally:
        await other.close()
    assert await stored(database) == await stored(database) | {"campaign": 30, "batch": 30, "message": 90}


async def test_the_second_waits_for_the_first_however_long_it_takes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million rows take longer than the bound on locks that everything else lives under."""
    monkeypatch.setitem(session.SETTINGS, "lock_timeout", "100ms")
    async with asyncio.TaskGroup() as group, locked(database, "batch") as let_go:
        first = group.create_task(submit(database, phones(3), submission_key="k"))
        await waiting(database, count=1)
        second = group.create_task(submit(database, phones(3), submission_key="k"))
        await waiting(database, count=2, for_seconds=0.4)
        await let_go()

    assert (first.result().created, second.result().created) == (True, False)
    assert first.result().id == second.result().id


async def test_the_second_takes_over_when_the_first_dies(database: Database) -> None:
    async with asyncio.TaskGroup() as group, locked(database, "batch") as let_go:
        first = asyncio.ensure_future(submit(database, phones(3), submission_key="k"))
        await waiting(database, count=1)
        second = group.create_task(submit(database, phones(3), submission_key="k"))
        pids = await waiting(database, count=2)
        await kill(database, pids[0])
        with pytest.raises(DatabaseUnavailable):
            await first
        await let_go()

    assert second.result().created
    assert await stored(database) == await stored(database) | {"campaign": 1, "batch": 1, "message": 3}


SUBMITTER = """
import asyncio, json, sys
from campaigns.store.session import Database
from tests.conftest import open_database
from tests.river import phones, submit

async def main(url):
    database = open_database(url)
    async with database.connection():
        print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    taken = await submit(database, phones(2000), submission_key="two processes")
    print(json.dumps([str(taken.id), taken.created, taken.recipient_count]), flush=True)
    await database.close()

with asyncio.Runner() as runner:
    runner.run(main(sys.argv[1]))
"""


async def test_two_processes_at_the_same_instant_make_one_campaign(
    database_url: str, database: Database
) -> None:
    pipe = asyncio.subprocess.PIPE
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", SUBMITTER, database_url, stdin=pipe, stdout=pipe
        )
        for _ in range(2)
    ]
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            for process in processes:
                assert process.stdout is not None
                assert await process.stdout.readline() == b"ready\n"
            answers = [
                json.loads(out) for out, _ in await asyncio.gather(*(p.communicate(b"\n") for p in processes))
            ]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()

    assert answers[0][0] == answers[1][0]
    assert sorted(created for _, created, _ in answers) == [False, True]
    assert [count for *_, count in answers] == [2000, 2000]
    assert await stored(database) == await stored(database) | {"campaign": 1, "batch": 20, "message": 2000}
