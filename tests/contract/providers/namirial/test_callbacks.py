"""Namirial's callbacks."""

import json
from collections.abc import Callable

import pytest

from campaigns.domain.provider import Callback, CallbackRefused, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.namirial.adapter import Namirial
from campaigns.providers.namirial.answers import STATUSES
from tests.contract.providers.members import words_of
from tests.contract.providers.namirial.documented import NOW
from tests.contract.providers.namirial.member import id_of, status_object


def called_back(document: object, method: str = "POST") -> Callback:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Callback(method, "https://hooks.example.test/main?token=x", {}, [("token", "x")], body, NOW)


def update(**more: object) -> dict[str, object]:
    return {
        "id": "2bf9a88a-29f2-438a-89a1-9a13bf03d03f",
        "webhookConfigurationId": "2dab9410-d2c8-4b60-bcb0-c5eeb073e71d",
        "type": "STATUS_UPDATE",
        "createdAt": "2026-02-12T14:51:00Z",
        "message": status_object(),
        **more,
    }


@pytest.mark.parametrize("word", STATUSES)
def test_every_word_is_read_in_a_callback(make: Callable[..., Namirial], word: str) -> None:
    receipts = make().read_callback(called_back(update(message=status_object("ref-1", word))))
    assert words_of(receipts) == [Receipt(id_of("ref-1"), STATUSES[word][0], word, "ref-1")]


@pytest.mark.parametrize(
    ("operator", "code", "reason"),
    [
        (
            {"name": "TELCO", "status": "undelivered", "code": "1", "message": "Number Blocked by Carrier"},
            "1",
            "Number Blocked by Carrier (TELCO)",
        ),
        ({"name": None, "status": "undelivered", "code": 30007}, "30007", "undelivered"),
        ({"message": 'text "Dear Ona" to +37061234567'}, None, "text … to +#"),
        ({"code": "37061234567", "message": ["x"]}, None, None),
        ("TELCO", None, None),
        (None, None, None),
    ],
)
def test_why_and_by_what_a_message_went_is_kept(
    make: Callable[..., Namirial], operator: object, code: str | None, reason: str | None
) -> None:
    message = status_object("ref-1", "UNDELIVERED", provider=operator, channel="rcs", sms={})
    (receipt,) = make().read_callback(called_back(update(message=message)))
    assert (receipt.code, receipt.reason, receipt.channel) == (code, reason, "RCS")
    assert receipt.segment_count is None
    message = status_object("ref-1", "DELIVERED", provider=operator, channel="[/b]")
    (receipt,) = make().read_callback(called_back(update(message=message)))
    assert (receipt.code, receipt.reason, receipt.channel) == (None, None, None)


def test_a_callback_says_what_it_can(make: Callable[..., Namirial]) -> None:
    provider = make()

    def read(**message: object) -> list[Receipt]:
        return words_of(provider.read_callback(called_back(update(message=status_object(**message)))))

    assert read(word="TELEPORTED") == [Receipt(id_of("ref-1"), None, "TELEPORTED", "ref-1")]
    assert read(word="delivered") == [Receipt(id_of("ref-1"), MessageState.DELIVERED, "delivered", "ref-1")]
    assert read(word="x" * 200 + "\n") == [Receipt(id_of("ref-1"), None, "x" * 64, "ref-1")]
    assert read(reference={}) == [Receipt(id_of("ref-1"), MessageState.DELIVERED, "DELIVERED", None)]
    assert read(id=None) == [Receipt(None, MessageState.DELIVERED, "DELIVERED", "ref-1")]
    for key in (None, "", 17 * "x" * 10, "a\x00b", ["x"]):
        assert read(reference={"key": key}, id="a b") == []
    for kind in ("TEMPLATE_UPDATE", "status_update", 1.5):
        assert provider.read_callback(called_back({**update(), "type": kind, "message": None})) == []
    assert provider.read_callback(called_back(b"\xef\xbb\xbf" + json.dumps(update()).encode())) != []


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"null",
        b"[]",
        b"type=STATUS_UPDATE",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"type":"STATUS_UPDATE","type":"STATUS_UPDATE"}',
        {**update(), "type": None},
        {**update(), "message": None},
        {**update(), "message": []},
        {**update(), "message": {**status_object(), "status": None}},
        {**update(), "message": {**status_object(), "status": " "}},
        {**update(), "message": {**status_object(), "status": "\x00"}},
    ],
)
def test_what_is_no_callback_of_theirs_is_refused(make: Callable[..., Namirial], document: object) -> None:
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(called_back(document))
    assert refused.value.status == 400


def test_a_callback_comes_by_post(make: Callable[..., Namirial]) -> None:
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(called_back(update(), "GET"))
    assert refused.value.status == 405
