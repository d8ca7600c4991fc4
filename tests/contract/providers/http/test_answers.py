"""What an answer comes to: taken or not where the mapping tells it for certain, else in doubt."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    Outcome,
    Rejected,
    Throttled,
)
from campaigns.providers.http.answers import load, read_outcomes, read_receipts
from campaigns.providers.http.mapping import WireMapping
from campaigns.providers.wire import Answered
from tests.contract.providers.http.member import MEMBER, MORE
from tests.contract.providers.members import messages

TWILIO, (VONAGE, INFOBIP) = MEMBER, MORE


def outcome(member: Any, status: int, body: object, **headers: str) -> Outcome:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    [made] = read_outcomes(member.mapping.send, Answered(status, headers, data), messages(1), 0.0)
    return made


def part(status: str, message_id: str | None = None) -> dict[str, str]:
    said = {"status": status, "error-text": "Why"}
    return said if message_id is None else {**said, "message-id": message_id, "message-price": "0.03"}


def parts(*each: dict[str, str]) -> dict[str, object]:
    return {"message-count": str(len(each)), "messages": list(each)}


def infobip(name: str, group: str = "REJECTED", **more: object) -> dict[str, object]:
    status = {"name": name, "groupName": group, "description": "Said so"}
    return {"messages": [{"messageId": "ref-1", "status": status, "destination": "37061200001", **more}]}


SID = "SM0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("member", "status", "body", "expected"),
    [
        # Twilio: a code, a status, an id
        (TWILIO, 201, {"sid": SID, "status": "queued", "num_segments": "2"}, Accepted(SID, segment_count=2)),
        (TWILIO, 201, {"sid": SID, "status": "QUEUED", "num_segments": "0"}, Accepted(SID)),
        (
            TWILIO,
            201,
            {"sid": SID, "status": "teleported"},
            InDoubt("the answer holds no word that is known (teleported)"),
        ),
        (TWILIO, 201, {"sid": SID}, InDoubt("the answer holds no word that is known")),
        (TWILIO, 201, {"status": "queued"}, InDoubt("the answer says taken and gives no id that can be one")),
        (
            TWILIO,
            201,
            {"sid": "0", "status": "queued"},
            InDoubt("the answer says taken and gives no id that can be one"),
        ),
        (TWILIO, 500, {"sid": SID, "status": "queued"}, InDoubt("HTTP 500 with a word for taken")),
        (
            TWILIO,
            400,
            {"code": 21211, "message": "The 'To' number +37061200001 is not valid.", "status": 400},
            Rejected("21211", "The … number +# is not valid."),
        ),
        (
            TWILIO,
            400,
            {"code": 21610, "message": "Unsubscribed"},
            Rejected("21610", "Unsubscribed", opted_out=True),
        ),
        (TWILIO, 400, {"code": 29999, "message": "New"}, Rejected("29999", "New")),
        (TWILIO, 400, {"code": 21659, "message": "No"}, CampaignTrouble("21659", "No", "sender")),
        (TWILIO, 400, {"code": 21617, "message": "No"}, CampaignTrouble("21617", "No", "text")),
        (TWILIO, 401, {"code": 20003, "message": "Authenticate"}, AccountTrouble("20003", "Authenticate")),
        (TWILIO, 401, b"<html>", AccountTrouble("http_401", "the address or the access is wrong")),
        (TWILIO, 429, {"code": 20429, "message": "Slow"}, Throttled(None, "Slow (20429)")),
        (
            TWILIO,
            400,
            {"code": 20429, "message": "Slow", "sid": SID},
            InDoubt("the answer says later and yet gives an id"),
        ),
        (TWILIO, 201, {"sid": SID, "status": "failed"}, Failed("failed", "could not be sent")),
        (TWILIO, 500, {"code": 20500, "message": "Oops"}, InDoubt("Oops (20500)")),
        (TWILIO, 500, {"code": 29999}, InDoubt("HTTP 500")),
        # Vonage: parts of one text
        (VONAGE, 200, parts(part("0", "A1")), Accepted("A1", Decimal("0.03"), 1)),
        (VONAGE, 200, parts(part("0", "A1"), part("0", "A2")), Accepted("A1", Decimal("0.06"), 2)),
        (VONAGE, 200, parts(part("0", "A1"), part("1")), Accepted("A1", Decimal("0.03"), 2)),
        (VONAGE, 200, parts(part("1"), part("0", "A2")), Accepted("A2", Decimal("0.03"), 2)),
        (VONAGE, 200, parts(part("1"), part("1")), Throttled(None, "Why (1)")),
        (VONAGE, 200, parts(part("1"), part("3")), InDoubt("the answer says several things of one message")),
        (VONAGE, 200, parts(part("9")), AccountTrouble("9", "Why")),
        (VONAGE, 200, parts(part("15")), CampaignTrouble("15", "Why", "sender")),
        (VONAGE, 200, parts(part("5")), InDoubt("Why (5)")),
        (VONAGE, 200, parts(part("77")), InDoubt("the answer holds no word that is known (77)")),
        (VONAGE, 200, {"messages": []}, InDoubt("the answer holds no word that is known")),
        # Infobip: an entry for each message, found by our reference, which is also its id
        (INFOBIP, 200, infobip("PENDING_ACCEPTED", "PENDING"), Accepted("ref-1")),
        (INFOBIP, 200, infobip("PENDING_NEW", "PENDING"), Accepted("ref-1")),
        (INFOBIP, 200, infobip("REJECTED_DND"), Rejected("REJECTED_DND", "Said so", opted_out=True)),
        (INFOBIP, 200, infobip("REJECTED_NEW"), Rejected("REJECTED", "Said so")),
        (
            INFOBIP,
            200,
            infobip("REJECTED_NOT_ENOUGH_CREDITS"),
            AccountTrouble("REJECTED_NOT_ENOUGH_CREDITS", "Said so"),
        ),
        (
            INFOBIP,
            200,
            infobip("REJECTED_DUPLICATE_MESSAGE_ID"),
            InDoubt("Said so (REJECTED_DUPLICATE_MESSAGE_ID)"),
        ),
        (
            INFOBIP,
            200,
            infobip("PENDING_ACCEPTED", "PENDING", messageId="ref-2"),
            InDoubt("the answer leaves this message out"),
        ),
        (INFOBIP, 400, {"errorCode": "E400"}, AccountTrouble("http_400", "the account is refused")),
    ],
)
def test_an_answer_comes_to(member: Any, status: int, body: object, expected: Outcome) -> None:
    assert outcome(member, status, body) == expected


def plain(**more: Any) -> Any:
    """A provider whose answer is a line of text."""
    send = {
        "url": "/send",
        "form": {"to": "{phone}", "text": "{text}"},
        "answer": {"id": {"regex": "OK: ([0-9a-f]+)"}},
    }
    member = type("Member", (), {})()
    member.mapping = WireMapping.model_validate({"name": "Plain", "send": send | more})
    return member


def test_lines_of_text_are_read_by_regular_expressions() -> None:
    assert outcome(plain(), 200, b"OK: 4711af\n") == Accepted("4711af")
    assert outcome(plain(), 200, b"ERR 4711af") == InDoubt(
        "the answer says taken and gives no id that can be one"
    )
    words = {
        "answer": {"id": {"regex": "OK: (.+)"}, "word": {"regex": "^[A-Z]+"}},
        "words": {"taken": ["OK"], "not_sent": ["ERR"]},
    }
    assert outcome(plain(**words), 200, b"ERR full") == NotSent("not taken (ERR)")


def test_what_a_status_means_where_it_is_not_named() -> None:
    assert outcome(plain(), 503, b"") == InDoubt("HTTP 503")
    assert outcome(plain(), 429, b"", **{"Retry-After": "7"}) == Throttled(7.0, "HTTP 429")
    assert isinstance(outcome(plain(), 403, b""), AccountTrouble)
    assert outcome(plain(http={"later": [503]}), 503, b"") == Throttled(None, "HTTP 503")
    assert outcome(plain(http={"taken": [202]}), 200, b"OK: 1a") == InDoubt("HTTP 200")


def test_several_messages_are_found_by_their_number_in_any_order() -> None:
    send = {
        "url": "/send",
        "recipients_per_request": 9,
        "form": {"to": "{msisdns}", "text": "{text}"},
        "answer": {"messages": "/sent", "id": "/id", "phone": "/to"},
    }
    mapping = WireMapping.model_validate({"name": "Several", "send": send})
    first, second, third = messages(3)
    entries = [{"to": second.phone, "id": 22}, {"to": first.phone[1:], "id": "11"}]
    answer = Answered(200, {}, json.dumps({"sent": entries}).encode())
    assert read_outcomes(mapping.send, answer, [first, second, third], 0.0) == [
        Accepted("11"),
        Accepted("22"),
        InDoubt("the answer leaves this message out"),
    ]


def test_a_receipt_tells_when_what_and_why() -> None:
    where = INFOBIP.mapping.status.answer
    body = INFOBIP.told("UNDELIVERABLE").replace(b'"id": 0', b'"id": 27, "description": "Absent 37061234567"')
    [receipt] = read_receipts(where, INFOBIP.words, load(b'{"results": [' + body + b"]}")) or []
    assert (receipt.cost, receipt.currency, receipt.segment_count) == (Decimal("0.02"), "EUR", 2)
    assert (receipt.code, receipt.reason) == ("27", "Absent #")
    assert receipt.changed_at is not None
    [receipt] = (
        read_receipts(TWILIO.mapping.status.answer, TWILIO.words, load(TWILIO.told("delivered"))) or []
    )
    assert (receipt.cost, receipt.code) == (Decimal("0.00750"), None)  # theirs is below zero
    assert receipt.changed_at is not None


def test_the_paths_of_the_documents_are_in_every_example() -> None:
    for member in (TWILIO, VONAGE, INFOBIP):
        text = Path(member.path).read_text(encoding="utf-8")
        assert "# Sources" in text
