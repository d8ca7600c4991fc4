"""SQL of allowances: what was taken in, and that two submissions do not use the same rest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from campaigns.domain.allowance import Allowance, Used, check
from campaigns.store.session import Connection

# By the moment a campaign was made, cancelled or not: a text may have been on its way.
_USED = """
    SELECT coalesce(sum(recipient_count) FILTER (WHERE created_at >= date_trunc('day', now(), 'UTC')), 0)
               ::bigint AS recipients,
           coalesce(sum(segment_count), 0)::bigint AS segments
    FROM campaign
    WHERE created_at >= date_trunc('month', now(), 'UTC')
      AND CASE WHEN $2 = 'owner' THEN owner ELSE account END = $1
"""


@dataclass(frozen=True, slots=True)
class Bound:
    """An owner or an account that may not submit any number."""

    of: Literal["owner", "account"]
    name: str
    allowance: Allowance


def bounds_of(owner: str, of_owner: Allowance, account: str, of_account: Allowance) -> list[Bound]:
    """Those that are to be looked at. Always in this order, so that two submissions never wait for each
    other.
    """
    both = [Bound("owner", owner, of_owner), Bound("account", account, of_account)]
    return [each for each in both if each.allowance.is_bounded]


async def lock(connection: Connection, bounds: Sequence[Bound]) -> None:
    """Have other submissions under the same bounds wait until this transaction ends.

    To be called before anything is looked up: what they make may be the same campaign.
    """
    for bound in bounds:
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('allowance of ' || $1, 0))",
            f"{bound.of} {bound.name}",
        )


async def check_left(connection: Connection, bounds: Sequence[Bound], wanted: Used) -> None:
    """Raises OverAllowance where what is wanted is more than is left."""
    for bound in bounds:
        used = await connection.fetchrow(_USED, bound.name, bound.of)
        assert used is not None  # noqa: S101  sums give a row
        whose = f"account {bound.name}" if bound.of == "account" else "all keys of this owner together"
        now = await connection.fetchval("SELECT now()")
        check(whose, bound.allowance, Used(**used), wanted, now)
