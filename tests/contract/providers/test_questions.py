"""The contract's questions and callbacks, for every member: in vain they are values, and nothing is shown."""

import asyncio
import json
import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import (
    Callback,
    CallbackRefused,
    Doubtful,
    PaceUsedUp,
    Provider,
    Question,
    Receipt,
    Sighting,
    Sightings,
)
from campaigns.domain.states import EVIDENCE
from campaigns.providers.wire import Wire
from tests.contract.providers.members import TEXT, Member, WiredMember, messages
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import Act, WireServer, answer, cut, garbage, half, reset

NOW = datetime(2026, 2, 12, 15, 0, tzinfo=UTC)
KINDS: tuple[Literal["id", "phone", "reference"], ...] = get_args(Question.__dataclass_fields__["by"].type)
PHONE = "+37061200001"
IN_VAIN: dict[str, Callable[[], Act]] = {
    "cut": cut,
    "reset": reset,
    "not HTTP": garbage,
    "half a body": lambda: half(b"{" + b" " * 200 + b"}"),
    "nothing": lambda: answer(b""),
    "HTML": lambda: answer(b"<html><body>Welcome</body></html>"),
    "null": lambda: answer(b"null"),
    "an object": lambda: answer(b"{}"),
    "nonsense": lambda: answer(bytes(range(256))),
    "too deep": lambda: answer(b"[" * 200_000),
    **{
        f"HTTP {status}": lambda status=status: answer(b"{}", status=status)  # type: ignore[misc]
        for status in (302, 401, 403, 404, 429, 500, 502, 503)
    },
}


async def later() -> None:
    raise PaceUsedUp(2.5)


def doubtful(ref: str) -> Doubtful:
    return Doubtful(ref, PHONE, NOW - timedelta(hours=1), NOW - timedelta(hours=1))


def callback(body: bytes, method: str = "POST", query: list[tuple[str, str]] | None = None) -> Callback:
    return Callback(method, "https://hooks.example.test/main", {}, query or [], body, NOW)


# --- callbacks --------------------------------------------------------------------------------------


async def test_no_callback_breaks_the_reading(member: Member, server: WireServer, wire: Wire) -> None:
    provider, statuses = member.make(server, wire), set[int]()
    pairs = st.lists(
        st.tuples(
            st.text(max_size=10) | st.sampled_from(["id", "status", "msg_id", "state", "ref"]), st.text()
        ),
        max_size=4,
    )

    @settings(suppress_health_check=[HealthCheck.differing_executors])
    @given(st.binary(max_size=300), st.sampled_from(["GET", "POST", "PUT"]), pairs)
    def law(body: bytes, method: str, query: list[tuple[str, str]]) -> None:
        try:
            receipts = provider.read_callback(callback(body, method, query))
        except CallbackRefused as refused:
            receipts = []
            statuses.add(refused.status)
        for receipt in receipts:
            assert isinstance(receipt, Receipt)
            assert receipt.evidence is None or receipt.evidence in EVIDENCE

    law()
    assert all(400 <= status <= 499 for status in statuses)


# --- questions in vain ------------------------------------------------------------------------------


async def found(provider: Provider, question: Question) -> list[Sighting] | ProviderRefused:
    try:
        return await provider.find(question, at_once)
    except ProviderRefused as refused:
        return refused


@pytest.mark.parametrize("name", IN_VAIN)
async def test_looking_up_in_vain_concludes_nothing(
    wired: WiredMember, server: WireServer, wire: Wire, name: str
) -> None:
    provider = wired.make(server, wire, timeout_seconds=1.0)
    server.script.extend(IN_VAIN[name]() for _ in range(20))
    sightings = await provider.look_up([doubtful("ref-1"), doubtful("ref-2")], at_once)
    assert (list(sightings.seen), list(sightings.absent)) == ([], [])
    assert sightings.trouble
    server.script.clear()


@pytest.mark.parametrize("name", IN_VAIN)
@pytest.mark.parametrize("by", KINDS)
async def test_finding_in_vain_is_a_sentence_or_an_empty_list(
    wired: WiredMember, server: WireServer, wire: Wire, name: str, by: Literal["id", "phone", "reference"]
) -> None:
    provider = wired.make(server, wire, timeout_seconds=1.0)
    server.script.extend(IN_VAIN[name]() for _ in range(20))
    value = PHONE if by == "phone" else "4091297100348873330001"
    answered = await found(provider, Question(by, value))
    assert answered == [] or isinstance(answered, ProviderRefused)
    server.script.clear()


async def test_looking_nothing_up_asks_nothing(member: Member, server: WireServer, wire: Wire) -> None:
    sightings = await member.make(server, wire).look_up([], at_once)
    assert (list(sightings.seen), list(sightings.absent)) == ([], [])
    assert server.paid == []


async def test_questions_wait_for_the_pace(member: Member, server: WireServer, wire: Wire) -> None:
    provider = member.make(server, wire)
    sightings = await provider.look_up([doubtful("ref-1")], later)
    assert isinstance(sightings, Sightings)
    assert (list(sightings.seen), list(sightings.absent)) == ([], [])
    assert sightings.trouble or sightings.retry_after_seconds == 2.5
    for by in KINDS:
        with pytest.raises((PaceUsedUp, ProviderRefused)):
            await provider.find(Question(by, PHONE if by == "phone" else "4091297100348873330001"), later)
    assert server.paid == []


# --- what is never shown ----------------------------------------------------------------------------


async def test_questions_and_callbacks_show_no_secret_no_number_and_no_text(
    wired: WiredMember, server: WireServer, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    shown: list[str] = []
    number = messages(1)[0].phone
    speaking = f"{wired.secrets} {number} {TEXT}".encode()
    told: list[Callable[[], Act]] = [
        *IN_VAIN.values(),
        *(lambda status=status: answer(speaking, status) for status in (200, 403, 404, 429, 500)),  # type: ignore[misc]
        lambda: half(speaking),
    ]
    try:
        provider = wired.make(server, wire, timeout_seconds=0.5)
        for act in told:
            server.script.extend(act() for _ in range(60))
            shown.append(repr(await provider.look_up([doubtful("ref-1")], at_once)))
            for by in KINDS:
                value = number if by == "phone" else "4091297100348873330001"
                answered = await found(provider, Question(by, value))
                shown.append(repr(answered))
                if isinstance(answered, ProviderRefused):
                    shown.append("".join(traceback.format_exception(answered)))
            try:
                shown.append(repr(await provider.probe()))
            except ProviderRefused as refused:
                shown.append("".join(traceback.format_exception(refused)))
            server.script.clear()
        for body in (speaking, b"{", json.dumps({"type": "STATUS_UPDATE", "message": TEXT}).encode()):
            try:
                shown.append(repr(provider.read_callback(callback(body))))
            except CallbackRefused as refused:
                shown.append("".join(traceback.format_exception(refused)))
        shown.append(repr(doubtful("ref-1")))
        shown.append(repr(Question("phone", number)))
    finally:
        loop.set_debug(False)
    shown.append(caplog.text)
    for hidden in (*wired.secrets, number.removeprefix("+"), number[4:], TEXT, TEXT[:12], "Kodas"):
        for text in shown:
            assert hidden not in text, hidden


# --- what few providers have ------------------------------------------------------------------------


async def test_what_a_provider_does_not_have_is_a_sentence(
    member: Member, server: WireServer, wire: Wire
) -> None:
    provider, url = member.make(server, wire), "https://hooks.example.test/callbacks/main/token"
    if member.name != "seven":
        assert await provider.callbacks_registered(url) is None
        with pytest.raises(ProviderRefused, match="none is to be registered") as refused:
            await provider.register_callbacks(url)
        assert url not in str(refused.value)
    if member.name != "lightsms":
        with pytest.raises(ProviderRefused, match="has no blacklist that can be asked"):
            await provider.find_on_stop_list(PHONE)
    assert not server.seen


@pytest.mark.parametrize("name", IN_VAIN)
async def test_what_few_have_is_asked_in_vain_without_showing_anything(
    wired: WiredMember, server: WireServer, wire: Wire, name: str
) -> None:
    provider = wired.make(server, wire)
    for question in (
        provider.find_on_stop_list(PHONE),
        provider.callbacks_registered("https://x.test/token"),
    ):
        server.script.extend([IN_VAIN[name]() for _ in range(2)])
        shown = ""
        try:
            shown = repr(await question)
        except ProviderRefused as refused:
            shown = "".join(traceback.format_exception(refused))
        server.script.clear()
        assert shown == "None" or "Refused" in shown or "NoAnswer" in shown
        for hidden in (*wired.secrets, PHONE[1:], "token"):
            assert hidden not in shown
