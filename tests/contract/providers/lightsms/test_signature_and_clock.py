"""LightSMS's signature, and the clock it is made by."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import AccountTrouble, NotSent
from campaigns.providers.lightsms.adapter import LightSms, signature
from campaigns.providers.lightsms.answers import CODES
from tests.contract.providers.clock import Clock
from tests.contract.providers.lightsms.documented import (
    ACCEPTED,
    TAKEN,
    TIMESTAMP,
    hand_over,
    handed_over,
    signed_rightly,
)
from tests.contract.providers.lightsms.member import API_KEY, LOGIN, SERVER_MOMENT
from tests.contract.providers.members import SENDER, messages
from tests.contract.providers.wire_server import Seen, WireServer, answer, answer_when, body_of
from tests.waiting import until

# --- signature and URL ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (
            {
                "login": "YourLogin",
                "phone": "37061234567",
                "return": "json",
                "sender": "YourSender",
                "text": "Hello!",
                "timestamp": "1732809600",
            },
            "01da2ee50f12c8e622cb096549270ff8",
        ),
        (
            {
                "timestamp": "1732809600",
                "text": "Labas, ačiū! 😀",
                "sendingTime": "2024-05-30 14:06",
                "sender": "YourSender",
                "return": "json",
                "phone": "37061234567,37062345678",
                "login": "YourLogin",
            },
            "683ba571b4f1f1d4427b63eb4233d922",
        ),
        (
            {
                "return": "json",
                "login": "YourLogin",
                "state": "4091297100348873330001,4091297100348880230003",
                "timestamp": "1732809600",
            },
            "5174355d8e299b6c8595d1131e68f8dc",
        ),
    ],
)
def test_signature_vectors(parameters: dict[str, str], expected: str) -> None:
    assert signature(parameters, "your_api_key") == expected


async def test_what_is_signed_is_what_arrives(make: Callable[..., LightSms], server: WireServer) -> None:
    provider = make()
    text = "a+b & c=d #1 100% „ačiū“ \n 😀 ?/"
    server.script.append(answer(b"{}"))
    await provider.prepare()
    await hand_over(provider, messages(3, text))
    (seen,) = server.paid
    assert (seen.method, seen.path) == ("GET", "/external/get/send.php")
    assert seen.query == {
        "login": LOGIN,
        "phone": "37061200001,37061200002,37061200003",
        "text": text,
        "sender": SENDER,
        "return": "json",
        "timestamp": str(SERVER_MOMENT),
        "signature": seen.query["signature"],
    }
    assert signed_rightly(seen)
    assert API_KEY not in seen.target


# --- their clock ------------------------------------------------------------------------------------


async def test_the_timestamp_is_theirs_at_the_last_moment(
    make: Callable[..., LightSms], server: WireServer, clock: Clock
) -> None:
    clock.wall -= 5000  # ours is wrong, and stays so
    provider = make()
    await provider.prepare()
    clock.pass_by(120.7)
    server.script.append(answer(b"{}"))
    await hand_over(provider, messages(1))
    assert server.paid[0].query["timestamp"] == str(SERVER_MOMENT + 120)


async def test_the_timestamp_is_never_ahead_of_theirs(
    make: Callable[..., LightSms], server: WireServer, clock: Clock
) -> None:
    def slowly(_: Seen) -> bytes:
        clock.pass_by(2.9)  # the answer was made before this
        return f" {SERVER_MOMENT}\n".encode()

    server.free[TIMESTAMP] = slowly
    provider = make()
    await provider.prepare()
    server.script.append(answer(b"{}"))
    await hand_over(provider, messages(1))
    assert server.paid[0].query["timestamp"] == str(SERVER_MOMENT)


async def test_the_clock_is_learned_again_when_old_or_when_ours_was_set(
    make: Callable[..., LightSms], server: WireServer, clock: Clock
) -> None:
    provider = make()

    async def questions_after(seconds: float = 0.0, wall_jumps: float = 0.0) -> int:
        clock.pass_by(seconds)
        clock.wall += wall_jumps
        before = len(server.seen)
        await provider.prepare()
        return len(server.seen) - before

    assert await questions_after() == 1
    assert await questions_after(299) == 0
    assert await questions_after(2) == 1
    assert await questions_after(wall_jumps=1.5) == 0
    assert await questions_after(wall_jumps=3600) == 1
    assert await questions_after() == 0


async def test_many_who_prepare_ask_once(make: Callable[..., LightSms], server: WireServer) -> None:
    provider = make()
    await asyncio.gather(*(provider.prepare() for _ in range(20)))
    assert len(server.seen) == 1


async def test_many_who_prepare_fail_at_once(
    make: Callable[..., LightSms], server: WireServer, clock: Clock
) -> None:
    provider = make()
    release = asyncio.Event()
    del server.free[TIMESTAMP]
    server.script.append(answer_when(release.is_set, b"<html>"))
    tasks = [asyncio.create_task(provider.prepare()) for _ in range(20)]
    await until(lambda: len(server.seen) == 1)
    release.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(result) for result in results] == ["LightSMS's clock cannot be read"] * 20
    assert len(server.seen) == 1
    clock.pass_by(0.1)
    server.free[TIMESTAMP] = str(SERVER_MOMENT).encode()
    await provider.prepare()  # a failure of before is not an answer to who asks now


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (answer(b"soon"), "LightSMS's clock cannot be read"),
        (answer(b""), "LightSMS's clock cannot be read"),
        (answer(b"1732809600", status=500), "LightSMS answered HTTP 500"),
        (answer(b"1" * 5000), "LightSMS did not answer: the answer is larger than 4096 bytes"),
    ],
)
async def test_a_clock_that_cannot_be_learned_is_refused(
    make: Callable[..., LightSms], server: WireServer, act: Any, sentence: str
) -> None:
    provider = make()
    del server.free[TIMESTAMP]
    server.script.append(act)
    with pytest.raises(ProviderRefused) as refused:
        await provider.prepare()
    assert str(refused.value) == sentence
    assert await hand_over(provider, messages(2)) == [NotSent("LightSMS's clock must be learned first")] * 2


async def test_a_clock_learned_too_slowly_is_refused(
    make: Callable[..., LightSms], server: WireServer, clock: Clock
) -> None:
    def slowly(_: Seen) -> bytes:
        clock.pass_by(3.1)
        return str(SERVER_MOMENT).encode()

    provider = make()
    server.free[TIMESTAMP] = slowly
    with pytest.raises(ProviderRefused, match="too slowly"):
        await provider.prepare()


@pytest.mark.parametrize("code", ["6", "24"])
async def test_a_refused_signature_is_mended_once_and_then_trouble(
    make: Callable[..., LightSms], server: WireServer, code: str
) -> None:
    provider = make()
    for _ in range(3):
        server.script.append(answer(body_of({"error": code})))
    assert await handed_over(provider, 3) == [NotSent(CODES[code][1], retry_at_once=True)] * 3
    doubted = await hand_over(provider, messages(3))
    assert doubted == [NotSent("LightSMS's clock must be learned first", retry_at_once=True)] * 3
    for _ in range(2):
        trouble = await handed_over(provider, 3)
        assert trouble == [AccountTrouble(code, f"{CODES[code][1]}, also by a clock learned anew")] * 3
    assert [seen.path for seen in server.seen] == [TIMESTAMP, "/external/get/send.php"] * 3

    server.script.extend([answer(body_of({"37061200001": TAKEN})), answer(body_of({"error": code}))])
    assert await handed_over(provider) == [ACCEPTED]
    assert await handed_over(provider) == [NotSent(CODES[code][1], retry_at_once=True)]  # believed since


async def test_a_late_refusal_of_an_old_signature_says_nothing_of_the_new_clock(
    make: Callable[..., LightSms], server: WireServer, clock: Clock
) -> None:
    mended = [NotSent(CODES["6"][1], retry_at_once=True)]
    provider = make()
    await provider.prepare()
    release = asyncio.Event()
    server.script.append(answer_when(release.is_set, body_of({"error": 6})))
    late = asyncio.create_task(hand_over(provider, messages(1)))
    await until(lambda: len(server.paid) == 1)
    server.script.extend([answer(body_of({"error": 6})), answer(body_of({"37061200001": TAKEN}))])
    assert await hand_over(provider, messages(1)) == mended
    assert await handed_over(provider) == [ACCEPTED]

    release.set()
    assert await late == mended
    asked = len(server.seen)
    await provider.prepare()
    assert len(server.seen) == asked  # the clock in use is not doubted
    clock.pass_by(301)
    server.script.append(answer(body_of({"error": 6})))
    assert await handed_over(provider) == mended  # nor is the next one, learned because of its age
