"""How messages are cut into requests to LightSMS."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.provider import CampaignTrouble, NotSent, OutboundMessage, Rejected
from campaigns.providers.lightsms.adapter import LightSms, _quoted_length
from campaigns.providers.wire import Wire
from tests.contract.providers.lightsms.documented import PHONES, hand_over, handed_over
from tests.contract.providers.lightsms.member import API_KEY, LOGIN, SERVER_MOMENT
from tests.contract.providers.members import SENDER, messages
from tests.contract.providers.wire_server import WireServer, answer, body_of


@given(
    given_messages=st.lists(
        st.builds(
            OutboundMessage,
            st.uuids().map(str),
            st.integers(10**7, 10**14).map(lambda number: f"+{number}") | st.sampled_from(PHONES),
            st.sampled_from(["a", "č" * 300, "x" * 3900, "😀" * 900]) | st.text(max_size=5),
        ),
        max_size=150,
    )
)
async def test_requests_hold_one_text_no_phone_twice_and_fit_a_url(
    given_messages: list[OutboundMessage],
) -> None:
    wire = Wire()
    try:
        provider = LightSms(name="main", login=LOGIN, api_key=API_KEY, wire=wire)
        requests = provider.requests(given_messages, SENDER)
        for request in requests:
            phones = [message.phone for message in request]
            assert 0 < len(request) <= 100
            assert len({message.text for message in request}) == 1
            assert len(set(phones)) == len(phones)
            text = request[0].text.encode(errors="replace").decode()
            joined = ",".join(phone[1:] for phone in phones)
            url = provider._url("send.php", provider._send_parameters(joined, text, SENDER), SERVER_MOMENT)
            assert len(request) == 1 or len(url) <= 4000
        handed = [id(message) for request in requests for message in request]
        assert sorted(handed) == sorted(map(id, given_messages))
    finally:
        await wire.close()


@given(st.text() | st.text(st.characters(max_codepoint=127)))
def test_the_length_in_a_url_is_counted_as_it_is_quoted(text: str) -> None:
    assert _quoted_length(text) == len(quote(text, safe=",", errors="replace"))


async def test_one_text_fills_requests_to_the_brim(make: Callable[..., LightSms]) -> None:
    assert [len(request) for request in make().requests(messages(250), SENDER)] == [100, 100, 50]
    fewer = make(max_recipients_per_request=50).requests(messages(120), SENDER)
    assert [len(request) for request in fewer] == [50, 50, 20]
    long = make().requests(messages(100, "č" * 500), SENDER)  # 3,000 bytes of URL for the text alone
    assert all(len(request) > 50 for request in long[:-1])
    assert len(long) == 2
    # What the sender's name takes of the URL is counted too.
    assert len(make().requests(messages(100), "č" * 500)) == 2


async def test_texts_keep_together_and_in_order(make: Callable[..., LightSms]) -> None:
    one, two, three = messages(3, "a")
    other = messages(1, "b")[0]
    assert make().requests([one, other, two, three], SENDER) == [[one, two, three], [other]]


@pytest.mark.parametrize("document", [{"error": 14}, {"": {"error": "14"}}, {"37061200001": {"error": "14"}}])
async def test_too_many_recipients_are_halved_down_to_one(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    provider = make()
    await provider.prepare()
    sizes = []
    while True:
        request = provider.requests(messages(100), SENDER)[0]
        sizes.append(len(request))
        server.script.append(answer(body_of(document)))
        outcomes = await hand_over(provider, request)
        if len(request) == 1:
            break
        assert outcomes == [NotSent("too many numbers in the request", retry_at_once=True)] * len(request)
    assert sizes == [100, 50, 25, 12, 6, 3, 1]
    assert outcomes == [Rejected("14", "too many numbers in the request")]
    assert len(provider.requests(messages(100), SENDER)) == 100


async def test_two_that_were_too_many_at_once_are_halved_once(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    provider = make()
    await provider.prepare()
    server.script.extend([answer(body_of({"error": 14}))] * 2)
    await asyncio.gather(*(hand_over(provider, messages(100)) for _ in range(2)))
    assert len(provider.requests(messages(100), SENDER)[0]) == 50


@pytest.mark.parametrize("status", [413, 414, 431])
async def test_a_request_too_long_for_the_server_is_halved(
    make: Callable[..., LightSms], server: WireServer, status: int
) -> None:
    provider = make()
    server.script.extend([answer(status=status), answer(status=status)])
    assert await handed_over(provider, 10) == [NotSent("the request is too long", retry_at_once=True)] * 10
    assert len(provider.requests(messages(10), SENDER)[0]) == 5
    assert await handed_over(provider, 1) == [Rejected(f"http_{status}", "the request is too long")]


async def test_what_cannot_go_out_never_touches_the_wire(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    provider = make()
    await provider.prepare()
    asked = len(server.seen)
    long = messages(1, "😀" * 620)
    assert provider.requests(long, SENDER) == [long]
    assert await hand_over(provider, long) == [
        CampaignTrouble("url_too_long", "the text is too long for one URL", "text")
    ]
    torn = messages(1, "half a pair \ud83d")
    assert provider.requests(torn, SENDER) == [torn]
    refused = await hand_over(provider, torn)
    assert refused == [Rejected("not_unicode", "text or sender cannot be written as UTF-8")]
    wrong = NotSent("a request holds one text and no phone twice")
    assert await hand_over(provider, [*messages(1, "a"), messages(2, "b")[1]]) == [wrong] * 2
    assert await hand_over(provider, messages(1) * 2) == [wrong] * 2
    assert (
        await hand_over(provider, messages(2, "😀" * 620))
        == [NotSent("the request is too long for one URL")] * 2
    )
    assert await hand_over(provider, []) == []
    assert len(server.seen) == asked


async def test_a_signature_that_cannot_leave_in_time_does_not_leave(
    server: WireServer, make: Callable[..., LightSms], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the lease: a timestamp is good for ten seconds."""
    provider = make()
    await provider.prepare()
    taken: list[float] = []
    hand_over_by_wire = Wire.hand_over

    async def noted(self: Wire, *args: Any, leave_by: float, **more: Any) -> Any:
        taken.append(leave_by)
        return await hand_over_by_wire(self, *args, leave_by=leave_by, **more)

    monkeypatch.setattr(Wire, "hand_over", noted)
    server.script.extend([answer(b"{}"), answer(b"{}")])
    now = asyncio.get_running_loop().time()
    await provider.hand_over(messages(1), SENDER, now + 600)
    await provider.hand_over(messages(1), SENDER, now + 4)
    assert now + 5 <= taken[0] <= now + 6
    assert taken[1] == now + 4
