"""seven.io's request: its bytes, and how messages are cut into requests."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import Accepted, CampaignTrouble, NotSent, OutboundMessage, Rejected
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.seven.journal import shared_part
from campaigns.providers.wire import Wire
from tests.contract.providers.members import SENDER, TEXT, messages
from tests.contract.providers.seven.documented import BATCH, PHONES, hand_over, of_batch
from tests.contract.providers.seven.member import API_KEY, SEND, SIGNING_KEY, entry, sent
from tests.contract.providers.wire_server import WireServer, answer


async def test_a_request_is_the_documented_form(make: Callable[..., Seven], server: WireServer) -> None:
    text = "a+b & c=d #1 100% „ačiū“ \n 😀 ?/,"
    server.script.append(answer(b"{}"))
    await hand_over(make(), of_batch(2, text))
    (seen,) = server.paid
    assert (seen.method, seen.target) == ("POST", SEND)
    assert seen.headers["x-api-key"] == API_KEY
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in seen.headers
    assert seen.body.startswith(b"to=37061200000,37061200001&text=a%2Bb+%26+c%3Dd+%231+100%25+")
    assert dict(parse_qsl(seen.body.decode(), keep_blank_values=True, strict_parsing=True)) == {
        "to": "37061200000,37061200001",
        "text": text,
        "from": SENDER,
        "foreign_id": BATCH,
    }


@pytest.mark.parametrize(
    ("span", "minutes"),
    [(timedelta(hours=1), "60"), (timedelta(seconds=10), "1"), (timedelta(days=2), None)],
)
async def test_a_validity_below_their_own_is_passed_on(
    make: Callable[..., Seven], server: WireServer, span: timedelta, minutes: str | None
) -> None:
    """In whole minutes, 48 hours where nothing is said (DOCS sms)."""
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    server.script.append(answer(b"{}"))
    messages = [replace(message, valid_until=now + span) for message in of_batch(2)]
    await hand_over(make(clock=now.timestamp), messages)
    assert dict(parse_qsl(server.paid[0].body.decode())).get("ttl") == minutes


async def test_a_message_alone_bears_its_whole_reference(
    make: Callable[..., Seven], server: WireServer
) -> None:
    server.script.append(answer(b"{}"))
    await hand_over(make(), of_batch(1))
    assert dict(parse_qsl(server.paid[0].body.decode()))["foreign_id"] == f"{BATCH}-0"


@given(
    given_messages=st.lists(
        st.builds(
            OutboundMessage,
            st.tuples(st.sampled_from(["a" * 32 + "-1", "b" * 32 + "-2"]), st.integers(0, 99)).map(
                lambda place: f"{place[0]}-{place[1]}"
            ),
            st.integers(10**7, 10**14).map(lambda number: f"+{number}") | st.sampled_from(PHONES),
            st.sampled_from(["a", "č" * 300]) | st.text(max_size=2),
        ),
        max_size=60,
    ),
    most=st.integers(1, 7),
)
async def test_requests_hold_one_text_one_batch_and_no_phone_twice(
    given_messages: list[OutboundMessage], most: int
) -> None:
    wire = Wire()
    try:
        provider = Seven(name="main", api_key=API_KEY, wire=wire, max_recipients_per_request=most)
        requests = provider.requests(given_messages, SENDER)
        for request in requests:
            assert 0 < len(request) <= most
            assert len({(m.text, shared_part(m.message_ref)) for m in request}) == 1
            assert len({message.phone for message in request}) == len(request)
        handed = [id(message) for request in requests for message in request]
        assert sorted(handed) == sorted(map(id, given_messages))
    finally:
        await wire.close()


async def test_texts_keep_together_and_in_order(make: Callable[..., Seven]) -> None:
    one, two, three = of_batch(3, "a")
    other = of_batch(1, "b")[0]
    assert make().requests([one, other, two, three], SENDER) == [[one, two, three], [other]]
    assert [len(request) for request in make().requests(messages(250), SENDER)] == [100, 100, 50]


async def test_what_cannot_go_out_never_touches_the_wire(
    make: Callable[..., Seven], server: WireServer
) -> None:
    provider = make()
    assert await hand_over(provider, []) == []
    too_long = CampaignTrouble("text_too_long", "the text is longer than 1520 characters", "text")
    assert await hand_over(provider, of_batch(2, "x" * 1521)) == [too_long] * 2
    torn = Rejected("not_unicode", "text or sender cannot be written as UTF-8")
    assert await hand_over(provider, of_batch(2, "half a pair \ud83d")) == [torn] * 2
    wrong = NotSent("a request holds one text, one batch and no phone twice")
    assert await hand_over(provider, [of_batch(1, "a")[0], of_batch(2, "b")[1]]) == [wrong] * 2
    assert await hand_over(provider, of_batch(1) * 2) == [wrong] * 2
    of_two_batches = [*of_batch(1), OutboundMessage("f" * 32 + "-1-1", PHONES[0], TEXT)]
    assert await hand_over(provider, of_two_batches) == [wrong] * 2
    for ref in ("x" * 65, "a b", "ačiū", "", "a\n"):
        unknown = await hand_over(provider, [OutboundMessage(ref, PHONES[0], TEXT)])
        assert unknown == [Rejected("foreign_id", "seven.io does not take this message's reference")]
    assert not server.seen


async def test_the_longest_text_goes_out_and_its_answer_comes_back(
    make: Callable[..., Seven], server: WireServer
) -> None:
    request = of_batch(100, "😀" * 1520)
    entries = [entry(m.phone[1:], f"7722913{at:04}", text=m.text) for at, m in enumerate(request)]
    body = json.dumps(sent(*entries)).encode()
    assert len(body) > 1_800_000  # JSON in escapes, as PHP writes it
    server.script.append(answer(body))
    outcomes = await hand_over(make(), request)
    assert [o.provider_message_id for o in outcomes if isinstance(o, Accepted)] == [e["id"] for e in entries]


@pytest.mark.parametrize(
    "wrong", [{"api_key": ""}, {"api_key": "a b"}, {"api_key": "raktas ž"}, {"api_key": "a\r\nb: c"}]
)
async def test_a_key_that_no_header_carries_is_refused(make: Callable[..., Seven], wrong: Any) -> None:
    with pytest.raises(ValueError, match="api_key must be printable ASCII"):
        make(**wrong)
    with pytest.raises(ValueError, match="not blank"):
        make(signing_key=" \n")


async def test_what_an_account_says_of_itself(make: Callable[..., Seven]) -> None:
    provider = make(concurrency=4, timeout_seconds=7.5)
    assert (provider.name, provider.traits.concurrency, provider.traits.timeout_seconds) == ("main", 4, 7.5)
    assert provider.traits.settles_doubt_after_seconds == 120
    assert repr(provider) == "Seven(name='main')"
    assert make().traits.concurrency == 1
    with pytest.raises(ProviderRefused, match="no statistics by day and state"):
        await provider.statistics("2025-01")
    assert SIGNING_KEY not in repr(vars(provider)["_questions"])


DOCUMENTED = {11, 100, 101, 201, 202, *range(300, 309), 400, 401, 402, 403, 500, 600, 700}
