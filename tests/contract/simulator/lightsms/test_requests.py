"""LightSMS's requests as its documents describe them: signature, validation, limits."""

import time
from decimal import Decimal
from types import SimpleNamespace
from urllib.parse import quote, quote_plus

import pytest

from simulator.lightsms import endpoints
from simulator.lightsms.endpoints import sign
from tests.contract.simulator.client import PHONE, Simulator
from tests.contract.simulator.conftest import Start

VECTORS = [
    (
        "send",
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
        "send",
        {
            "login": "YourLogin",
            "phone": "37061234567,37062345678",
            "return": "json",
            "sender": "YourSender",
            "sendingTime": "2024-05-30 14:06",
            "text": "Labas, ačiū! 😀",
            "timestamp": "1732809600",
        },
        "683ba571b4f1f1d4427b63eb4233d922",
    ),
    (
        "status",
        {
            "login": "YourLogin",
            "return": "json",
            "state": "4091297100348873330001,4091297100348880230003",
            "timestamp": "1732809600",
        },
        "5174355d8e299b6c8595d1131e68f8dc",
    ),
]


# --- signature --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "query", "signature"), VECTORS)
async def test_the_fact_sheets_signatures_are_right(
    simulator: Simulator, script: str, query: dict[str, str], signature: str
) -> None:
    shuffled = dict(reversed(query.items()))
    assert sign(shuffled, "your_api_key") == signature

    await simulator.fault("*", "clock", offset_seconds=1732809600 - time.time())
    reply = await simulator.get(simulator.target(script, {**shuffled, "signature": signature}))
    if script == "status":
        assert reply.json() == {"error": "18"}  # past the signature: it knows no such ids
    else:
        assert {entry["error"] for entry in reply.json().values()} == {"0"}
    for wrong in (signature.upper(), signature[:-1], signature[::-1]):
        refused = await simulator.get(simulator.target(script, {**shuffled, "signature": wrong}))
        assert refused.code == "6"


async def test_what_is_signed_is_the_decoded_value(simulator: Simulator) -> None:
    signed = simulator.signed(phone=PHONE, sender="Demo", text="a b+c, ačiū 😀 &=?#%41")
    for escape in (quote, quote_plus):
        written = "&".join(f"{name}={escape(value, safe='')}" for name, value in signed.items())
        reply = await simulator.get(f"/external/get/send.php?{written}")
        assert reply.json()[PHONE]["error"] == "0"


async def test_a_changed_value_breaks_the_signature(simulator: Simulator) -> None:
    signed = simulator.signed(phone=PHONE, sender="Demo", text="Hello")
    for name in ("phone", "text", "sender", "timestamp", "return"):
        changed = {**signed, name: {"timestamp": str(int(signed["timestamp"]) + 1)}.get(name, "xml")}
        body = (await simulator.get(simulator.target("send", changed))).body
        assert '"6"' in body or "<error>6</error>" in body
    assert await simulator.accepted() == 0


@pytest.mark.parametrize(("off", "good"), [(0, True), (-10, True), (10, True), (-11, False), (11, False)])
async def test_a_timestamp_is_good_for_ten_seconds(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, off: int, good: bool
) -> None:
    monkeypatch.setattr(endpoints, "time", SimpleNamespace(time=lambda: 1_700_000_000.9))
    reply = await simulator.send(timestamp=str(1_700_000_000 + off))
    assert (reply.json()[PHONE]["error"] == "0") is good
    assert good or reply.code == "6"


# --- what is refused, and in which order ------------------------------------------------------------


async def test_errors_are_found_in_order(start: Start) -> None:
    """A request with everything wrong, mended one thing at a time."""
    simulator = await start(max_recipients=3, balance=Decimal("0.02"))
    wrong = {"login": "", "signature": "", "timestamp": "", "sendingTime": "tomorrow"}
    wrong |= {"text": "", "phone": "", "sender": "", "return": "json"}
    mended: list[tuple[str, dict[str, str]]] = [
        ("1", {"signature": "x"}),
        ("2", {"login": "Somebody"}),
        ("24", {"timestamp": "soon"}),
        ("24", {"timestamp": "1"}),
        ("7", {"login": simulator.options.login}),
        ("6", {"signature": "sign"}),
        ("6", {"timestamp": "now"}),
        ("3", {"text": "the casino calls"}),
        ("4", {"phone": "37061234567,,37062345678"}),
        ("4", {"phone": "12345,37061234567,+37062345678,37060000093"}),
        ("5", {"sender": "Bad!Sender"}),
        ("14", {"phone": "12345,+37062345678,37060000093"}),
        ("30", {"sendingTime": "2024-05-30 14:06"}),
        ("8", {"sender": "Somebody"}),
        ("9", {"sender": "Pending"}),
        ("10", {"sender": "Demo"}),
        ("11", {"text": "come home"}),
        ("32", {"phone": "37060000093"}),
    ]
    for code, change in mended:
        query = dict(wrong)
        if query["timestamp"] == "now":
            query["timestamp"] = str(int(time.time()))
        if query["signature"] == "sign":
            query["signature"] = sign(query, simulator.options.api_key)
        reply = await simulator.get(simulator.target("send", query))
        assert (reply.status, reply.code) == (200, code), change
        wrong |= change
    last = await simulator.send("37060000093", sendingTime="2024-05-30 14:06")
    assert last.json() == {"37060000093": {"error": "13"}}
    assert await simulator.accepted() == 0


async def test_every_script_wants_to_be_signed(simulator: Simulator) -> None:
    for script, given_too in (
        ("status", {"state": "1"}),
        ("stat_by_month", {"month": "2026-01"}),
        ("balance", {}),
        ("find_on_stop", {"phone": PHONE}),
    ):
        signed = simulator.signed(**given_too)
        for name, code in (("signature", "1"), ("login", "2"), ("timestamp", "24")):
            left = {key: value for key, value in signed.items() if key != name}
            assert (await simulator.get(simulator.target(script, left))).code == code
        assert (await simulator.get(simulator.target(script, {**signed, "login": "x"}))).code == "7"
        assert (await simulator.get(simulator.target(script, {**signed, "signature": "x"}))).code == "6"


async def test_missing_or_wrong_questions_have_their_codes(simulator: Simulator) -> None:
    assert (await simulator.ask("status")).json() == {"error": "17"}
    assert (await simulator.ask("status", state="4091297100348873330001")).json() == {"error": "18"}
    for month in ("", "2026", "2026-13", "2026-1", "2026-01-01"):
        assert (await simulator.ask("stat_by_month", month=month)).json() == {"error": "23"}
    assert (await simulator.ask("stat_by_month", month="2020-01")).json() == {"error": "19"}
    assert (await simulator.ask("find_on_stop")).json() == {"error": "4"}
    assert (await simulator.ask("find_on_stop", phone="37061234x67")).code == "16"


@pytest.mark.parametrize(
    ("phone", "code"),
    [
        ("+37061234567", "0"),
        ("0037061234567", "0"),
        ("+0037061234567", "16"),
        ("00061234567", "16"),
        ("3706123456a", "16"),
        (" 37061234567", "16"),
        ("٣٧٠٦١٢٣٤٥٦٧", "16"),
        ("3706123456٧", "16"),
        ("1234567890123456", "16"),
        ("123456", "33"),
        ("1", "33"),
        ("1234567", "0"),
        ("123456789012345", "0"),
    ],
)
async def test_the_form_of_a_number(simulator: Simulator, phone: str, code: str) -> None:
    assert (await simulator.send(phone)).json()[phone]["error"] == code


async def test_what_no_document_allows_is_a_plain_400(simulator: Simulator) -> None:
    signed = simulator.signed(phone=PHONE, sender="Demo", text="Hello")
    good = simulator.target("send", signed)
    for target in (
        f"{good}&text=Hello",
        f"{good}&phone={PHONE}",
        f"{good}&colour=red",
        simulator.target("status", simulator.signed(phone=PHONE)),
        simulator.target(
            "send", simulator.signed(phone=PHONE, sender="Demo", text="Hello", **{"return": "yaml"})
        ),
        simulator.target(
            "send", simulator.signed(phone=PHONE, sender="Demo", text="Hello", **{"return": "array"})
        ),
        "/external/get/timestamp.php?login=YourLogin",
        f"{good.replace('text=Hello', 'text=%FF%FE')}",
        f"{good}&nonsense",
    ):
        reply = await simulator.get(target)
        assert (reply.status, reply.content_type) == (400, "text/plain")
        assert PHONE not in reply.body
    assert await simulator.accepted() == 0


async def test_only_get_and_only_the_known_scripts(simulator: Simulator) -> None:
    for method in ("POST", "HEAD", "PUT", "DELETE"):
        async with simulator.session.request(method, simulator.url + simulator.send_target()) as response:
            assert response.status == 405
    assert (await simulator.get("/external/get/add2stop.php")).status == 404
    assert await simulator.accepted() == 0


async def test_a_hundred_numbers_and_not_one_more(simulator: Simulator) -> None:
    phones = [str(37060000000 + place * 100) for place in range(101)]
    assert (await simulator.send(",".join(phones))).code == "14"
    assert await simulator.accepted() == 0
    answer = (await simulator.send(",".join(phones[:100]))).json()
    assert list(answer) == phones[:100]
    assert {entry["error"] for entry in answer.values()} == {"0"}


async def test_senders_and_words_of_the_options(start: Start) -> None:
    simulator = await start(senders=("Shop Name", "Bad!Name"), forbidden_words=("Lottery",))
    for sender in ("Demo", "YourSender", "Shop Name", "Bad!Name"):
        assert (await simulator.send(sender=sender)).code == "0"
    for sender, code in (("Other", "9"), ("TwelveLetters", "8"), ("Pending", "10"), ("Bad!Sender", "8")):
        assert (await simulator.send(sender=sender)).code == code
    assert (await simulator.send(text="Win the LOTTERY")).code == "11"
    assert (await simulator.send(text="casino")).code == "0"


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ("keyed", '{"37061234567":{"error":"9"},"37061234568":{"error":"9"}}'),
        ("top", '{"error":9}'),
        ("top_string", '{"error":"9"}'),
        ("empty_key", '{"":{"error":9}}'),
        ("bare", "9"),
    ],
)
async def test_the_form_of_an_error_can_be_chosen(start: Start, form: str, body: str) -> None:
    simulator = await start(error_form=form)
    assert (await simulator.send("37061234567,37061234568", sender="Other")).body == body
