"""Coarse receipts: they came by callback, and the provider may know more. It is asked a few times at most;
then what came counts as it is.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from campaigns.adapter_calls import call_adapter
from campaigns.domain.policy import Account, Desk
from campaigns.domain.provider import Answers, Receipt
from campaigns.domain.said import details_of, kept_status_word
from campaigns.domain.states import is_settled
from campaigns.store.receipts import callbacks as rows
from campaigns.store.receipts.callbacks import Coarse
from campaigns.store.session import Database

_BUNDLE = 100  # coarse receipts asked about in one run
_MOST_OF_ACCOUNT = 20  # coarse receipts of one account in one run
_LOOK_SECONDS = 2.0  # for a question about coarse receipts to wait for the pace
_MOST_LOOKS = 3  # questions about a coarse receipt; then it counts as it is
_LOOK_AGAIN_SECONDS = 6.0  # some may not be asked of the same message again within 5


async def refine_coarse(database: Database, desk: Desk) -> bool:
    """Ask more exactly about coarse receipts, a bounded number. Gives whether some of them count now.

    Any number may do so at once. Raises DatabaseUnavailable.
    """
    coarse, plain_count = await rows.take_coarse(
        database,
        limit=_BUNDLE,
        most_of_account=_MOST_OF_ACCOUNT,
        again_in_seconds=desk.policy.lease_seconds,
        give_up_seconds=desk.policy.give_up_seconds,
    )
    of_accounts: dict[str, list[Coarse]] = {}
    for each in coarse:
        of_accounts.setdefault(each.account, []).append(each)
    refined = await asyncio.gather(
        *(_refine(database, desk.accounts.get(name), some) for name, some in of_accounts.items())
    )
    return plain_count > 0 or any(refined)


async def _refine(database: Database, account: Account | None, coarse: Sequence[Coarse]) -> bool:
    """Whether some receipts of one account count now. Where the account is not known, all do."""
    if account is None:
        await rows.settle_coarse(database, [each.id for each in coarse])
        return True
    answers = await _ask(account, [each.provider_message_id for each in coarse])
    finer = {receipt.provider_message_id or "": receipt for receipt in answers.receipts if _is_final(receipt)}
    counting = [each for each in coarse if _counts(each, finer, answers)]
    again = [each.id for each in coarse if each not in counting]
    if again:
        wait = max(answers.retry_after_seconds or 0.0, _LOOK_AGAIN_SECONDS)
        await rows.look_again(database, again, in_seconds=wait)
    if counting:
        await _settle(database, counting, finer)
    return bool(counting)


async def _settle(database: Database, counting: Sequence[Coarse], finer: Mapping[str, Receipt]) -> None:
    """Have these receipts count: as the provider said more exactly, or as they came."""
    now = datetime.now(UTC)
    found = [(each.id, finer[ref]) for each in counting if (ref := each.provider_message_id) in finer]
    refined = [
        (at, receipt.evidence, kept_status_word(receipt.provider_state), details_of(receipt, now))
        for at, receipt in found
    ]
    if refined:
        await rows.refine(database, refined)
    await rows.settle_coarse(database, [each.id for each in counting])


async def _ask(account: Account, ids: Sequence[str]) -> Answers:
    """Ask the provider for a short time; what the pace leaves no time for is asked in a later run."""
    ends_at = asyncio.get_running_loop().time() + _LOOK_SECONDS
    asking = account.provider.ask(ids, account.asking_until(ends_at))
    until = ends_at + account.provider.traits.timeout_seconds
    return await call_adapter(asking, until, lambda why: Answers([], why))


def _is_final(receipt: Receipt) -> bool:
    return receipt.evidence is not None and is_settled(receipt.evidence)


def _counts(coarse: Coarse, finer: Mapping[str, Receipt], answers: Answers) -> bool:
    """Whether the receipt counts now: something more exact came, or it was asked for often enough."""
    if coarse.provider_message_id in finer:
        return True
    return coarse.look_count >= _MOST_LOOKS and coarse.provider_message_id not in answers.unasked
