"""Keys of the API: made, listed, revoked, and recognised.

A key is `cmp_<id>_<secret>`. The id is public: it is shown in lists and in the audit. The secret is random
(256 bits), is shown once and kept as SHA-256 alone: a slow hash protects weak secrets, which these are not.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from campaigns import auditing
from campaigns.domain.access import Actor, Reach, Scope
from campaigns.domain.allowance import UNBOUNDED, Allowance
from campaigns.domain.errors import CampaignError, NotAllowed, NotFound
from campaigns.store import keys as rows
from campaigns.store.keys import KeyRow
from campaigns.store.session import Database

MOST_KEYS = 100
"""Valid keys of one owner."""

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # what people do not take for something else
_ID_LENGTH = 8  # characters that tell keys apart, of which there are few
_SECRET_BYTES = 32  # random: 256 bits
_KEY = re.compile(r"cmp_([a-z0-9]{8})_([0-9a-f]{64})")
_OWNER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_NO_SECRET = bytes(32)  # compared with where no key has the id: the time of a refusal tells nothing


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made: the only time that it can be read."""

    key: str
    row: KeyRow

    def __repr__(self) -> str:
        return f"NewKey({self.row.id})"


def check(owner: str, scopes: Sequence[str], expires_at: datetime | None) -> None:
    """Refuse a key that cannot be. Raises CampaignError for its owner's name, a scope or an end."""
    if not _OWNER.fullmatch(owner):
        raise CampaignError(
            "the owner must be a short name of lower-case letters, digits, '.', '_' and '-', such as: shop"
        )
    known = {str(scope) for scope in Scope}
    if not scopes or not set(scopes) <= known:
        raise CampaignError(f"give at least one scope of: {', '.join(Scope)}")
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise CampaignError("the key would be over before it is made; give an end in the future")


async def create(  # noqa: PLR0913  what a key is made of
    database: Database,
    actor: Actor,
    *,
    owner: str,
    scopes: Sequence[str],
    accounts: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    is_for_all_owners: bool = False,
    allowance: Allowance = UNBOUNDED,
) -> NewKey:
    """Make a key. Two keys of one owner may be valid at once: that is how one is replaced by another.

    Takes the owner's short name, at least one scope, the accounts it is limited to (None: none), how much may
    be submitted with it. Recorded.
    Raises what `check` raises, and NotAllowed where the owner has as many as there may be.
    """
    check(owner, scopes, expires_at)
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
    secret = secrets.token_hex(_SECRET_BYTES)
    row = KeyRow(
        id=key_id,
        owner=owner,
        scopes=tuple(scope for scope in Scope if scope in scopes),
        accounts=None if accounts is None else tuple(sorted(set(accounts))),
        is_for_all_owners=is_for_all_owners,
        allowance=allowance,
        created_at=datetime.now(UTC),
        expires_at=expires_at,
        revoked_at=None,
        last_used_at=None,
    )
    await auditing.record(
        database,
        actor,
        "key.create",
        f"key/{key_id}",
        owner=owner,
        scopes=list(row.scopes),
        accounts=accounts and list(accounts),
        expires_at=expires_at and expires_at.isoformat(),
        all_owners=is_for_all_owners,
        recipients_per_day=allowance.recipients_per_day,
        segments_per_month=allowance.segments_per_month,
        approval_above=allowance.approval_above,
    )
    if not await rows.add(database, row, _hash(secret), most=MOST_KEYS):
        raise NotAllowed(f"{owner} has {MOST_KEYS} valid keys, as many as there may be: revoke one of them")
    return NewKey(f"cmp_{key_id}_{secret}", row)


def excess(
    maker: KeyRow,
    *,
    owner: str,
    scopes: Sequence[str],
    accounts: Sequence[str] | None,
    expires_at: datetime | None,
    is_for_all_owners: bool,
    allowance: Allowance,
) -> str | None:
    """What a key would give to a new one without having it itself, as one sentence; None: nothing."""
    missing = sorted(set(scopes) - set(maker.scopes))
    is_beyond_owner = not maker.is_for_all_owners and (is_for_all_owners or owner != maker.owner)
    is_beyond_accounts = maker.accounts is not None and (
        not accounts or not set(accounts) <= set(maker.accounts)
    )
    is_later = maker.expires_at is not None and (expires_at is None or expires_at > maker.expires_at)
    sentences = (
        (missing, f"the key has not itself: {', '.join(missing)}"),
        (is_beyond_owner, "the key sees its owner's campaigns alone, and so does every key that it makes"),
        (is_beyond_accounts, "the key is limited to accounts: limit the new one to some of those"),
        (
            allowance.exceeds(maker.allowance),
            "the new key could submit more than the key that makes it: give recipients_per_day, "
            "segments_per_month and approval_above that are no larger than its own",
        ),
        (is_later, "the new key would last longer than the key that makes it: give an earlier end"),
    )
    return next((sentence for is_so, sentence in sentences if is_so), None)


async def listed(database: Database) -> list[KeyRow]:
    """Every key there was, the newest first."""
    return await rows.listed(database)


async def page(
    database: Database,
    reach: Reach,
    *,
    limit: int,
    after: tuple[datetime, str] | None = None,
) -> list[KeyRow]:
    """The newest keys of the owner within reach, newest first. `after`: those older than the key that was
    made then and has this id.
    """
    return await rows.listed(database, owner=reach.owner, after=after, limit=limit)


async def find(database: Database, reach: Reach, key_id: str) -> KeyRow:
    """One key. Raises NotFound: also where it is another owner's."""
    found = await rows.find(database, key_id)
    if found is None or reach.owner not in {None, found[0].owner}:
        raise no_such_key(key_id)
    return found[0]


def no_such_key(key_id: str) -> NotFound:
    """What is raised where there is no key of that id."""
    return NotFound(f"there is no key {key_id}; see: campaigns key list")


async def revoke(database: Database, actor: Actor, key_id: str) -> bool:
    """End a key: its next request is refused. Recorded. Gives False where it was over already; raises
    NotFound.
    """
    await auditing.record(database, actor, "key.revoke", f"key/{key_id}")
    revoked = await rows.revoke(database, key_id)
    if revoked is None:
        raise no_such_key(key_id)
    return revoked


async def recognise(database: Database, key: str) -> KeyRow | None:
    """The key that somebody shows; None where it is none, revoked or past its end: which of them is not told.

    Notes that it was used, at most once a minute. Raises DatabaseUnavailable.
    """
    parsed = _KEY.fullmatch(key)
    found = await rows.find(database, parsed[1] if parsed else "")
    row, secret_hash = found if found is not None else (None, _NO_SECRET)
    is_right = hmac.compare_digest(_hash(parsed[2] if parsed else ""), secret_hash)
    if row is None or not is_right or not row.is_valid(datetime.now(UTC)):
        return None
    if row.last_used_at is None or datetime.now(UTC) - row.last_used_at >= rows.NOTE_AGAIN:
        await rows.note_use(database, row)
    return row


def reach_of(row: KeyRow) -> Reach:
    """Which campaigns a key sees."""
    return Reach(owner=None if row.is_for_all_owners else row.owner, accounts=row.accounts)


async def any_valid(database: Database) -> bool:
    """Whether there is a key that is neither revoked nor past its end."""
    now = datetime.now(UTC)
    return any(row.is_valid(now) for row in await rows.listed(database))


def _hash(secret: str) -> bytes:
    return sha256(secret.encode()).digest()
