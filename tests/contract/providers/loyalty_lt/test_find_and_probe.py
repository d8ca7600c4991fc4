"""Finding a message at Loyalty.lt, its probe, and what it does not tell."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import PaceUsedUp, Question
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.loyalty_lt.answers import read_status
from tests.contract.providers.clock import Clock
from tests.contract.providers.loyalty_lt.documented import ID, PHONE, STATUS, UNKNOWN
from tests.contract.providers.loyalty_lt.member import API_KEY
from tests.contract.providers.pace import Pace, at_once
from tests.contract.providers.wire_server import WireServer, answer, body_of


async def test_looking_up_is_not_possible(make: Callable[..., LoyaltyLt], server: WireServer) -> None:
    provider = make()
    found = await provider.look_up([], at_once)
    assert (list(found.seen), list(found.absent)) == ([], [])
    assert found.trouble == "Loyalty.lt cannot be asked by our reference: only a callback tells"
    assert server.connections == 0


async def test_finding_by_id(make: Callable[..., LoyaltyLt], server: WireServer) -> None:
    provider = make()
    server.script.extend([answer(body_of(STATUS)), answer(UNKNOWN, 404)])
    assert await provider.find(Question("id", ID), at_once) == [read_status(body_of(STATUS), ID)]
    assert await provider.find(Question("id", "msg_2"), at_once) == []
    assert await provider.find(Question("id", ".."), at_once) == []
    with pytest.raises(PaceUsedUp):
        await provider.find(Question("id", ID), at_once)
    with pytest.raises(PaceUsedUp):
        await provider.find(Question("id", "msg_3"), Pace(0))
    assert len(server.seen) == 2


async def test_finding_keeps_to_the_five_seconds_before_and_after_waiting_for_the_pace(
    make: Callable[..., LoyaltyLt], server: WireServer
) -> None:
    provider, waits = make(), 0

    async def wait_for_pace() -> None:
        nonlocal waits
        waits += 1
        if waits == 1:
            await provider.ask([ID], at_once)

    server.script.append(answer(body_of(STATUS)))
    for _ in range(2):
        with pytest.raises(PaceUsedUp) as later:
            await provider.find(Question("id", ID), wait_for_pace)
        assert later.value.wait_seconds == 5.0
    assert (len(server.seen), waits) == (1, 1)  # the second time no slot was spent on it


@pytest.mark.parametrize("by", ["phone", "reference"])
async def test_finding_by_anything_else_is_refused(
    make: Callable[..., LoyaltyLt], server: WireServer, by: Any
) -> None:
    with pytest.raises(ProviderRefused, match="by its own id alone"):
        await make().find(Question(by, PHONE), at_once)
    assert server.connections == 0


async def test_finding_in_vain_is_refused(make: Callable[..., LoyaltyLt], server: WireServer) -> None:
    server.script.append(answer(b"", 500))
    with pytest.raises(ProviderRefused, match="HTTP 500"):
        await make().find(Question("id", ID), at_once)


@pytest.mark.parametrize(
    ("body", "status"), [(UNKNOWN, 404), (body_of(STATUS), 200), (b'{"success": true, "data": null}', 200)]
)
async def test_a_probe_finds_access_well(
    make: Callable[..., LoyaltyLt], server: WireServer, body: bytes, status: int
) -> None:
    server.script.append(answer(body, status))
    assert await make().probe() is None
    assert (server.seen[0].method, server.seen[0].target) == ("GET", "/en/sms/status/msg_0")
    assert server.seen[0].headers["x-api-key"] == API_KEY


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"success":false,"code":1001}', 401, "the API key or secret is wrong"),
        (b"", 402, "not enough money"),
        (b"", 403, "may not do that"),
        (b"<html>not here</html>", 404, "HTTP 404"),
        (b'{"message":"The route could not be found."}', 404, "HTTP 404"),
        (b"<html>welcome</html>", 200, "cannot be read"),
        (b"[]", 200, "cannot be read"),
        (b"", 503, "HTTP 503"),
    ],
)
async def test_a_probe_in_vain_is_refused(
    make: Callable[..., LoyaltyLt], server: WireServer, body: bytes, status: int, words: str
) -> None:
    server.script.append(answer(body, status))
    with pytest.raises(ProviderRefused) as refused:
        await make().probe()
    assert words in str(refused.value)


async def test_a_probe_that_reaches_nobody_is_refused(
    make: Callable[..., LoyaltyLt], server: WireServer
) -> None:
    server.stop_listening()
    with pytest.raises(ProviderRefused, match="connection refused"):
        await make().probe()


async def test_probes_within_five_seconds_share_an_answer(
    make: Callable[..., LoyaltyLt], server: WireServer, clock: Clock
) -> None:
    provider = make()
    server.script.append(answer(UNKNOWN, 404))
    assert await asyncio.gather(*(provider.probe() for _ in range(3))) == [None] * 3
    clock.monotonic += 4.9
    assert await provider.probe() is None
    assert len(server.seen) == 1
    clock.monotonic += 0.2
    server.script.append(answer(b"", 401))
    for _ in range(2):
        with pytest.raises(ProviderRefused, match="HTTP 401"):
            await provider.probe()
    assert len(server.seen) == 2


async def test_a_probe_keeps_to_the_five_seconds_of_others(
    make: Callable[..., LoyaltyLt], server: WireServer
) -> None:
    provider = make()
    server.script.append(answer(UNKNOWN, 404))
    assert await provider.find(Question("id", "msg_0"), at_once) == []
    with pytest.raises(ProviderRefused, match="a moment ago"):
        await provider.probe()
    assert len(server.seen) == 1


async def test_balance_and_statistics_are_not_told(
    make: Callable[..., LoyaltyLt], server: WireServer
) -> None:
    for question in (make().balance(), make().statistics("2025-01")):
        with pytest.raises(ProviderRefused, match=r"^Loyalty\.lt does not tell [a-z ]+ over its API\.$"):
            await question
    assert server.connections == 0
