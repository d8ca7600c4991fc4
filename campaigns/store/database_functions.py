"""The database's functions: files in `functions/`, one each, that are read whole and installed by `migrate`.

What they need of the law of states is rendered from `domain/states.py`, so a new state is no new text.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from campaigns.domain.states import OPEN, POLLABLE, SETTLED, CampaignState, MessageState
from campaigns.domain.timeline import SOURCE_CODES, Source
from campaigns.store.deal import DEAL_POLLING, DEAL_SENDING
from campaigns.store.law import TALLY_COLUMNS, in_list, quoted, sum_of
from campaigns.store.reasons import MAY_HAVE_REASON, counted_reason, has_reason
from campaigns.store.session import Connection
from campaigns.store.timeline import code, moment, noted, pieces, record, step

_FOLDER = files(__package__).joinpath("functions")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_PARTS = re.compile(r"(CREATE .*?)AS (\$\w*\$)(.*)\2", re.DOTALL)

# What a batch keeps of its messages: a count for every state, and the sums beside.
_KEPT = (*TALLY_COLUMNS, "segment_count", "cost", "priced_count", "unpriced_count", "other_costs", "reasons")

TOTALS_BY_STATE = "jsonb_build_object({})".format(
    ", ".join(
        f"{quoted(state)}, sum(b.{column})" for state, column in zip(MessageState, TALLY_COLUMNS, strict=True)
    )
)
"""SQL: a campaign's totals over its batches `b`, as webhooks are told them."""

MOST_ASIDE_EVENTS = 1_000
"""Events for webhooks that are set aside and kept."""

# Evidence of one that was in doubt settles it.
_HOW_IT_IS_KNOWN = (
    f"CASE WHEN NOT e.was_asked THEN {SOURCE_CODES[Source.CALLBACK]}"
    f" WHEN m.state = {quoted(MessageState.IN_DOUBT)} THEN {SOURCE_CODES[Source.LOOK_UP]}"
    f" ELSE {SOURCE_CODES[Source.POLL]} END"
)

_LAW = {
    "pollable": in_list(POLLABLE),
    "tally_types": ", ".join(f"{column} bigint" for column in TALLY_COLUMNS),
    "tally": ",\n        ".join(
        f"count(*) FILTER (WHERE m.state = {quoted(state)}) AS {column}"
        for state, column in zip(MessageState, TALLY_COLUMNS, strict=True)
    ),
    "set_tally": ",\n        ".join(f"{column} = t.{column}" for column in _KEPT),
    "open_count": sum_of(OPEN, "t"),
    "with_reason_count": " + ".join(
        f"count(*) FILTER (WHERE m.state = {quoted(state)})" for state in sorted(MAY_HAVE_REASON)
    ),
    "has_reason": has_reason("x"),
    "counted_reason": counted_reason("x"),
    "settled": in_list(SETTLED),
    **{
        state.value: quoted(state)
        for state in (CampaignState.ACCEPTED, CampaignState.RUNNING, CampaignState.PAUSED)
    },
    "deal_sending": DEAL_SENDING.strip(),
    "deal_polling": DEAL_POLLING.strip(),
    "totals_by_state": TOTALS_BY_STATE,
    "most_aside_events": str(MOST_ASIDE_EVENTS),
    "answer_step": step(Source.ANSWER, "w.state", "w.provider_state"),
    "answer_noted": noted("a.step"),
    "absence_noted": noted(step(Source.LOOK_UP, quoted(MessageState.QUEUED))),
    "evidence_moment": moment("coalesce(w.learned_at, now())"),
    "evidence_code": code("w.state"),
    "evidence_pieces": pieces("w.state", "w.provider_state"),
    "evidence_noted": noted(f"{record('e.moment', _HOW_IT_IS_KNOWN, 'e.code')} || e.pieces"),
}


# Decimals and moments as texts: exact, and read by the type of their field.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str)


def as_group(batches: Iterable[Mapping[str, object]]) -> str:
    """The one parameter that every function takes: a JSON array with an object for each batch of a group."""
    return _ENCODER.encode(list(batches))


@cache
def texts() -> Mapping[str, str]:
    """The statements that install the functions, by the functions' names."""
    return {
        path.name.removesuffix(".sql"): _PLACEHOLDER.sub(
            lambda found: _LAW[found[1]], path.read_text(encoding="utf-8")
        )
        for path in sorted(_FOLDER.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".sql")
    }


def essence(definition: str) -> tuple[str, str]:
    """What a CREATE FUNCTION statement says, as a file has it or as PostgreSQL gives it back: the head in one
    line, without the schema's name, and the body to the letter.
    """
    found = _PARTS.search(definition)
    if found is None:
        raise ValueError("no CREATE FUNCTION … AS $$ … $$")
    head = re.sub(r"FUNCTION \S+\.", "FUNCTION ", found[1])
    return re.sub(r"\( | \)", lambda bracket: bracket[0].strip(), " ".join(head.split())), found[3]


async def install(connection: Connection) -> None:
    """Make what is installed what this release's files say: all in one transaction, after all migrations.
    Those who call a function meanwhile get the old text or the new one, never none.
    """
    async with connection.transaction():
        # What only functions call may give something else than before (a tally of one more state): to
        # PostgreSQL that is another function.
        before = {name: essence(definition)[0] for name, definition in await installed(connection)}
        for name, text in texts().items():
            if name in before and _result(before[name]) != _result(essence(text)[0]):
                await connection.execute(f"DROP FUNCTION {name}")
            await connection.execute(text)


def _result(head: str) -> str:
    return head.partition(" LANGUAGE ")[0]


# Those of extensions are not ours.
_INSTALLED = """
    SELECT p.proname::text AS name, pg_get_functiondef(p.oid) AS definition
    FROM pg_proc p
    WHERE p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('alembic_version'))
      AND p.prokind = 'f'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    ORDER BY p.proname
"""


async def installed(connection: Connection) -> list[tuple[str, str]]:
    """The functions beside our tables as PostgreSQL has them: name and definition, in order of name."""
    return [(record["name"], record["definition"]) for record in await connection.fetch(_INSTALLED)]


async def differing(connection: Connection) -> list[str]:
    """The functions of this release that the database does not have, or has with another text."""
    found: dict[str, set[tuple[str, str]]] = {}
    for name, definition in await installed(connection):
        found.setdefault(name, set()).add(essence(definition))
    return [name for name, text in texts().items() if essence(text) not in found.get(name, set())]


async def missing(connection: Connection) -> list[str]:
    """The functions of this release that the database does not have at all."""
    found = {name for name, _ in await installed(connection)}
    return [name for name in texts() if name not in found]
