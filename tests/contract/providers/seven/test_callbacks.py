"""seven.io calling back: its signature, its three generations of callbacks, and garbage."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.domain.provider import Callback, CallbackRefused, Receipt
from campaigns.domain.states import MessageState
from campaigns.providers.seven.adapter import Seven
from campaigns.providers.seven.answers import STATUSES
from campaigns.providers.seven.callbacks import signature
from tests.contract.providers.members import words_of

ID = "77149843739"
REF = "0123456789abcdef0123456789abcdef-7-12"
URL = "https://hooks.example.test/seven/dlr"
KEY = "test_signing_secret"
SIGNED_AT = "1629785280"
NONCE = "fpPRhAd1s8GXacfR39mWqKPynmmXfJnc"
NOW = datetime.fromtimestamp(int(SIGNED_AT) + 2, UTC)
DATA = {"msg_id": ID, "status": "DELIVERED", "timestamp": "2021-08-24 08:08:00.000000"}
AS_QUERY = "msg_id=77149843739&status=DELIVERED&timestamp=2021-08-24+08%3A08%3A00.000000"
AS_JSON = (
    b'{"data":{"msg_id":"77149843739","status":"DELIVERED","timestamp":"2021-08-24 08:08:00.000000"},'
    b'"webhook_event":"dlr","webhook_timestamp":"2021-08-24T08:08:00+02:00"}'
)
CHANGED_AT = datetime(2021, 8, 24, 6, 8, tzinfo=UTC)  # theirs is Berlin's
DELIVERED = Receipt(ID, MessageState.DELIVERED, "DELIVERED", changed_at=CHANGED_AT)
STALE = Receipt(ID, None, "DELIVERED", is_coarse=True)

VECTORS = {
    "POST": ("POST", URL, AS_JSON, "28f3ea2f380ad567e17bafc2fb19f03fdceee4319a362f30c0826625560efd3f"),
    "GET": (
        "GET",
        f"{URL}?{AS_QUERY}",
        b"",
        "6a9ce19d86021a4b378ec79c1c52dd31e1200f776f2a96de1fbe9777327b3206",
    ),
}
"""The fact sheet's, made outside of this project."""


@pytest.fixture
def make(make: Callable[..., Seven]) -> Callable[..., Seven]:
    return partial(make, signing_key=None)


def callback(method: str, url: str = URL, body: bytes = b"", **more: Any) -> Callback:
    query = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    return Callback(method, url, more.get("headers", {}), query, body, more.get("received_at", NOW))


def signed(name: str, headers: Mapping[str, str] | None = None, received_at: datetime = NOW) -> Callback:
    method, url, body, given_signature = VECTORS[name]
    whole = {"X-Timestamp": SIGNED_AT, "X-Nonce": NONCE, "X-Signature": given_signature, **(headers or {})}
    return callback(method, url, body, headers=whole, received_at=received_at)


def told(event: Mapping[str, object]) -> Callback:
    return callback("POST", body=json.dumps(event).encode())


# --- signature --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VECTORS)
def test_signature_vectors(name: str) -> None:
    method, url, body, expected = VECTORS[name]
    assert signature(SIGNED_AT, NONCE, method, url, body, KEY) == expected
    assert signature(SIGNED_AT, NONCE, method, url, body, f" {KEY}\n") == expected  # PHP trims it


@pytest.mark.parametrize("name", VECTORS)
async def test_a_signed_callback_is_believed(make: Callable[..., Seven], name: str) -> None:
    provider = make(signing_key=KEY)
    assert provider.read_callback(signed(name)) == [DELIVERED]
    assert provider.read_callback(signed(name)) == [DELIVERED]  # a replay changes nothing when merged
    upper = VECTORS[name][3].upper()
    names = {"x-timestamp": SIGNED_AT, "X-NONCE": NONCE, "x-Signature": upper}
    method, url, body, _ = VECTORS[name]
    assert provider.read_callback(callback(method, url, body, headers=names)) == [DELIVERED]


@pytest.mark.parametrize("name", VECTORS)
async def test_a_callback_with_another_signature_is_refused(make: Callable[..., Seven], name: str) -> None:
    provider = make(signing_key=KEY)
    method, url, body, right = VECTORS[name]
    whole = {"X-Timestamp": SIGNED_AT, "X-Nonce": NONCE, "X-Signature": right}
    forged = [
        *(
            signed(name, {each: value})
            for each in whole
            for value in ("", "0" * 64, "ž" * 64, whole[each] + "0")
        ),
        signed(name, {"X-Timestamp": f"{SIGNED_AT}.0"}),
        signed(name, {"X-Timestamp": f" {SIGNED_AT}"}),
        signed(name, {"X-Nonce": "x" * 33}),
        signed(name, {"X-Signature": right[:-1]}),
        callback(method, url, body),
        callback(method, url + "&x=1", body, headers=whole),
        callback(method, url.replace("https", "http"), body, headers=whole),
        callback(method, url, body + b" ", headers=whole),
        callback("PUT", url, body, headers=whole),
        callback("GET" if method == "POST" else "POST", url, body, headers=whole),
        callback(method, url + "\ud83d", body, headers=whole),
    ]
    for each in forged:
        with pytest.raises(CallbackRefused, match="signature is missing or wrong") as refused:
            provider.read_callback(each)
        assert refused.value.status == 401
    with pytest.raises(CallbackRefused):
        make(signing_key="another").read_callback(signed(name))
    assert make(signing_key=KEY).read_callback(signed(name)) == [DELIVERED]


@pytest.mark.parametrize(
    ("off_seconds", "receipt"),
    [(0, DELIVERED), (300, DELIVERED), (301, STALE), (86_400, STALE), (-300, DELIVERED), (-301, STALE)],
)
async def test_an_old_callback_is_genuine_and_only_worth_a_question(
    make: Callable[..., Seven], off_seconds: int, receipt: Receipt
) -> None:
    """Whether they sign a repeated call anew is not documented."""
    received_at = datetime.fromtimestamp(int(SIGNED_AT) + off_seconds, UTC)
    assert make(signing_key=KEY).read_callback(signed("GET", received_at=received_at)) == [receipt]


async def test_without_a_key_no_signature_is_looked_at(make: Callable[..., Seven]) -> None:
    assert make().read_callback(signed("POST", {"X-Signature": "wrong"})) == [DELIVERED]


# --- the three generations --------------------------------------------------------------------------


@pytest.mark.parametrize("word", [*STATUSES, "TELEPORTED"])
async def test_every_word_in_every_form(make: Callable[..., Seven], word: str) -> None:
    provider, data = make(), {**DATA, "status": word}
    state = STATUSES[word][0] if word in STATUSES else None
    expected = [Receipt(ID, state, word)]
    event = {"data": data, "webhook_event": "dlr", "webhook_timestamp": "2021-08-24T08:08:00+02:00"}
    bracketed = {f"data[{name}]": value for name, value in data.items()}
    for each in (
        callback("GET", f"{URL}?{urlencode(data)}"),
        callback("GET", f"{URL}?msg_id={ID}&status={word}"),  # SEED: no timestamp
        callback("get", f"{URL}?token=x&{urlencode(data)}"),
        callback("POST", f"{URL}?{urlencode(data)}"),
        callback("POST", body=urlencode(data).encode()),
        callback("POST", body=f"{urlencode(data)}&".encode()),
        callback("POST", body=urlencode({**data, "webhook_event": "dlr"}).encode()),
        callback("POST", body=urlencode({**bracketed, "webhook_event": "dlr"}).encode()),
        callback("POST", f"{URL}?token=x", urlencode(bracketed).encode()),
        told(event),
        told(data),
        told({**event, "data": {**data, "msg_id": int(ID), "mccmnc": "26207", "more": [{}]}, "x": 1}),
    ):
        (receipt,) = provider.read_callback(each)
        assert words_of([receipt]) == expected, each
        said = "timestamp" in each.url or b"timestamp" in each.body.replace(b"webhook_timestamp", b"")
        assert receipt.changed_at == (CHANGED_AT if said else None), each
    several = [event, {**event, "data": {**data, "msg_id": "5"}}]
    body = json.dumps(several).encode()
    assert [r.provider_message_id for r in provider.read_callback(callback("POST", body=body))] == [ID, "5"]


@pytest.mark.parametrize(
    "event",
    [
        "sms_mo",
        "tracking",
        "rcs",
        "voice_status",
        "voice_call",
        "voice_dtmf",
        "all",
        "",
        5,
        ["dlr"],
        {"a": 1},
    ],
)
async def test_other_events_are_taken_and_nothing_comes_of_them(
    make: Callable[..., Seven], caplog: pytest.LogCaptureFixture, event: object
) -> None:
    assert make().read_callback(told({"data": {"id": "681590"}, "webhook_event": event})) == []
    assert make().read_callback(told({"data": DATA, "webhook_event": event})) == []
    flat = urlencode({"webhook_event": "sms_mo", "data[id]": "681590", "data[text]": "Hello"})
    for form in (flat, f"{flat}&data[to][]=1&data[x][]=1&data[x][]=2"):
        assert make().read_callback(callback("POST", body=form.encode())) == []
    assert not caplog.records


@pytest.mark.parametrize("status", [None, "", "  "])
async def test_no_status_yet_is_no_receipt(make: Callable[..., Seven], status: object) -> None:
    assert make().read_callback(told({"data": {**DATA, "status": status}, "webhook_event": "dlr"})) == []
    assert make().read_callback(callback("GET", f"{URL}?msg_id={ID}&status=")) == []


@pytest.mark.parametrize(
    ("foreign_id", "message_ref"),
    [
        (REF, REF),
        (REF.rpartition("-")[0], None),
        (REF[:32], None),
        (REF.upper(), None),
        (None, None),
        (5, None),
    ],
)
async def test_only_a_whole_reference_names_a_message(
    make: Callable[..., Seven], foreign_id: object, message_ref: str | None
) -> None:
    (receipt,) = make().read_callback(told({"data": {**DATA, "foreign_id": foreign_id}}))
    assert (receipt.provider_message_id, receipt.message_ref) == (ID, message_ref)


# --- several at once, and forms nobody documents ----------------------------------------------------

TWO = [DELIVERED, Receipt("5", MessageState.EXPIRED, "EXPIRED")]
SECOND = {"msg_id": "5", "status": "EXPIRED"}
BAD: list[object] = [{"msg_id": None, "status": "DELIVERED"}, {"msg_id": "1,2", "status": "x"}, {}, 7, None]


@pytest.mark.parametrize("bad", [*BAD, {"msg_id": "6"}, {"id": "6", "status": "DELIVERED"}, ["msg_id"]])
async def test_one_bad_event_takes_no_other_with_it(
    make: Callable[..., Seven], caplog: pytest.LogCaptureFixture, bad: object
) -> None:
    event = {"webhook_event": "dlr"}
    data = [DATA, bad, SECOND]
    for document in ([{**event, "data": each} for each in data], {**event, "data": data}, data):
        caplog.clear()
        assert make().read_callback(callback("POST", body=json.dumps(document).encode())) == TWO
        (record,) = caplog.records
        assert record.levelname == "WARNING"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"webhook_event": "dlr", "data": [DATA, SECOND]}),
        json.dumps({"data": [DATA, SECOND]}),
        f"\ufeff{json.dumps([DATA, SECOND])}",
        f"msg_id[]={ID}&status[]=DELIVERED&msg_id[]=5&status[]=EXPIRED",
        f"msg_id[]={ID}&msg_id[]=5&status[]=DELIVERED&status[]=EXPIRED&webhook_event=dlr",
        f"data[msg_id][]={ID}&data[status][]=DELIVERED&data[msg_id][]=5&data[status][]=EXPIRED",
        f"data[0][msg_id]={ID}&data[0][status]=DELIVERED&data[1][msg_id]=5&data[1][status]=EXPIRED",
        f"0[msg_id]={ID}&0[status]=DELIVERED&1[msg_id]=5&1[status]=EXPIRED",
        f"msg_id%5B%5D={ID}&status%5B%5D=DELIVERED&msg_id%5B%5D=5&status%5B%5D=EXPIRED",
    ],
)
async def test_reports_that_come_together_are_all_read(
    make: Callable[..., Seven], caplog: pytest.LogCaptureFixture, body: str
) -> None:
    receipts = make().read_callback(callback("POST", body=body.encode()))
    assert words_of(receipts) == words_of(TWO)
    assert not caplog.records


async def test_a_minute_of_reports_is_read(make: Callable[..., Seven]) -> None:
    pairs = [(name, str(at + 1)) for at in range(1000) for name in ("msg_id[]",)]
    pairs += [("status[]", "DELIVERED")] * 1000
    assert len(make().read_callback(callback("POST", body=urlencode(pairs).encode()))) == 1000


@pytest.mark.parametrize(
    ("method", "url", "body", "form"),
    [
        ("GET", URL, b"", "{}"),
        ("POST", URL, b"", "{}"),
        ("GET", f"{URL}?msg_id={ID}", b"", "{msg_id}"),
        ("GET", f"{URL}?status=DELIVERED", b"", "{status}"),
        ("GET", f"{URL}?msg_id=&status=DELIVERED", b"", "{msg_id, status}"),
        ("GET", f"{URL}?msg_id=1,2&status=DELIVERED,EXPIRED", b"", "{msg_id, status}"),
        ("GET", f"{URL}?msg_id={'7' * 65}&status=DELIVERED", b"", "{msg_id, status}"),
        ("GET", f"{URL}?msg_id={ID}&msg_id=5&status=DELIVERED", b"", "{msg_id, status}"),
        ("GET", f"{URL}?{ID}=msg_id&37061234567=x", b"", "{?, ?}"),
        ("POST", URL, b"[1]", ""),
        ("POST", URL, b'{"data":{"msg_id":true,"status":"DELIVERED"}}', "{data{msg_id, status}}"),
        ("POST", URL, b'{"data":["msg_id"],"webhook_event":"dlr"}', "{data, webhook_event}"),
        ("POST", URL, b'{"webhook_event":"dlr","data":[]}', "{webhook_event, data[]}"),
        ("POST", URL, b'{"webhook_event":"dlr"}', "{webhook_event}"),
        ("POST", URL, b'{"reports":[{"id":"1","dlr":"DELIVERED"}]}', "{reports[{id, dlr}]}"),
        ("POST", URL, b"msg_id=1&data[msg_id]=2&status=DELIVERED", "{msg_id, data[msg_id], status}"),
        ("POST", URL, b"msg_id[]=1&msg_id[]=2&status[]=DELIVERED", "{msg_id[], status[]}"),
        ("POST", URL, b"msg_id[]=1&status[]=x&data[0][msg_id]=2&data[0][status]=x", None),
        ("POST", URL, b"data[][msg_id]=1&data[][status]=DELIVERED", None),
    ],
)
async def test_an_unknown_form_is_taken_and_its_names_are_logged(
    make: Callable[..., Seven],
    caplog: pytest.LogCaptureFixture,
    method: str,
    url: str,
    body: bytes,
    form: str | None,
) -> None:
    """4xx is final there: refused, the reports would be lost and nobody would know of the form."""
    assert make().read_callback(callback(method, url, body)) == []
    (record,) = caplog.records
    if form is not None:
        assert record.getMessage() == f"1 of account main's callbacks could not be read: {form}"
    for hidden in (ID, "37061234567", "DELIVERED"):
        assert hidden not in record.getMessage()


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", URL, b"{"),
        ("POST", URL, b'{"data":{"msg_id":"1","msg_id":"2","status":"DELIVERED"}}'),
        ("POST", URL, b"\xff\xfe"),
        ("POST", URL, b"msg_id=%ff&status=DELIVERED"),
        ("POST", URL, b"&".join([b"a=1"] * 10_001)),
    ],
)
async def test_what_cannot_be_read_is_refused_and_not_shown(
    make: Callable[..., Seven], method: str, url: str, body: bytes
) -> None:
    with pytest.raises(CallbackRefused) as refused:
        make().read_callback(callback(method, url, body))
    assert refused.value.status == 400
    assert ID not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_another_method_is_refused(make: Callable[..., Seven]) -> None:
    for method in ("PUT", "HEAD", "DELETE", ""):
        with pytest.raises(CallbackRefused) as refused:
            make().read_callback(callback(method, f"{URL}?{AS_QUERY}"))
        assert refused.value.status == 405


FIELDS = st.sampled_from(["msg_id", "status", "data[msg_id]", "webhook_event", "foreign_id", "timestamp", ""])
WORDS = st.sampled_from([ID, "DELIVERED", "dlr", REF, ""]) | st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | st.just("data"), inner, max_size=5),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # the adapter keeps nothing of it
@given(
    method=st.sampled_from(["GET", "POST"]) | st.text(max_size=6),
    query=st.lists(st.tuples(FIELDS | st.text(max_size=5), WORDS), max_size=5),
    body=st.binary(max_size=120)
    | JSON.map(lambda document: json.dumps(document).encode())
    | st.dictionaries(FIELDS, WORDS).map(lambda fields: urlencode(fields, errors="replace").encode()),
    headers=st.dictionaries(st.sampled_from(["X-Signature", "x-nonce", "X-Timestamp"]), WORDS),
    key=st.none() | st.just(KEY),
)
async def test_garbage_is_a_list_or_a_refusal_and_nothing_else(
    make: Callable[..., Seven],
    method: str,
    query: list[tuple[str, str]],
    body: bytes,
    headers: dict[str, str],
    key: str | None,
) -> None:
    url = f"{URL}?{urlencode(query, errors='replace')}"
    status, receipts = 200, list[Receipt]()
    try:
        receipts = make(signing_key=key).read_callback(Callback(method, url, headers, query, body, NOW))
    except CallbackRefused as refused:
        status = refused.status
    assert status in ((200, 400, 405) if key is None else (401,))
    for receipt in receipts:
        assert receipt.provider_message_id
        assert len(receipt.provider_message_id) <= 128
        assert len(receipt.provider_state) <= 64
