"""The release before works on while the new one migrates, then beside it, then is stopped: no message is
lost, none is sent twice, none is in doubt; and what stood in the database is shown by both.
"""

from pathlib import Path

import pytest

from tests.acceptance.processes import ledger_counts
from tests.upgrade import shelf, trees
from tests.upgrade.rollout import Rollout, rollout
from worker.stack.embedded.servers import ServerUrls

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]


@pytest.fixture
def settings(servers: ServerUrls, redis: object, empty_database_url: str, tmp_path: Path) -> dict[str, str]:
    """A database without a schema, and short waits."""
    return {
        "DATABASE_URL": empty_database_url,
        "REDIS_URL": servers.redis_url,
        "DATA_DIR": str(tmp_path / "data"),
        "POLL__FIRST_SECONDS": "1",
        "POLL__MAX_SECONDS": "2",
        "LOG_FORMAT": "json",
    }


async def test_the_release_before_works_on_while_this_one_is_rolled_out(
    settings: dict[str, str], tmp_path: Path
) -> None:
    with rollout(tmp_path, settings, old=trees.previous(tmp_path / "previous")) as both:
        await roll_out(both)


async def test_this_release_works_on_while_the_next_one_is_rolled_out(
    settings: dict[str, str], tmp_path: Path
) -> None:
    """The next one has a message state more, a column, and a field in what a function takes: see `trees`."""
    with rollout(tmp_path, settings, new=trees.following(tmp_path / "following")) as both:
        await roll_out(both)

        # All who ever released a batch: one is handed over by the one release and polled by the other.
        released = await both.fetch("SELECT released_by FROM batch WHERE released_by IS NOT NULL")
        names = {name for record in released for name in record["released_by"].split(", ")}
        assert names == {"a release before", "the next release"}


def phones(first: int, count: int) -> list[str]:
    """Numbers that end in 00 to 79: none of them has a special fate at the simulator."""
    return [f"+3706{(first + n) // 80:05d}{(first + n) % 80:02d}" for n in range(count)]


async def roll_out(both: Rollout) -> None:
    """The whole way."""
    old, new = both.old, both.new
    url = both.begin("--delivery-seconds", "1", "--latency-seconds", "1")
    old.run("migrate")

    # What stands in the database before: in every state, finished, failed.
    standing = old.submit(phones(0, 15))
    old.run("pause", standing)
    on_shelf = await shelf.fill(both.database_url, standing)
    finished = old.submit([f"+370690000{ending}" for ending in ("00", "01", "90", "91", "93", "99")])
    failed = old.submit(["+37069000199", "+37069000299"])
    old.start_beside("old")
    before = {each: old.finished(each)["state"] for each in (finished, failed)}
    assert before == {finished: "finished", failed: "failed"}
    said = {each: (old.totals(each), old.states(each)) for each in (standing, finished, failed)}
    assert said[standing][1] == on_shelf

    # Messages are in flight while the new release migrates, and the old one takes in and sends more.
    sent = [old.submit(phones(1_000, 600))]
    await both.hands_over(old, "old")
    new.run("migrate")
    sent.append(old.submit(phones(2_000, 200)))
    await both.hands_over(old, "old")

    # Both work side by side.
    new.start_beside("new")
    sent.append(new.submit(phones(3_000, 600)))
    await both.hands_over(new, "new")
    await both.hands_over(old, "old")

    # A worker of the release before that is started again in the middle of it works on, too.
    assert old.stop("old-worker") == 0
    old.start_worker("old")
    sent.append(old.submit(phones(4_000, 400)))
    await both.hands_over(old, "old")
    for release in (old, new):
        for each, (totals, states) in said.items():
            assert release.totals(each) == totals
            assert release.states(each) == states
        assert release.listed().items() >= before.items() | {standing: "paused"}.items()

    # The old ones are stopped, and all settles.
    assert old.stop("old-worker") == 0
    old.stop("old-beat")
    for each in sent:
        new.finished(each)
    for release in (old, new):
        assert [release.totals(each) for each in sent] == [{"delivered": n} for n in (600, 200, 600, 400)]
    ledger = ledger_counts(url)
    assert {phone: count for phone, count in ledger.items() if count > 1} == {}
    accepted = {
        line["phone"][1:]
        for each in (*sent, finished)
        for line in new.export(each)
        if line["provider_message_id"]
    }
    assert accepted == set(ledger)
