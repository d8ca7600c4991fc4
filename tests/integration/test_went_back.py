"""A database that went back in time holds every account until a person says go on."""

from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from campaigns import batching, holding
from campaigns.domain.policy import Desk
from campaigns.domain.witness import Whereabouts, went_back
from campaigns.pacing.witness import SEEN_KEY, RedisWitness
from campaigns.store.holding import whereabouts
from campaigns.store.session import Database
from tests.conftest import MakeDesk, open_database, with_database
from tests.integration.rows import query
from tests.river import phones, submit
from tests.stub import Stub

HERE = Whereabouts("7", 5, 1, 1000)
THERE = replace(HERE, system="8")
OTHER_DATABASE = replace(HERE, database=6)
PROMOTED = replace(HERE, timeline=2, position=1100)
FARTHER = replace(HERE, position=2000)
SYNCHRONOUS = replace(HERE, is_synchronous=True)


@pytest.mark.parametrize(
    ("before", "known", "now", "said"),
    [
        (None, None, HERE, None),
        (HERE, HERE.identity, FARTHER, None),
        (HERE, None, HERE, None),  # a database that nobody had looked at
        (None, HERE.identity, FARTHER, None),  # Redis wiped
        (HERE, HERE.identity, THERE, "another database"),
        (HERE, HERE.identity, OTHER_DATABASE, "another database"),
        (THERE, HERE.identity, HERE, "another database"),  # back to where it had been before it moved
        (None, HERE.identity, THERE, "taken over"),  # Redis wiped, and restored elsewhere
        (HERE, HERE.identity, PROMOTED, "taken over"),
        (None, HERE.identity, PROMOTED, "taken over"),
        (FARTHER, HERE.identity, HERE, "1000 bytes before where it stood"),
        (SYNCHRONOUS, HERE.identity, PROMOTED, None),  # what was confirmed, it has
        (SYNCHRONOUS, HERE.identity, OTHER_DATABASE, "another database"),
        (replace(SYNCHRONOUS, position=2000), HERE.identity, HERE, "1000 bytes"),
        (replace(SYNCHRONOUS, timeline=3), HERE.identity, PROMOTED, "taken over"),  # one of before the last
    ],
)
def test_what_a_database_cannot_hide(
    before: Whereabouts | None, known: str | None, now: Whereabouts, said: str | None
) -> None:
    why = went_back(before, known, now)

    assert why is None if said is None else said in str(why)


@pytest.fixture
def desk(make_desk: MakeDesk, redis: Redis) -> Desk:
    """Two accounts and a second witness."""
    made = make_desk(accounts={"main": Stub("main"), "other": Stub("other")})
    return replace(made, witness=RedisWitness(redis, give_up_seconds=60))


async def look(database: Database, desk: Desk) -> list[str]:
    """One look of a new process; the accounts that it holds."""
    found = await holding.Guard().look(database, desk)
    return [] if found is None else found.accounts


async def pretend(redis: Redis, **changes: object) -> None:
    """Have Redis have seen another database than there is."""
    said = (await redis.hget(SEEN_KEY, "identity") or b"").decode().split("/")
    names = ("system", "database", "timeline")
    identity = "/".join(str(changes.get(name, value)) for name, value in zip(names, said, strict=True))
    await redis.hset(
        SEEN_KEY, mapping={"identity": identity, **{k: str(v) for k, v in changes.items() if k not in names}}
    )


async def test_the_first_look_and_those_after_it_hold_nothing(
    database: Database, desk: Desk, redis: Redis
) -> None:
    await submit(database, phones(1))

    assert [await look(database, desk) for _ in range(3)] == [[], [], []]
    seen, now = await desk.witness.last_seen(), await whereabouts.look(database)
    assert seen is not None
    assert now is not None
    assert (seen.identity, seen.timeline) == (now.identity, 1)
    assert await desk.witness.since() is not None
    (record,) = await query(database, "SELECT oid::int FROM pg_database WHERE datname = current_database()")
    assert seen.database == record["oid"]


@pytest.mark.parametrize("change", [{"system": 1}, {"database": 1}, {"timeline": 7}, {"position": 2**62}])
async def test_all_accounts_are_held_until_a_person_says_go_on(
    database: Database, desk: Desk, redis: Redis, change: dict[str, object]
) -> None:
    await submit(database, phones(1), account="third")
    await holding.Guard().look(database, desk)
    await query(
        database, "INSERT INTO account_hold VALUES ('main', now(), now(), 0, 'down', 'takes nothing')"
    )
    await pretend(redis, **change)

    assert await look(database, desk) == ["main", "other", "third"]

    assert await holding.deal_probes(database) == []
    assert not await holding.probe_account(database, desk, "main")
    assert [each.resumes_by_itself for each in await holding.holds(database)] == [False] * 3
    assert await batching.deal_sending(database, desk) == []
    assert await look(database, desk) == []  # remembered: what a person resumes, stays so
    assert await holding.resume_all_accounts(database) == ["main", "other", "third"]
    assert await look(database, desk) == []
    assert await holding.holds(database) == []


async def test_a_copy_is_held_also_where_redis_knows_nothing(
    database: Database, desk: Desk, redis: Redis, database_url: str
) -> None:
    """Restored elsewhere, or cloned to try something: it knows itself as another."""
    await submit(database, phones(1))
    await holding.Guard().look(database, desk)
    await database.close()
    await redis.flushdb()
    name = urlsplit(database_url).path[1:]
    admin = await asyncpg.connect(with_database(database_url, "postgres"))
    try:
        await admin.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
        copy = open_database(with_database(database_url, f"{name}_copy"))
        assert await look(copy, desk) == ["main", "other"]
        await copy.close()
    finally:
        await admin.execute(f"DROP DATABASE IF EXISTS {name}_copy WITH (FORCE)")
        await admin.close()


async def test_a_new_database_has_nothing_to_forget(database: Database, desk: Desk, redis: Redis) -> None:
    await holding.Guard().look(database, desk)
    await pretend(redis, system=1)

    assert await look(database, desk) == []


async def test_a_look_that_was_late_does_not_undo_what_others_saw(desk: Desk) -> None:
    witness = desk.witness
    assert witness is not None
    await witness.remember(None, HERE)
    await witness.remember(HERE, FARTHER)
    await witness.remember(HERE, HERE)
    assert await witness.last_seen() == FARTHER
    await witness.remember(FARTHER, HERE)  # put back
    assert await witness.last_seen() == HERE
    await witness.remember(FARTHER, PROMOTED)
    await witness.remember(FARTHER, replace(FARTHER, position=3000))
    await witness.remember(None, HERE)
    assert await witness.last_seen() == PROMOTED


async def test_without_redis_the_database_still_knows_itself(database: Database, make_desk: MakeDesk) -> None:
    alone = make_desk()
    await submit(database, phones(1))
    assert await look(database, alone) == []
    await query(database, "UPDATE pulse SET name = '1/2/3' WHERE kind = 'database'")

    assert await look(database, alone) == ["main"]
    assert await look(database, alone) == []


async def test_a_role_without_rights_is_told_all_of_it(database_url: str, database: Database) -> None:
    """Which database it is, any role may know."""
    await query(database, "DROP ROLE IF EXISTS nobody_special")
    await query(database, "CREATE ROLE nobody_special LOGIN")
    plain = open_database(database_url.replace("postgres@", "nobody_special@"))
    try:
        assert await whereabouts.look(plain) is not None
    finally:
        await plain.close()
        await query(database, "DROP ROLE nobody_special")


async def test_one_look_is_enough_for_a_process_that_deals(
    database: Database, desk: Desk, redis: Redis
) -> None:
    guard = holding.Guard()
    await submit(database, phones(1))
    await guard.look(database, desk, once=True)
    await pretend(redis, system=1)

    assert await guard.look(database, desk, once=True) is None
    assert await guard.look(database, desk) is not None
