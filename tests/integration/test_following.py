"""Follow-ups: exactly those whom a campaign did not reach, nobody twice, whatever happens meanwhile."""

import asyncio
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from campaigns import follow_up, reading
from campaigns.domain.errors import NotAllowed, NotFound, SubmissionError, SubmissionKeyConflict
from campaigns.domain.following import CHOICES, CONFIRMATION, chosen
from campaigns.domain.limits import AccountTerms
from campaigns.domain.states import OPEN, SETTLED, UNREACHED, MessageState
from campaigns.store import following
from campaigns.store.law import quoted, tally_column
from campaigns.store.session import Database
from campaigns.store.submission import TakenIn
from tests.conftest import POLICY
from tests.integration.rows import bend, query
from tests.river import phones, submit

GOT_IT = {MessageState.DELIVERED, MessageState.READ}


def terms(name: str) -> AccountTerms:
    return AccountTerms(name, needs_sender_id=False)


async def follow(database: Database, campaign_id: UUID, *words: str, **more: Any) -> TakenIn:
    in_doubt = more.pop("in_doubt", None)
    wanted = follow_up.FollowUp(chosen(campaign_id, words, in_doubt), **more)
    return await follow_up.follow_up(database, POLICY, wanted, terms)


async def become(
    database: Database, campaign_id: UUID, row: int, state: MessageState, attempt: int = 1
) -> None:
    """The message of a row has come to this, and its batch's tally says so."""
    await bend(
        database,
        "UPDATE message m SET state = $3, attempt = $4 FROM batch b"
        " WHERE b.id = m.batch_id AND b.campaign_id = $1 AND m.row = $2",
        campaign_id,
        row,
        state,
        attempt,
    )
    counts = ", ".join(
        f"{tally_column(state)} = (SELECT count(*) FROM message m WHERE m.batch_id = b.id"  # noqa: S608  our own
        f" AND m.state = {quoted(state)})"
        for state in MessageState
    )
    await bend(database, f"UPDATE batch b SET {counts}, state = 'ready'")  # noqa: S608  our own


async def sent_to(database: Database, campaign_id: UUID) -> dict[str, str | None]:
    found = await query(
        database,
        "SELECT m.phone, m.text FROM batch b JOIN message m ON m.batch_id = b.id WHERE b.campaign_id = $1",
        campaign_id,
    )
    return {row["phone"]: row["text"] for row in found}


_WITHOUT_ATTEMPT = {MessageState.SUPPRESSED, MessageState.CANCELLED, MessageState.QUEUED}
# Every state that a message may be in, at every attempt that is possible there.
FATES = [
    (state, attempt)
    for state, attempt in product(MessageState, (0, 1, 2))
    if attempt or state in _WITHOUT_ATTEMPT | {MessageState.FAILED, MessageState.EXPIRED}
]


@pytest.mark.parametrize("had_resends", [False, True])
async def test_which_messages_each_word_means(database: Database, had_resends: bool) -> None:
    taken = await submit(database, phones(len(FATES)), on_doubt="resend" if had_resends else "hold")
    for row, (state, attempt) in enumerate(FATES, 2):
        await become(database, taken.id, row, state, attempt)

    async def meant(*words: str, in_doubt: str | None = None) -> set[tuple[MessageState, int]]:
        async with following.chosen(database, chosen(taken.id, words, in_doubt)) as messages:
            await messages.open()
            return {FATES[each.row - 2] for each in await messages.next()}

    def is_certain(state: MessageState, attempt: int) -> bool:
        by_provider = state in {MessageState.UNDELIVERED, MessageState.REJECTED}
        return not had_resends or attempt == 0 or (attempt == 1 and by_provider)

    certain = {
        fate
        for fate in FATES
        if (fate[0] in UNREACHED or fate[0] is MessageState.CANCELLED) and is_certain(*fate)
    }
    for word in CHOICES:
        found = await meant(word)
        match word:
            case "not_reached":
                assert found == {fate for fate in certain if fate[0] in UNREACHED}
            case "never_handed_over":
                assert found == {fate for fate in certain if fate[1] == 0}
            case _:
                assert found == {fate for fate in certain if fate[0] == word}
    everything = await meant(*CHOICES, in_doubt=CONFIRMATION)
    assert everything == {
        fate for fate in FATES if fate[0] in UNREACHED | {MessageState.CANCELLED, MessageState.UNKNOWN}
    }
    doubtful = await meant(in_doubt=CONFIRMATION)
    assert doubtful == everything - certain
    assert {state for state, _ in everything}.isdisjoint(GOT_IT | OPEN | {MessageState.QUEUED})
    assert {state for state, _ in everything} <= SETTLED


async def test_it_says_what_its_campaign_said_to_the_same_people(database: Database) -> None:
    rows = [
        {"mobile": "860000001", "name": "Ona", "phone": "an old one", "note": "{x}"},
        {"mobile": "860000002", "name": "Jonas", "phone": "", "note": ""},
    ]
    taken = await submit(
        database,
        rows,
        text="Hi {Name} {mobile} {{ok}} {note|-}",
        phone_column="mobile",
        region="LT",
        owner="shop",
        name="Spring sale",
        on_doubt="resend",
        literal=True,
    )
    await become(database, taken.id, 2, MessageState.UNDELIVERED)
    again = await follow(database, taken.id, "undelivered")

    assert (again.created, again.recipient_count, again.refused) == (True, 1, {})
    assert await sent_to(database, again.id) == {"+37060000001": "Hi Ona +37060000001 {ok} {x}"}
    made = await reading.status(database, again.id)
    assert (made.follow_up_of, made.owner, made.account) == (taken.id, "shop", "main")
    assert made.name == "Spring sale (follow-up)"
    (stored,) = await query(database, "SELECT sender_id, on_doubt FROM campaign WHERE id = $1", again.id)
    assert tuple(stored.values()) == ("Demo", "resend")

    await become(database, taken.id, 3, MessageState.UNDELIVERED)
    other = await follow(database, taken.id, "undelivered", text="{name}, {phone|no old one}?")
    assert await sent_to(database, other.id) == {"+37060000002": "Jonas, no old one?"}


async def test_a_text_without_columns_is_sent_word_for_word(database: Database) -> None:
    taken = await submit(database, phones(2), text="{{50%}} off [name]", literal=True)
    await become(database, taken.id, 3, MessageState.REJECTED)
    again = await follow(database, taken.id, "not_reached")
    assert list((await sent_to(database, again.id)).values()) == [None]
    (stored,) = await query(database, "SELECT text FROM campaign WHERE id = $1", again.id)
    assert stored["text"] == "{50%} off [name]"


async def test_the_same_wish_is_the_same_campaign_whatever_became_of_the_messages(database: Database) -> None:
    taken = await submit(database, phones(3))
    await become(database, taken.id, 2, MessageState.FAILED)
    first = await follow(database, taken.id, "failed", submission_key="k")
    unnamed = await follow(database, taken.id, "failed")
    await become(database, taken.id, 2, MessageState.DELIVERED)
    await become(database, taken.id, 3, MessageState.FAILED)

    for key in ("k", None):
        again = await follow(database, taken.id, "failed", submission_key=key)
        assert (again.id, again.created) == (first.id, False)
    assert (unnamed.id, unnamed.created) == (first.id, False)
    with pytest.raises(SubmissionKeyConflict):
        await follow(database, taken.id, "rejected", submission_key="k")
    more = await follow(database, taken.id, "failed", submission_key="l")
    assert (more.created, list(await sent_to(database, more.id))) == (True, [phones(3)[1]["phone"]])


async def test_whom_a_follow_up_has_is_followed_up_in_its_turn(database: Database) -> None:
    taken = await submit(database, phones(3))
    for row in (2, 3):
        await become(database, taken.id, row, MessageState.UNDELIVERED)
    first = await follow(database, taken.id, "not_reached")
    assert first.recipient_count == 2

    with pytest.raises(SubmissionError, match="not followed up yet"):
        await follow(database, taken.id, "not_reached", text="Another", once_within_seconds=None)
    await become(database, taken.id, 4, MessageState.UNDELIVERED)
    second = await follow(database, taken.id, "not_reached", text="Another")
    assert list(await sent_to(database, second.id)) == [phones(3)[2]["phone"]]

    await become(database, first.id, 2, MessageState.DELIVERED)
    await become(database, first.id, 3, MessageState.REJECTED)
    third = await follow(database, first.id, "not_reached")
    assert list(await sent_to(database, third.id)) == [phones(3)[1]["phone"]]


async def test_what_is_delivered_between_reading_and_storing_is_left_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = await submit(database, phones(4))
    for row in (2, 3):
        await become(database, taken.id, row, MessageState.EXPIRED)
    read = following.Chosen.next
    delivered = [3]

    async def deliver_after(messages: following.Chosen) -> list[following.FollowedRow]:
        rows = await read(messages)
        while delivered:
            await become(database, taken.id, delivered.pop(), MessageState.DELIVERED)
        return rows

    monkeypatch.setattr(following.Chosen, "next", deliver_after)
    again = await follow(database, taken.id, "expired")
    assert again.recipient_count == 1
    assert list(await sent_to(database, again.id)) == [phones(2)[0]["phone"]]

    await become(database, taken.id, 4, MessageState.EXPIRED)
    delivered.append(4)
    before = await query(database, "SELECT id FROM campaign ORDER BY id")
    with pytest.raises(SubmissionError, match="reached meanwhile"):
        await follow(database, taken.id, "expired", text="Another")
    assert await query(database, "SELECT id FROM campaign ORDER BY id") == before


async def test_two_at_the_same_instant_take_nobody_twice(database: Database) -> None:
    taken = await submit(database, phones(50))
    await bend(database, "UPDATE message SET state = 'failed', attempt = 1")
    await bend(database, "UPDATE batch SET failed_count = message_count, queued_count = 0")
    done = await asyncio.gather(
        *(follow(database, taken.id, "failed", text=f"Text {n}") for n in range(4)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in done) == ["SubmissionError"] * 3 + ["TakenIn"]
    (counted,) = await query(
        database,
        "SELECT count(*) AS n, count(DISTINCT phone) AS people FROM message m JOIN batch b ON b.id = batch_id"
        " JOIN campaign c ON c.id = campaign_id WHERE follow_up_of IS NOT NULL",
    )
    assert tuple(counted.values()) == (50, 50)


async def test_a_suppressed_number_is_suppressed_in_a_follow_up_too(database: Database) -> None:
    taken = await submit(database, phones(1))
    await become(database, taken.id, 2, MessageState.UNDELIVERED)
    await query(database, "INSERT INTO suppression (phone, reason) SELECT phone, 'STOP' FROM message")
    again = await follow(database, taken.id, "undelivered")
    assert (await reading.status(database, again.id)).totals[MessageState.SUPPRESSED] == 1


async def test_what_is_refused(database: Database) -> None:
    taken = await submit(database, phones(1))
    with pytest.raises(NotFound):
        await follow(database, UUID(int=7), "failed")
    for words, in_doubt in (((), None), (("delivered",), None), (("in_doubt",), None), (("failed",), "yes")):
        with pytest.raises(SubmissionError):
            chosen(taken.id, words, in_doubt)
    await become(database, taken.id, 2, MessageState.FAILED, 0)
    await query(
        database,
        "INSERT INTO account_hold (account, code, reason, probe_at)"
        " VALUES ('main', 'went_back', 'restored', now())",
    )
    with pytest.raises(NotAllowed, match="went back in time"):
        await follow(database, taken.id, "never_handed_over")
