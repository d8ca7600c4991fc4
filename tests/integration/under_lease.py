"""Batches taken up and begun."""

from campaigns.store import batching as dealing
from campaigns.store.sending import hand_over as batches
from campaigns.store.sending.hand_over import SendingWork
from campaigns.store.session import Database


async def take_up(database: Database, worker: str = "worker-1") -> SendingWork:
    (dealt,) = await dealing.deal_sending(database, in_flight=1, of_account={"main": 1}, lease_seconds=60)
    work = await batches.take_up_sending(database, dealt, worker=worker, lease_seconds=60)
    assert work is not None
    return work


async def begin(database: Database, work: SendingWork, *positions: int) -> bool:
    begun = await batches.begin_hand_over(database, work, positions, worker="worker-1", lease_seconds=60)
    return begun == set(positions)
