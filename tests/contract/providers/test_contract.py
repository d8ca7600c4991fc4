"""The contract of `campaigns.domain.provider`, and every adapter held to it.

`member` is each of the family, the stub too; `wired` those with a network under them. A new adapter adds
`<name>/member.py` and passes all of this.
"""

import asyncio
import json
import logging
import traceback
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    Answers,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Provider,
    Rejected,
    Throttled,
)
from campaigns.domain.states import EVIDENCE
from campaigns.providers.wire import Wire
from tests.contract.providers.members import MEMBERS, SENDER, TEXT, WIRED, Member, WiredMember, messages
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import (
    Act,
    WireServer,
    answer,
    cut,
    drip,
    garbage,
    giant,
    half,
    hang,
    reset,
)
from tests.waiting import until


def now() -> float:
    return asyncio.get_running_loop().time()


async def handed_over(provider: Provider, request: Sequence[OutboundMessage]) -> list[Outcome]:
    await provider.prepare()
    return await provider.hand_over(request, SENDER, now() + 5)


def one_request(provider: Provider, count: int = 3) -> list[OutboundMessage]:
    """As many of `count` messages as the provider takes in one request."""
    return provider.requests(messages(count), SENDER)[0]


# --- what goes out together -------------------------------------------------------------------------


async def test_requests_are_a_partition(member: Member, server: WireServer, wire: Wire) -> None:
    provider = member.make(server, wire)
    mixed = [*messages(250), *messages(30, "another text"), *messages(5)]
    requests = provider.requests(mixed, SENDER)
    assert all(requests)
    assert sorted(map(id, mixed)) == sorted(id(message) for request in requests for message in request)
    alike = messages(250)
    assert [message for request in provider.requests(alike, SENDER) for message in request] == alike
    assert provider.requests([], SENDER) == []


# --- handing over -----------------------------------------------------------------------------------


async def test_every_message_has_its_outcome_in_order(
    wired: WiredMember, server: WireServer, wire: Wire
) -> None:
    provider = wired.make(server, wire)
    request = one_request(provider)
    server.script.append(answer(wired.accepts(request)))
    outcomes = await handed_over(provider, request)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len({outcome.provider_message_id for outcome in outcomes if isinstance(outcome, Accepted)}) == len(
        request
    )
    assert len(server.paid) == 1

    backwards = request[::-1]
    server.script.append(answer(wired.accepts(request)))
    assert await handed_over(provider, backwards) == outcomes[::-1]


async def test_one_outcome_for_each_message(member: Member, server: WireServer, wire: Wire) -> None:
    provider = member.make(server, wire)
    request = one_request(provider)
    server.script.append(answer(b"{}"))
    assert len(await handed_over(provider, request)) == len(request)


async def test_nothing_leaves_after_leave_by(member: Member, server: WireServer, wire: Wire) -> None:
    provider = member.make(server, wire)
    request = one_request(provider)
    await provider.prepare()
    outcomes = await provider.hand_over(request, SENDER, now())
    assert all(isinstance(outcome, NotSent) for outcome in outcomes)
    assert len(outcomes) == len(request)
    assert not server.paid


async def test_a_refused_connection_is_not_sent(wired: WiredMember, server: WireServer, wire: Wire) -> None:
    provider = wired.make(server, wire)
    request = one_request(provider)
    await provider.prepare()
    server.stop_listening()
    outcomes = await provider.hand_over(request, SENDER, now() + 5)
    assert outcomes == [NotSent("connection refused")] * len(request)


async def test_https_to_a_plain_port_is_not_sent(wired: WiredMember, server: WireServer, wire: Wire) -> None:
    server.scheme = "https"
    provider = wired.make(server, wire)
    with suppress(ProviderRefused):  # where there is something to prepare, it says so already
        await provider.prepare()
    outcomes = await provider.hand_over(one_request(provider), SENDER, now() + 5)
    assert all(isinstance(outcome, NotSent) for outcome in outcomes)
    assert server.tls_hellos >= 1
    assert server.bytes_received == 0


IN_DOUBT: dict[str, Act] = {
    "hang": hang(),
    "drip": drip(b" " * 10_000),
    "cut": cut(),
    "reset": reset(),
    "half a body": half(b"{" + b" " * 200 + b"}"),
    "not HTTP": garbage(),
    "a giant": giant(2**30),
    "nothing": answer(b""),
    "HTML": answer(b"<html><body>Welcome</body></html>", headers={"Content-Type": "text/html"}),
    "half a JSON": answer(b'{"37061200001": {"err'),
    "another JSON": answer(b'["thank you"]'),
    "null": answer(b"null"),
    "nonsense": answer(bytes(range(256))),
    "too deep": answer(b"[" * 200_000),
    **{f"HTTP {status}": answer(b"{}", status=status) for status in (500, 502, 504, 520)},
    **{
        f"HTTP {status}": answer(b"", status=status, headers={"Location": "/again"})
        for status in (301, 302, 303, 307, 308)
    },
}


@pytest.mark.parametrize("name", IN_DOUBT)
async def test_an_answer_not_seen_is_in_doubt_and_was_asked_for_once(
    wired: WiredMember, server: WireServer, wire: Wire, name: str
) -> None:
    provider = wired.make(server, wire, timeout_seconds=0.3 if name in {"hang", "drip"} else 5.0)
    request = one_request(provider)
    server.script.append(IN_DOUBT[name])
    outcomes = await handed_over(provider, request)
    assert all(isinstance(outcome, InDoubt) for outcome in outcomes), outcomes
    assert len(outcomes) == len(request)
    assert len(server.paid) == 1


async def test_a_cut_connection_never_sends_twice(wired: WiredMember, server: WireServer, wire: Wire) -> None:
    """The server answers, keeps the connection, then takes the next request and cuts."""
    provider = wired.make(server, wire)
    request = one_request(provider)
    server.script.extend([answer(wired.accepts(request)), cut()])
    await handed_over(provider, request)
    outcomes = await handed_over(provider, request)
    assert all(isinstance(outcome, InDoubt) for outcome in outcomes)
    assert len(server.paid) == 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "seconds"), [({"Retry-After": "17"}, 17.0), ({"Retry-After": "90000"}, 3600.0), ({}, None)]
)
async def test_too_fast_is_throttled(
    wired: WiredMember,
    server: WireServer,
    wire: Wire,
    status: int,
    said: dict[str, str],
    seconds: float | None,
) -> None:
    provider = wired.make(server, wire)
    request = one_request(provider)
    server.script.append(answer(b"slow down", status=status, headers=said))
    outcomes = await handed_over(provider, request)
    assert outcomes == [Throttled(seconds, f"HTTP {status}")] * len(request)


@pytest.mark.parametrize("status", [401, 403])
async def test_no_access_is_the_accounts_trouble(
    wired: WiredMember, server: WireServer, wire: Wire, status: int
) -> None:
    provider = wired.make(server, wire)
    server.script.append(answer(b"no", status=status))
    outcomes = await handed_over(provider, one_request(provider))
    assert all(isinstance(outcome, AccountTrouble) for outcome in outcomes)


async def test_cancellation_goes_through_and_leaves_no_connection(
    wired: WiredMember, server: WireServer, wire: Wire
) -> None:
    provider = wired.make(server, wire)
    request = one_request(provider)
    server.script.append(drip(b" " * 1_000_000))
    task = asyncio.create_task(handed_over(provider, request))
    await until(lambda: len(server.paid) == 1)
    free = server.open_connections - 1  # what a question keeps alive for a moment
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.open_connections <= free)


async def test_unknown_fields_are_ignored(wired: WiredMember, server: WireServer, wire: Wire) -> None:
    provider = wired.make(server, wire)
    request = one_request(provider)
    plain = wired.accepts(request)
    server.script.extend([answer(plain), answer(wired.with_extra_fields(plain))])
    assert await handed_over(provider, request) == await handed_over(provider, request)


# --- reading an answer ------------------------------------------------------------------------------


def test_reading_is_pure(wired: WiredMember) -> None:
    request = messages(3)
    body = wired.accepts(request)
    assert wired.read(body, request) == wired.read(body, request)
    assert all(isinstance(reading, Accepted) for reading in wired.read(body, request))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("wired_member", WIRED, ids=lambda member: member.name)
@given(body=st.binary(max_size=200) | JSON.map(lambda document: json.dumps(document).encode()))
def test_no_bytes_break_the_reading(wired_member: WiredMember, body: bytes) -> None:
    request = messages(3)
    readings = wired_member.read(body, request)
    assert len(readings) == 3
    assert not any(isinstance(reading, Accepted) for reading in readings)


# --- asking what became of them ---------------------------------------------------------------------


async def accepted_ids(member: Member, provider: Provider, server: WireServer, count: int = 3) -> list[str]:
    request = one_request(provider, count)
    if member in WIRED:
        server.script.append(answer(member.accepts(request)))
    outcomes = await handed_over(provider, request)
    return [outcome.provider_message_id for outcome in outcomes if isinstance(outcome, Accepted)]


WORDS = [
    pytest.param(member, word, id=f"{member.name}-{word or 'blank'}")
    for member in MEMBERS
    for word in member.words
]


@pytest.mark.parametrize(("said_by", "word"), WORDS)
async def test_every_documented_word_is_evidence(
    said_by: Member, word: str, server: WireServer, wire: Wire
) -> None:
    provider = said_by.make(server, wire, word=word)
    ids = await accepted_ids(said_by, provider, server)
    answers = await provider.ask(ids, at_once)
    assert [receipt.provider_message_id for receipt in answers.receipts] == ids
    assert {receipt.evidence for receipt in answers.receipts} == {said_by.words[word]}
    assert {receipt.provider_state for receipt in answers.receipts} == {word}
    assert said_by.words[word] in EVIDENCE
    assert answers.trouble is None


async def test_an_unknown_word_is_kept_and_changes_nothing(
    member: Member, server: WireServer, wire: Wire
) -> None:
    provider = member.make(server, wire, word="teleported")
    answers = await provider.ask(await accepted_ids(member, provider, server), at_once)
    assert {(receipt.evidence, receipt.provider_state) for receipt in answers.receipts} == {
        (None, "teleported")
    }


async def test_asking_waits_for_the_pace(member: Member, server: WireServer, wire: Wire) -> None:
    async def later() -> None:
        raise PaceUsedUp(2.5)

    provider = member.make(server, wire, word="sent")
    ids = await accepted_ids(member, provider, server)
    asked_before = len(server.seen)
    answers = await provider.ask(ids, later)
    assert (list(answers.receipts), answers.retry_after_seconds) == ([], 2.5)
    assert answers.trouble is None  # our own pace is nobody's trouble
    assert len(server.seen) == asked_before


async def test_asking_in_vain_is_a_value(wired: WiredMember, server: WireServer, wire: Wire) -> None:
    provider = wired.make(server, wire)
    ids = await accepted_ids(wired, provider, server)
    for act in (half(b"{" + b" " * 100), answer(b"<html>"), answer(b"", status=502), garbage()):
        server.script.append(act)
        answers = await provider.ask(ids, at_once)
        assert answers.receipts == []
        assert answers.trouble
    server.script.append(answer(b"", status=429, headers={"Retry-After": "9"}))
    assert (await provider.ask(ids, at_once)).retry_after_seconds == 9


# --- what is never shown, and where nothing goes ----------------------------------------------------


async def test_no_secret_no_number_and_no_text_is_shown(
    wired: WiredMember, server: WireServer, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("asyncio", "aiohttp", "aiohttp.client", "aiohttp.internal"):
        caplog.set_level(logging.DEBUG, logger=name)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    shown: list[str] = []
    try:
        provider = wired.make(server, wire, timeout_seconds=0.3, word="sent")
        request = one_request(provider)
        ids = await accepted_ids(wired, provider, server)
        shown += [repr(provider), str(provider), repr(await provider.ask(ids, at_once))]
        speaking = f"{wired.secrets} {[message.phone for message in request]} {TEXT}".encode()
        told = [answer(speaking, status) for status in (200, 302, 403, 414, 418, 429, 500, 503)]
        for act in [*IN_DOUBT.values(), *told, half(speaking)]:
            server.script.append(act)
            shown.append(repr(await handed_over(provider, request)))
        shown.append(repr(await provider.hand_over(request, SENDER, now())))
        server.script.append(hang())
        task = asyncio.create_task(handed_over(provider, request))
        await until(lambda: not server.script)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        shown += ["".join(traceback.format_exception(cancelled.value)), repr(cancelled.value)]
        for question in (provider.balance(), provider.statistics("2025-01"), provider.statistics(TEXT)):
            server.script.append(cut())
            server.script.append(cut())
            with pytest.raises(ProviderRefused) as refused:
                await question
            server.script.clear()
            shown += ["".join(traceback.format_exception(refused.value)), repr(refused.value)]
    finally:
        loop.set_debug(False)
    numbers = [message.phone.removeprefix("+") for message in request]
    # Not its digits: a port in a line of the log may hold them.
    texts = [TEXT, quote(TEXT), quote_plus(TEXT), TEXT[:12], "Kodas"]
    shown += [caplog.text, *(record.getMessage() for record in caplog.records)]
    for hidden in [*wired.secrets, *numbers, *(number[3:] for number in numbers), *texts]:
        for text in shown:
            assert hidden not in text, hidden


async def test_nothing_leaves_this_machine(
    wired: WiredMember, server: WireServer, wire: Wire, hosts: set[str]
) -> None:
    provider = wired.make(server, wire, word="sent")
    await provider.ask(await accepted_ids(wired, provider, server), at_once)
    assert hosts == {"127.0.0.1"}


def test_outcomes_are_what_the_contract_names() -> None:
    troubles = {AccountTrouble, CampaignTrouble}
    assert set(Outcome.__args__) == {Accepted, Rejected, Failed, Throttled, NotSent, InDoubt} | troubles
    assert Answers([]).trouble is None
