"""Every code of LightSMS, in every form."""

from collections.abc import Callable

import pytest

from campaigns.domain.provider import AccountTrouble, InDoubt, Rejected, Throttled
from campaigns.providers.lightsms.adapter import LightSms
from campaigns.providers.lightsms.answers import CODES, STATUSES
from tests.contract.providers.lightsms.documented import TAKEN, expected, handed_over
from tests.contract.providers.wire_server import WireServer, answer, body_of

ELSEWHERE = {0, 6, 14, 24}  # their own tests


@pytest.mark.parametrize("code", [code for code in (*range(40), 40, 999) if code not in ELSEWHERE])
async def test_every_code_in_every_form(make: Callable[..., LightSms], server: WireServer, code: int) -> None:
    provider = make()
    for document in (
        {"error": code},
        {"error": f" {code} "},
        {"": {"error": code}},
        {"": {"error": str(code)}},
        {"37061200001": {"error": code}, "37061200002": {"error": str(code)}},
        str(code).encode(),
        f'"{code}"\n'.encode(),
    ):
        server.script.append(answer(body_of(document)))
        assert await handed_over(provider, 2) == [expected(code)] * 2, document


async def test_refused_with_an_id_it_is_never_sent_again(
    make: Callable[..., LightSms], server: WireServer
) -> None:
    """Where a refused sender holds the campaign the message is sent again: not where it may be theirs."""
    server.script.append(answer(body_of({"37061200001": {"error": "9", "id_sms": "4092112510348380960001"}})))
    assert await handed_over(make(), 1) == [Rejected("9", "sender name not registered")]


@pytest.mark.parametrize("document", [b"000", b"000\r\n", {"error": "000"}, {"": {"error": "000"}}])
async def test_closed_is_not_success(
    make: Callable[..., LightSms], server: WireServer, document: object
) -> None:
    provider = make()
    server.script.append(answer(body_of(document), headers={"Retry-After": "5"}))
    assert await handed_over(provider, 2) == [Throttled(5.0, "service unavailable")] * 2
    server.script.append(answer(body_of(document)))
    assert await handed_over(provider, 2) == [Throttled(None, "service unavailable")] * 2


def test_the_tables_hold_every_code_and_name_their_source() -> None:
    assert set(CODES) == {"000", *map(str, range(40))}
    assert all(reason and source for _, reason, source in CODES.values())
    assert all(source for _, source in STATUSES.values())


@pytest.mark.parametrize("status", [400, 402, 406, 408, 409, 422, 451, 301, 500, 501, 502, 504])
async def test_a_status_nobody_documents_is_in_doubt(
    make: Callable[..., LightSms], server: WireServer, status: int
) -> None:
    provider = make()
    server.script.append(answer(body_of({"37061200001": TAKEN}), status=status))
    assert await handed_over(provider) == [InDoubt(f"HTTP {status}")]


@pytest.mark.parametrize("status", [404, 405, 410])
async def test_a_wrong_address_holds_the_account(
    make: Callable[..., LightSms], server: WireServer, status: int
) -> None:
    provider = make()
    server.script.append(answer(b"<html>", status=status))
    (outcome,) = await handed_over(provider)
    assert isinstance(outcome, AccountTrouble)
