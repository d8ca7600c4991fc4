"""A number that is erased is nowhere but on the suppression list, and nobody is sent a second text for it."""

from campaigns import aggregation, erasing, follow_up, reading, receipts, suppression
from campaigns.domain.access import Reach
from campaigns.domain.following import chosen
from campaigns.domain.limits import AccountTerms
from campaigns.domain.provider import Rejected
from campaigns.domain.states import CampaignState, MessageState
from campaigns.store.session import Database
from tests.conftest import POLICY, MakeDesk
from tests.integration.one_batch import send_one
from tests.integration.rows import query, states, wrong_tallies
from tests.integration.test_callbacks import by_ref, refs
from tests.river import flow, submit
from tests.stub import Stub

ONA, OTHER = "+37060000001", "+37060000002"
ROWS = [{"phone": ONA, "name": "Onute"}, {"phone": OTHER, "name": "Rasa"}]
TEXT = "Hello {name}"


async def found_in(database: Database, *words: str) -> set[str]:
    """The tables that hold one of these words anywhere."""
    tables = await query(
        database, "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()"
    )
    found = set()
    for table in tables:
        rows = await query(
            database,
            f"SELECT FROM {table['name']} t WHERE EXISTS ("  # noqa: S608  the catalogue's own names
            " SELECT FROM unnest($1::text[]) w(word) WHERE strpos(t::text, word) > 0) LIMIT 1",
            list(words),
        )
        found |= {str(table["name"])} if rows else set()
    return found


async def test_nothing_of_a_number_is_kept_but_that_it_is_not_to_be_sent_to(
    database: Database, make_desk: MakeDesk
) -> None:
    stub = Stub("main")
    desk = make_desk(stub)
    await submit(database, ROWS, text=TEXT)
    await send_one(database, desk)
    waits = await submit(database, ROWS, text=TEXT + "!")
    first_refs = await refs(database)
    assert await found_in(database, ONA, "Onute") == {"message"}

    first = await erasing.erase(database, [ONA])

    assert (first.erased_count, first.open_count) == (0, 2)  # they need their numbers yet
    await receipts.take_in_many(
        database,
        [by_ref(first_refs[0], MessageState.UNDELIVERED), by_ref(first_refs[1], MessageState.DELIVERED)],
    )
    await receipts.merge_waiting(database, desk)
    await flow(database, desk, waits.id)
    assert [line.message.text for line in stub.ledger] == ["Hello Onute", "Hello Rasa", "Hello Rasa!"]

    second = await erasing.erase(database, [ONA])

    assert (second.erased_count, second.open_count) == (2, 0)
    assert await found_in(database, ONA, "Onute") == {"suppression"}
    assert await found_in(database, OTHER, "Rasa") == {"message"}
    assert await states(database) == [
        MessageState.UNDELIVERED,
        MessageState.DELIVERED,
        MessageState.SUPPRESSED,
        MessageState.DELIVERED,
    ]
    await receipts.take_in_many(database, [by_ref(first_refs[0], MessageState.DELIVERED)])
    await receipts.merge_waiting(database, desk)
    assert (await states(database))[0] is MessageState.DELIVERED  # what is learned late still counts
    assert await wrong_tallies(database) == []
    assert (await erasing.erase(database, [ONA])).erased_count == 0


async def test_what_was_erased_is_sent_to_by_no_repeat_and_no_follow_up(
    database: Database, make_desk: MakeDesk
) -> None:
    refused = {phone: [Rejected("1", "wrong")] for phone in (ONA, OTHER)}
    desk = make_desk(Stub("main", outcomes=refused))
    taken = await submit(database, ROWS, text=TEXT, submission_key="spring")
    await flow(database, desk, taken.id)
    await erasing.erase(database, [ONA])
    await suppression.unsuppress(database, [ONA], None)  # a person may; it sends nothing by itself

    again = await submit(database, ROWS, text=TEXT, submission_key="spring")
    wanted = follow_up.FollowUp(chosen(taken.id, ["rejected"], None))
    follower = await follow_up.follow_up(
        database, POLICY, wanted, lambda name: AccountTerms(name, needs_sender_id=False)
    )

    assert again.id == taken.id
    told = await query(
        database,
        "SELECT m.phone FROM batch b JOIN message m ON m.batch_id = b.id WHERE b.campaign_id = $1",
        follower.id,
    )
    assert [row["phone"] for row in told] == [OTHER]
    assert await query(database, "SELECT FROM refusal WHERE campaign_id = $1", follower.id) == []
    assert await reading.messages(database, by="phone", value=ONA) == []


async def test_it_reaches_as_far_as_who_asks(database: Database) -> None:
    """All forms of one person's number are one; another owner's campaigns keep theirs."""
    with_nine, without = "+5491123456789", "+541123456789"
    for owner in ("shop", "bank"):
        taken = await submit(database, [{"phone": with_nine}], owner=owner)
        await aggregation.change_state(database, taken.id, CampaignState.CANCELLED)
    assert len(await reading.messages(database, by="phone", value=without)) == 2

    async def erase(reach: Reach) -> int:
        return (await erasing.erase(database, [without], reach)).erased_count

    assert await erase(Reach("shop")) == 1
    assert await erase(Reach("bank", ["other"])) == 0
    assert await found_in(database, with_nine) == {"message"}
    assert await erase(Reach("bank", ["main"])) == 1
    assert await found_in(database, with_nine) == set()
