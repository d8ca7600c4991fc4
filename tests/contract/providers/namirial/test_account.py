"""The probe of a Namirial account, and what a refused one costs."""

from collections.abc import Callable

import pytest

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import Accepted, AccountTrouble, Rejected
from campaigns.providers.namirial.adapter import Namirial
from tests.contract.providers.clock import Clock
from tests.contract.providers.namirial import member as at_namirial
from tests.contract.providers.namirial.documented import ID, TAKEN, hand_over, says
from tests.contract.providers.wire_server import WireServer, cut


async def test_the_probe_asks_for_their_health(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make()
    server.script.append(says(at_namirial.WELL))
    assert await provider.probe() is None
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/api/Services/checkServiceStatus", b"")
    assert seen.headers["authorization"].startswith("Basic ")
    for act in (
        says({**at_namirial.WELL, "globalStatus": False, "errorMessage": "secret"}),
        says({**at_namirial.WELL, "globalStatus": "true"}),
        says({**at_namirial.WELL, "globalStatus": 1}),
        says({}),
        says(b"OK"),
        says(at_namirial.WELL, 500),
        says(b"", 302),
        says(b"", 401),
        says(b"", 403),
        cut(),
    ):
        server.script.append(act)
        with pytest.raises(ProviderRefused) as refused:
            await provider.probe()
        assert "secret" not in str(refused.value)


async def test_nothing_is_told_of_money(server: WireServer, make: Callable[..., Namirial]) -> None:
    for question in (make().balance(), make().statistics("2026-02")):
        with pytest.raises(ProviderRefused, match="does not tell"):
            await question
    assert server.seen == []


@pytest.mark.parametrize(("status", "code"), [(500, 59), (500, 63), (401, 63), (403, None), (404, None)])
async def test_a_refused_account_is_not_believed_to_be_well_at_once(
    server: WireServer, make: Callable[..., Namirial], clock: Clock, status: int, code: int | None
) -> None:
    """Their health says nothing of credentials and service. The pause doubles, up to an hour."""
    provider = make()
    for pause in (300, 600, 1200, 2400, 3600, 3600):
        server.script.append(says({"code": code}, status))
        assert isinstance(await hand_over(provider), AccountTrouble)
        clock.monotonic += pause - 1
        server.seen.clear()
        with pytest.raises(ProviderRefused, match="refused the account"):
            await provider.probe()
        assert server.seen == []
        clock.monotonic += 1
        server.script.append(says(at_namirial.WELL))
        assert await provider.probe() is None


async def test_several_refusals_in_flight_are_one(
    server: WireServer, make: Callable[..., Namirial], clock: Clock
) -> None:
    provider = make()
    for _ in range(4):
        server.script.append(says({"code": 59}, 500))
        await hand_over(provider)
    clock.monotonic += 300
    server.script.append(says(at_namirial.WELL))
    assert await provider.probe() is None


async def test_a_message_taken_makes_the_refusal_forgotten(
    server: WireServer, make: Callable[..., Namirial], clock: Clock
) -> None:
    """An operator may lift the hold at once: what was refused then works again, or is refused anew."""
    provider = make()
    server.script.extend([says({"code": 59}, 500), says({"code": 8}, 500)])
    assert isinstance(await hand_over(provider), AccountTrouble)
    assert isinstance(await hand_over(provider), Rejected)
    with pytest.raises(ProviderRefused):
        await provider.probe()
    server.script.extend([says(TAKEN), says(at_namirial.WELL)])
    assert await hand_over(provider) == Accepted(ID)
    assert await provider.probe() is None
    server.script.append(says({"code": 59}, 500))
    await hand_over(provider)
    clock.monotonic += 300  # it began anew
    server.script.append(says(at_namirial.WELL))
    assert await provider.probe() is None


def test_it_shows_its_name_alone(make: Callable[..., Namirial]) -> None:
    assert repr(make()) == "Namirial(name='main')"
