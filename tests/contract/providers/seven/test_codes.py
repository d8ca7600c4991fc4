"""Every code of seven.io, in every form."""

from collections.abc import Callable
from typing import Any

import pytest

from campaigns.domain.provider import (
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    Outcome,
    Rejected,
    Throttled,
)
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.seven.answers import CODES, LOCKED, STATUSES
from tests.contract.providers.clock import Clock
from tests.contract.providers.members import SENDER
from tests.contract.providers.seven.codes import (
    ACCOUNT,
    CAMPAIGN,
    DOCUMENTED,
    DOUBT,
    FAILED,
    ONE_NUMBER,
    TAKEN,
)
from tests.contract.providers.seven.documented import ID, hand_over, of_batch
from tests.contract.providers.seven.member import entry, sent
from tests.contract.providers.wire_server import WireServer, answer, body_of

ALONE = "of a request with several"


def expected(code: int, count: int = 1) -> Outcome:
    """What a code that stands for a whole request comes to."""
    word, words = str(code), CODES[str(code)][1] if str(code) in CODES else ""
    one = Rejected(word, words) if count == 1 else NotSent(f"{words}, {ALONE}", retry_at_once=True)
    each: dict[int, Outcome] = {
        **dict.fromkeys(TAKEN, InDoubt("the answer says taken and gives no ids")),
        **dict.fromkeys(ONE_NUMBER, one),
        **{each: CampaignTrouble(word, words, about) for each, about in CAMPAIGN.items()},
        **dict.fromkeys(ACCOUNT, AccountTrouble(word, words)),
        **dict.fromkeys(FAILED, Failed(word, words)),
        **dict.fromkeys(DOUBT, InDoubt(f"code {word}, {words}")),
        11: Throttled(None, words),
        402: LOCKED,
    }
    return each.get(code, InDoubt(f"code {word}, which their documents do not hold"))


def test_the_tables_hold_every_code_and_name_their_source() -> None:
    assert set(CODES) == {str(code) for code in DOCUMENTED}
    assert all(reason and source for _, reason, source in CODES.values())
    assert all(source for _, source in STATUSES.values())
    assert set(STATUSES) == {
        "DELIVERED",
        "NOTDELIVERED",
        "BUFFERED",
        "TRANSMITTED",
        "ACCEPTED",
        "EXPIRED",
        "REJECTED",
        "FAILED",
        "UNKNOWN",
    }
    assert STATUSES["UNKNOWN"][0] is None


@pytest.mark.parametrize("code", [*sorted(DOCUMENTED), 12, 999])
async def test_every_code_in_every_form(make: Callable[..., Seven], server: WireServer, code: int) -> None:
    for count in (1, 2):
        for document in (
            f'"{code}"'.encode(),
            str(code).encode(),
            f"\xef\xbb\xbf{code}\r\n".encode("latin-1"),
            {"code": code},
            {"code": str(code)},
            {"error_code": code},
            {"success": False, "error": str(code)},
            {"success": str(code), "messages": []},
            {"success": f" {code} ", "code": code, "messages": None},
        ):
            server.script.append(answer(body_of(document)))
            assert await hand_over(make(), of_batch(count)) == [expected(code, count)] * count, document


async def test_closed_says_when_to_come_back(make: Callable[..., Seven], server: WireServer) -> None:
    server.script.append(answer(b'"11"', headers={"Retry-After": "5"}))
    assert await hand_over(make(), of_batch(2)) == [Throttled(5.0, "carrier temporarily unavailable")] * 2


@pytest.mark.parametrize("status", [400, 402, 406, 409, 422, 451, 301, 500, 501, 502, 504])
async def test_a_status_nobody_documents_is_in_doubt(
    make: Callable[..., Seven], server: WireServer, status: int
) -> None:
    server.script.append(answer(body_of(sent(entry("37061200000", ID))), status=status))
    assert await hand_over(make(), of_batch(1)) == [InDoubt(f"HTTP {status}")]


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410])
async def test_a_wrong_address_holds_the_account(
    make: Callable[..., Seven], server: WireServer, status: int
) -> None:
    server.script.append(answer(b"<html>", status=status))
    assert await hand_over(make(), of_batch(1)) == [
        AccountTrouble(f"http_{status}", "the address or the access is wrong")
    ]


@pytest.mark.parametrize("act", [answer(b'"202"'), answer(b'{"code":403}'), answer(b"", status=413)])
async def test_a_request_refused_for_one_number_is_cut_to_single_messages_for_a_minute(
    make: Callable[..., Seven], server: WireServer, clock: Clock, act: Any
) -> None:
    provider = make()
    request = of_batch(3)
    server.script.append(act)
    outcomes = await hand_over(provider, request)
    assert all(isinstance(outcome, NotSent) and outcome.retry_at_once for outcome in outcomes)
    assert provider.requests(request, SENDER) == [[message] for message in request]

    server.script.append(act)
    (alone,) = await hand_over(provider, request[:1])
    assert isinstance(alone, Rejected)
    clock.monotonic += 59
    assert len(provider.requests(request, SENDER)) == 3
    clock.monotonic += 2
    assert provider.requests(request, SENDER) == [request]
