"""Loyalty.lt's callbacks, and that nothing secret is shown."""

import json
import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import CallbackRefused, Question, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
from campaigns.providers.loyalty_lt.answers import CALLBACK_STATUSES, read_status
from tests.contract.providers.loyalty_lt.documented import CALLBACK_URL, ID, PHONE, callback, outcome
from tests.contract.providers.loyalty_lt.member import API_KEY, API_SECRET
from tests.contract.providers.members import TEXT, words_of
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import WireServer, answer, body_of, cut, half, hang

# As documented (webhooks).
CALLED_BACK: dict[str, Any] = {
    "id": "550e8400-e29b-41d4-a716-446655440000",
    "externalId": "your-reference-123",
    "status": "DELIVERED",
    "recipient": PHONE,
    "timestamp": "2025-01-15T10:30:05.000Z",
    "error": None,
}


# --- callbacks --------------------------------------------------------------------------------------


def test_a_callback_as_documented(make: Callable[..., LoyaltyLt]) -> None:
    assert make().read_callback(callback(CALLED_BACK)) == [
        Receipt(
            None,
            MessageState.DELIVERED,
            "DELIVERED",
            message_ref="your-reference-123",
            changed_at=datetime(2025, 1, 15, 10, 30, 5, tzinfo=UTC),
        )
    ]


@pytest.mark.parametrize("word", CALLBACK_STATUSES)
def test_every_word_of_a_callback_is_evidence(make: Callable[..., LoyaltyLt], word: str) -> None:
    state, is_coarse, _ = CALLBACK_STATUSES[word]
    said = {**CALLED_BACK, "status": word, "externalId": None}
    receipts = make().read_callback(callback(said))
    assert words_of(receipts) == [Receipt(None, state, word, is_coarse=is_coarse)]


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        ("Number +37061234567 not in service", None, "Number +# not in service"),
        ({"code": 2002, "message": "invalid"}, "2002", "invalid"),
        ({"code": "37061234567", "message": {}}, None, None),
        (None, None, None),
        (False, None, None),
        (["x"], None, None),
        ("", None, None),
    ],
)
def test_a_callback_says_why(
    make: Callable[..., LoyaltyLt], error: object, code: str | None, reason: str | None
) -> None:
    (receipt,) = make().read_callback(callback({**CALLED_BACK, "status": "FAILED", "error": error}))
    assert (receipt.code, receipt.reason) == (code, reason)


@pytest.mark.parametrize("word", ["teleported", "EXPIRED", "QUEUED"])
def test_an_unknown_word_of_a_callback_is_kept(make: Callable[..., LoyaltyLt], word: str) -> None:
    (receipt,) = make().read_callback(callback({**CALLED_BACK, "status": word}))
    assert (receipt.evidence, receipt.provider_state, receipt.is_coarse) == (None, word, False)


def test_their_own_uuid_is_never_taken_for_the_id_of_a_send(make: Callable[..., LoyaltyLt]) -> None:
    for more, named in (({}, None), ({"message_id": ID}, ID), ({"message_id": 7}, "7")):
        (receipt,) = make().read_callback(callback({**CALLED_BACK, "id": ID, **more}))
        assert receipt.provider_message_id == named


@pytest.mark.parametrize("reference", [None, "", 7, "x" * 129, "a\nb", ["a"]])
def test_a_reference_that_cannot_be_one_is_none(make: Callable[..., LoyaltyLt], reference: object) -> None:
    (receipt,) = make().read_callback(callback({**CALLED_BACK, "externalId": reference}))
    assert receipt.message_ref is None


def test_a_callback_needs_nothing_but_its_word(make: Callable[..., LoyaltyLt]) -> None:
    assert make().read_callback(callback({"status": "SENT", "more": [{}]})) == [
        Receipt(None, MessageState.SENT, "SENT")
    ]


@pytest.mark.parametrize("method", ["GET", "PUT", "post"])
def test_a_callback_comes_by_post(make: Callable[..., LoyaltyLt], method: str) -> None:
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(callback(CALLED_BACK, method, query=[("status", "DELIVERED")]))
    assert refused.value.status == 405


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ({"content-type": "application/json; charset=utf-8"}, True),
        ({"CONTENT-TYPE": "Application/JSON"}, True),
        ({}, False),
        ({"Content-Type": ""}, False),
        ({"Content-Type": "text/plain"}, False),
        ({"Content-Type": "application/x-www-form-urlencoded"}, False),
        ({"Content-Type": "application/jsonp"}, False),
    ],
)
def test_a_callback_is_json(make: Callable[..., LoyaltyLt], headers: dict[str, str], taken: bool) -> None:
    if taken:
        assert len(make().read_callback(callback(CALLED_BACK, headers=headers))) == 1
        return
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(callback(CALLED_BACK, headers=headers))
    assert refused.value.status == 415


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"\xff",
        [CALLED_BACK],
        "DELIVERED",
        None,
        {},
        {"status": 3},
        {"status": ""},
        {"status": "\n"},
        b'{"status":"SENT","status":"DELIVERED"}',
        b"[" * 200_000,
    ],
)
def test_a_callback_that_cannot_be_read_is_refused(make: Callable[..., LoyaltyLt], document: object) -> None:
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(callback(document))
    assert refused.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
CALLED_BACK_WITH_ANYTHING = st.fixed_dictionaries(
    {}, optional={name: JSON | st.text(max_size=200) for name in (*CALLED_BACK, "message_id")}
)


@given(
    body=st.binary(max_size=200)
    | JSON.map(body_of)
    | CALLED_BACK_WITH_ANYTHING.map(lambda document: json.dumps(document).encode())
)
def test_no_bytes_break_the_reading_of_a_callback(body: bytes) -> None:
    provider = LoyaltyLt(name="main", api_key=API_KEY, api_secret=API_SECRET, wire=None)  # type: ignore[arg-type]
    try:
        receipts = provider.read_callback(callback(body))
    except CallbackRefused:
        return
    (receipt,) = receipts
    assert 0 < len(receipt.provider_state) <= 64
    assert receipt.provider_state.isprintable()
    for named in (receipt.provider_message_id, receipt.message_ref):
        assert named is None or 0 < len(named) <= 128


@given(body=st.binary(max_size=200) | JSON.map(body_of) | JSON.map(lambda data: body_of({"data": data})))
def test_no_bytes_break_the_reading_of_a_status(body: bytes) -> None:
    assert read_status(body, ID) is None or b"status" in body


# --- what is never shown ----------------------------------------------------------------------------


async def test_nothing_else_shows_a_secret_a_number_or_a_text(
    make: Callable[..., LoyaltyLt], server: WireServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The suite looks at hand-overs and polls; these are the other doors. Who answers repeats all of it."""
    caplog.set_level(logging.DEBUG)
    speaking = {
        "success": False,
        "message": f"{API_KEY} {API_SECRET} {PHONE} {TEXT}",
        "code": PHONE,
        "errors": {PHONE: [TEXT], API_SECRET: [], "destination": [PHONE]},
    }
    shown: list[str] = []
    acts = [
        answer(body_of(speaking), status) for status in (200, 302, 400, 401, 402, 403, 404, 422, 429, 500)
    ]
    for act in [*acts, answer(body_of(str(speaking))), cut(), half(body_of(speaking)), hang()]:
        provider = make(timeout_seconds=0.3)
        for door in (
            lambda provider=provider: provider.find(Question("id", ID), at_once),
            lambda provider=provider: provider.probe(),
            lambda provider=provider: outcome(provider, text=TEXT, callback_url=CALLBACK_URL),
        ):
            server.script.append(act)
            try:
                shown.append(repr(await door()))
            except ProviderRefused as refused:
                shown.append("".join(traceback.format_exception(refused)))
    for document in (speaking, {"status": 7, **speaking}, f"{PHONE} {TEXT}"):
        with pytest.raises(CallbackRefused) as not_taken:
            make().read_callback(callback(document))
        shown.append("".join(traceback.format_exception(not_taken.value)))
    shown += [repr(callback(CALLED_BACK)), repr(provider), str(provider), caplog.text]
    assert len(shown) > 40
    for hidden in (API_KEY, API_SECRET, PHONE[1:], PHONE[4:], TEXT, TEXT[:12], "4711", "s3cr3t-t0ken"):
        assert not [text for text in shown if hidden in text], hidden
