"""Browsers that are signed in to the dashboard: a key is shown once, and a secret of the browser's own stands
for it from then on. The key itself is in no cookie.
"""

import re
import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from campaigns import auditing
from campaigns.domain.access import Actor
from campaigns.store import dashboard_sessions as rows
from campaigns.store.keys import KeyRow
from campaigns.store.session import Database

LONGEST = timedelta(hours=12)
"""After which a session is over, however much it is used."""

IDLE = timedelta(hours=1)
"""After which a session is over that nobody used. A page that is open and seen uses it."""

LINK = timedelta(minutes=10)
"""After which a link that nobody opened signs nobody in."""

_SECRET_BYTES = 32  # random: 256 bits
_SECRET = re.compile(r"[0-9a-f]{64}")
_LINK_BYTES = 16  # random: 128 bits, in an address that people copy
_LINK = re.compile(r"[0-9a-f]{32}")


async def begin(database: Database, actor: Actor) -> str:
    """Sign a browser in. Takes the key, which was recognised, as an actor. Gives the secret for its cookie,
    which is kept as SHA-256 alone. Recorded. Raises DatabaseUnavailable.
    """
    secret = secrets.token_hex(_SECRET_BYTES)
    await auditing.record(database, actor, "session.begin", f"key/{actor.name}")
    await rows.add(database, actor.name, _hash(secret), longest=LONGEST, idle=IDLE)
    return secret


async def make_link(database: Database, actor: Actor, key_id: str) -> str:
    """Make what signs one browser in, once and soon, by an address that holds it. Takes who makes it and the
    key that is signed in with. Gives the secret, which is kept as SHA-256 alone. Recorded.

    It is a session's row that no cookie can show, because it is hashed in another way.
    Raises DatabaseUnavailable.
    """
    secret = secrets.token_hex(_LINK_BYTES)
    await auditing.record(database, actor, "session.link", f"key/{key_id}")
    await rows.add(database, key_id, _hash_of_link(secret), longest=LONGEST, idle=IDLE)
    return secret


async def use_link(database: Database, secret: str) -> KeyRow | None:
    """The key that a link signs in with. It is used up by that. None where it was used, is too old or is
    none, and where the key is over. Raises DatabaseUnavailable.
    """
    if not _LINK.fullmatch(secret):
        return None
    return _valid(await rows.take(database, _hash_of_link(secret), longest=LINK))


async def key_of(database: Database, secret: str) -> KeyRow | None:
    """The key that a browser is signed in with; None where its session is over or is none, and where the key
    was revoked or is past its end. Raises DatabaseUnavailable.
    """
    if not _SECRET.fullmatch(secret):
        return None
    return _valid(await rows.key_of(database, _hash(secret), longest=LONGEST, idle=IDLE))


async def end(database: Database, actor: Actor, secret: str) -> None:
    """Sign a browser out: its secret is worth nothing from then on. Recorded. Raises DatabaseUnavailable."""
    await auditing.record(database, actor, "session.end", f"key/{actor.name}")
    await rows.delete(database, _hash(secret))


def _valid(key: KeyRow | None) -> KeyRow | None:
    return key if key is not None and key.is_valid(datetime.now(UTC)) else None


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _hash_of_link(secret: str) -> bytes:
    return _hash(f"link {secret}")
