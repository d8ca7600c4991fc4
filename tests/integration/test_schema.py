"""The schema: what the tables say, what the migrations make, and what the database refuses."""

from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlmodel import SQLModel

from campaigns.domain.states import BatchState, CampaignState, MessageState
from campaigns.store import schema, tables
from campaigns.store.law import TALLY_COLUMNS
from campaigns.store.session import Database
from tests import law_trigger
from tests.integration.catalogue import CATALOGUE, catalogue
from tests.integration.rows import query
from tests.river import phones, submit

# --- two ways to one schema -------------------------------------------------------------------------


async def test_the_migrations_make_what_the_tables_say(database: Database, empty: Database) -> None:
    """One database by the migrations, one straight from the tables: nothing differs."""
    async with schema.in_sqlalchemy(empty) as connection:
        await connection.run_sync(SQLModel.metadata.create_all)

    migrated, declared = await catalogue(database), await catalogue(empty)

    assert migrated["columns"]
    for what in CATALOGUE:
        if what == "columns":  # a column that came later stands last; where it stands decides nothing
            for row in (*migrated[what], *declared[what]):
                del row["ordinal_position"]
        assert migrated[what] == declared[what], what


async def test_every_trigger_is_known(database: Database) -> None:
    """Tables cannot declare one; none may come or go unseen. Beside them stand those of tests alone."""
    triggers = await query(
        database,
        "SELECT tgname::text AS name, tgrelid::regclass::text AS of FROM pg_trigger WHERE NOT tgisinternal",
    )
    of_tests = {(name, of) for name in law_trigger.NAMES for of in ("message", "batch", "campaign")}
    assert {(row["name"], row["of"]) for row in triggers} - of_tests == {
        ("batch_changed_when_done", "batch"),
        ("audit_is_append_only", "audit"),
        ("campaign_accepted_is_told", "campaign"),
        ("campaign_is_told", "campaign"),
        ("batch_is_told", "batch"),
        ("campaign_hold_is_told", "campaign_hold"),
        ("campaign_hold_lifted_is_told", "campaign_hold"),
        ("account_hold_is_told", "account_hold"),
        ("account_hold_changed_is_told", "account_hold"),
    }


async def test_alembic_finds_nothing_to_add(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, SQLModel.metadata))

    async with schema.in_sqlalchemy(database) as connection:
        assert await connection.run_sync(differences) == []
    assert set(SQLModel.metadata.tables) == {
        table.__tablename__
        for table in vars(tables).values()
        if isinstance(table, type) and issubclass(table, SQLModel) and table is not SQLModel
    }


async def test_states_are_the_laws_words_in_the_laws_order(database: Database) -> None:
    """In order, because the database merges evidence by comparing them."""
    found = {row["typname"]: row["words"] for row in (await catalogue(database))["states"]}

    assert found == {
        "campaign_state": [state.value for state in CampaignState],
        "batch_state": [state.value for state in BatchState],
        "message_state": [state.value for state in MessageState],
    }
    ranked = await query(
        database,
        "SELECT a::text, b::text, greatest(a, b)::text AS higher"
        " FROM unnest(enum_range(NULL::message_state)) a, unnest(enum_range(NULL::message_state)) b",
    )
    assert len(ranked) == len(MessageState) ** 2
    for row in ranked:
        pair = MessageState(row["a"]), MessageState(row["b"])
        assert row["higher"] == max(pair, key=lambda state: state.rank)


async def test_a_tally_has_a_column_for_every_message_state() -> None:
    columns = SQLModel.metadata.tables["batch"].columns.keys()
    assert [f"{state}_count" for state in MessageState] == list(TALLY_COLUMNS)
    assert set(TALLY_COLUMNS) <= set(columns)


async def test_messages_and_batches_are_rewritten_in_place(database: Database) -> None:
    """Nothing that changes on a message is indexed, and its pages keep room: its updates stay HOT, all three
    of an ordinary life.
    """
    (indexed,) = await query(
        database, "SELECT array_agg(indexdef) AS all FROM pg_indexes WHERE tablename = 'message'"
    )
    assert [each.partition(" USING btree ")[2] for each in indexed["all"]] == ['(batch_id, "position")']
    options = {
        row["relname"]: set(row["reloptions"])
        for row in await query(
            database, "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"
        )
        if row["relname"] in {"message", "batch"}
    }
    vacuum = {
        "autovacuum_vacuum_scale_factor=0.01",
        "autovacuum_analyze_scale_factor=0.02",
        "autovacuum_vacuum_cost_delay=0",
    }
    assert options == {"message": {"fillfactor=45"} | vacuum, "batch": {"fillfactor=50"} | vacuum}

    await submit(database, phones(100))
    for changed in (
        "state = 'sending', attempt = 1",
        "state = 'accepted', provider_message_id = 'id-' || position, cost = 0.045",
        "state = 'delivered', provider_state = 'DELIVERED'",
    ):
        await query(database, f"UPDATE message SET {changed}, updated_at = now()")  # noqa: S608  words from above
    await query(database, "SELECT pg_stat_force_next_flush()")
    (updated,) = await query(
        database,
        "SELECT pg_stat_get_tuples_updated(oid) AS n, pg_stat_get_tuples_hot_updated(oid) AS hot"
        " FROM pg_class WHERE relname = 'message'",
    )
    assert updated["n"] == 300
    assert updated["hot"] > 280, updated  # where a page has no room just then, the row moves


# --- what the database refuses ----------------------------------------------------------------------


_DELIVERED = (
    "WITH endpoint AS"
    " (INSERT INTO webhook (id, url, secret) VALUES (gen_random_uuid(), '', '') RETURNING id),"
    " event AS (INSERT INTO webhook_event (type, data) VALUES ('webhook.test', '{}') RETURNING id)"
    " INSERT INTO webhook_delivery (webhook_id, event_id, state, finished_at)"
    " SELECT endpoint.id, event.id,"
)

ILLEGAL = {
    "batch_tally_sums_check": "UPDATE batch SET queued_count = queued_count - 1",
    "waiting_receipt_names_check": "INSERT INTO waiting_receipt (account, provider_state)"
    " VALUES ('a', 'sent')",
    "waiting_receipt_reference_check": "INSERT INTO waiting_receipt (account, provider_state, campaign_id)"
    " VALUES ('a', 'sent', gen_random_uuid())",
    "waiting_receipt_set_aside_check": "INSERT INTO waiting_receipt (account, provider_state,"
    " provider_message_id, set_aside_at) VALUES ('a', 'sent', '1', now())",
    "pulse_kind_check": "INSERT INTO pulse (kind, name) VALUES ('web', 'w')",
    "batch_leased_until_check": "UPDATE batch SET state = 'leased', leased_for = 'sending'",
    "batch_leased_for_check": "UPDATE batch SET state = 'leased', leased_until = now(), leased_for = 'fun'",
    "batch_message_count_check": "UPDATE batch SET message_count = 101, queued_count = 101",
    "batch_queued_check": "UPDATE batch SET state = 'tracking'",
    "batch_number": (
        "INSERT INTO batch (campaign_id, account, number, state, send_at, give_up_at, message_count,"
        " queued_count) SELECT campaign_id, account, number, state, send_at, give_up_at, message_count,"
        " queued_count FROM batch"
    ),
    "campaign_finished_at_check": "UPDATE campaign SET state = 'finished'",
    "campaign_on_doubt_check": "UPDATE campaign SET on_doubt = 'perhaps'",
    "campaign_recipient_count_check": "UPDATE campaign SET recipient_count = -1",
    "campaign_submission_key_key": (
        "INSERT INTO campaign SELECT"
        " (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid()))).* FROM campaign c"
    ),
    "campaign_owner_key_check": "UPDATE campaign SET owner = 'shop'",
    "campaign_owner_key": (
        "INSERT INTO campaign SELECT (jsonb_populate_record(c, jsonb_build_object("
        "'id', two.id, 'owner', 'shop', 'submission_key', NULL, 'owner_key', 'key'))).*"
        " FROM campaign c, LATERAL (SELECT gen_random_uuid() AS id FROM generate_series(1, 2)) two"
    ),
    "api_key_owner_check": (
        "INSERT INTO api_key (id, owner, secret_hash, scopes) VALUES ('a', '', sha256('a'), '{}')"
    ),
    "api_key_secret_hash_check": (
        "INSERT INTO api_key (id, owner, secret_hash, scopes) VALUES ('a', 'shop', 'a key in clear', '{}')"
    ),
    "dashboard_session_secret_hash_check": (
        "WITH key AS (INSERT INTO api_key (id, owner, secret_hash, scopes)"
        " VALUES ('a', 'shop', sha256('a'), '{}'))"
        " INSERT INTO dashboard_session (secret_hash, key_id) VALUES ('a secret in clear', 'a')"
    ),
    "audit_actor_kind_check": (
        "INSERT INTO audit (actor_kind, actor, action, subject, origin) VALUES ('god', '', '', '', '')"
    ),
    "webhook_previous_secret_check": (
        "INSERT INTO webhook (id, url, secret, previous_secret) VALUES (gen_random_uuid(), '', '', '')"
    ),
    "webhook_disabled_reason_check": (
        "INSERT INTO webhook (id, url, secret, disabled_at) VALUES (gen_random_uuid(), '', '', now())"
    ),
    "webhook_delivery_state_check": f"{_DELIVERED} 'lost', now() FROM endpoint, event",
    "webhook_delivery_finished_at_check": f"{_DELIVERED} 'succeeded', NULL FROM endpoint, event",
    "message_attempt_check": "UPDATE message SET state = 'sending'",
    "message_provider_message_id_check": "UPDATE message SET provider_message_id = 'id-1'",
    "message_pkey": "UPDATE message SET position = 0",
    "campaign_hold_about_check": (
        "INSERT INTO campaign_hold (campaign_id, about, code, reason, sender_id)"
        " SELECT id, 'number', '9', 'refused', sender_id FROM campaign"
    ),
    "campaign_hold_lifted_check": (
        "INSERT INTO campaign_hold (campaign_id, about, code, reason, sender_id, lifted_at)"
        " SELECT id, 'text', '9', 'refused', sender_id, now() FROM campaign"
    ),
    "resolution_word_check": (
        "INSERT INTO resolution (campaign_id, message_count, word, operator)"
        " SELECT id, 1, 'perhaps', 'Ona' FROM campaign"
    ),
    "refusal_pkey": "INSERT INTO refusal SELECT * FROM refusal",
    "refusal_campaign_id_fkey": "INSERT INTO refusal VALUES (gen_random_uuid(), 1, 'empty')",
    "batch_campaign_id_fkey": "UPDATE batch SET campaign_id = gen_random_uuid()",
}


async def test_the_database_refuses_what_the_laws_forbid(
    database: Database, subtests: pytest.Subtests
) -> None:
    await submit(database, [*phones(3), {"phone": "12"}], submission_key="key")
    before = [await query(database, f"SELECT * FROM {table}") for table in ("campaign", "batch", "message")]  # noqa: S608  our own tables

    for constraint, sql in ILLEGAL.items():
        with subtests.test(constraint):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
                await query(database, sql)
            assert caught.value.constraint_name == constraint
    for word, sql in (
        ("lost", "UPDATE message SET state = 'lost'"),
        ("stopped", "UPDATE campaign SET state = 'stopped'"),
        ("asleep", "UPDATE batch SET state = 'asleep'"),
    ):
        with pytest.raises(asyncpg.InvalidTextRepresentationError, match=word):
            await query(database, sql)

    after = [await query(database, f"SELECT * FROM {table}") for table in ("campaign", "batch", "message")]  # noqa: S608  our own tables
    assert after == before
    checks = {row["conname"] for row in (await catalogue(database))["constraints"] if row["contype"] == "c"}
    assert checks <= ILLEGAL.keys(), "try each CHECK there is"


async def test_the_audit_is_append_only(database: Database, subtests: pytest.Subtests) -> None:
    """For everybody: its owner, who may do everything else, too."""
    await query(
        database,
        "INSERT INTO audit (actor_kind, actor, action, subject, origin)"
        " VALUES ('operator', 'ona', 'key.create', 'key/1', 'here')",
    )
    for sql in ("UPDATE audit SET actor = 'jonas'", "DELETE FROM audit", "TRUNCATE audit"):
        with subtests.test(sql), pytest.raises(asyncpg.RestrictViolationError, match="append only"):
            await query(database, sql)

    assert [row["actor"] for row in await query(database, "SELECT actor FROM audit")] == ["ona"]


async def test_what_belongs_to_a_campaign_goes_with_it(database: Database) -> None:
    await submit(database, [*phones(3), {"phone": "12"}])
    await query(database, "DELETE FROM campaign")

    assert await query(database, "SELECT id FROM batch") == []
    assert await query(database, "SELECT row FROM refusal") == []
