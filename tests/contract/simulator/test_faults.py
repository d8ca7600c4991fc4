"""Each fault does on the wire what it says, and to the requests it says."""

import asyncio
import json
import socket
import time

import aiohttp
import pytest

from tests.waiting import until

from .client import DEADLINE_SECONDS, PHONE, Simulator
from .conftest import Start

PHONES = ["37061234561", "37061234562", "37061234563"]
PATIENCE_SECONDS = 0.3  # how long a test waits to see that nothing comes


def head_and_body(written: bytes) -> tuple[str, bytes]:
    head, _, body = written.partition(b"\r\n\r\n")
    return head.decode().lower(), body


# --- endings: before and after acceptance -----------------------------------------------------------


@pytest.mark.parametrize(("kind", "accepted"), [("status", 0), ("status_after", 1)])
@pytest.mark.parametrize("code", [401, 403, 429, 500, 502, 503, 504, 599])
async def test_an_http_status(simulator: Simulator, kind: str, code: int, accepted: int) -> None:
    await simulator.fault("send", kind, code=code, retry_after=7)
    head, body = head_and_body(await simulator.speak(simulator.send_target(), close=True))
    assert head.startswith(f"http/1.1 {code} ")
    assert "retry-after: 7" in head
    assert str(code).encode() in body
    assert await simulator.accepted() == accepted


async def test_an_http_status_with_a_body_of_its_own(simulator: Simulator) -> None:
    await simulator.fault("send", "status", code=503, body='{"error":"000"}', retry_after="Wed, 21 Oct 2026")
    async with simulator.session.get(simulator.url + simulator.send_target()) as response:
        assert response.headers["Retry-After"] == "Wed, 21 Oct 2026"
        assert await response.json() == {"error": "000"}
    await simulator.delete("/_faults")
    await simulator.fault("send", "status", code=500, body="out of order")
    reply = await simulator.send()
    assert (reply.status, reply.content_type, reply.body) == (500, "text/plain", "out of order")


async def test_refuse_resets_the_connection(simulator: Simulator) -> None:
    await simulator.fault("send", "refuse")
    with pytest.raises(ConnectionResetError):
        await simulator.speak(simulator.send_target())
    assert await simulator.accepted() == 0


async def test_half_an_answer_promises_the_whole(simulator: Simulator) -> None:
    await simulator.fault("send", "cut_half")
    head, body = head_and_body(await simulator.speak(simulator.send_target(",".join(PHONES))))
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    assert head.startswith("http/1.1 200 ")
    assert len(body) == length // 2 > 0
    assert body.startswith(b'{"37061234561":{"error":"0","id_sms":"')
    assert await simulator.accepted() == 3


@pytest.mark.parametrize(("kind", "accepted"), [("nonsense_before", 0), ("nonsense", 1)])
async def test_nonsense_is_a_good_status_with_no_answer(
    simulator: Simulator, kind: str, accepted: int
) -> None:
    await simulator.fault("send", kind, times=1)
    await simulator.fault("balance", kind, body='{"money":')
    reply = await simulator.send()
    assert (reply.status, reply.content_type) == (200, "text/html")
    assert reply.body.startswith("<!DOCTYPE html>")
    assert (await simulator.ask("balance")).body == '{"money":'
    assert await simulator.accepted() == accepted


@pytest.mark.parametrize(("kind", "accepted"), [("hang", 0), ("hang_after", 1)])
async def test_a_hanging_answer_never_comes(simulator: Simulator, kind: str, accepted: int) -> None:
    await simulator.fault("send", kind, seconds=PATIENCE_SECONDS)
    began = time.monotonic()
    assert await simulator.speak(simulator.send_target()) == b""
    assert time.monotonic() - began >= PATIENCE_SECONDS
    assert await simulator.accepted() == accepted


@pytest.mark.parametrize("kind", ["hang", "hang_after"])
async def test_a_hanging_answer_ends_when_the_client_leaves(simulator: Simulator, kind: str) -> None:
    async def hanging() -> int:
        names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
        return names.count("RequestHandler._handle_request")

    async def one_hangs() -> bool:
        return await hanging() == 1

    async def none_hangs() -> bool:
        return await hanging() == 0

    await simulator.fault("send", kind, seconds=3600)
    line = await simulator.connect()
    await line.ask(simulator.send_target())
    await until(one_hangs)
    await line.close()
    await until(none_hangs)


@pytest.mark.parametrize(("kind", "accepted"), [("redirect", 0), ("redirect_after", 1)])
@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_asks_for_the_same_again(
    simulator: Simulator, kind: str, status: int, accepted: int
) -> None:
    await simulator.fault("send", kind, status=status, times=1)
    await simulator.fault("send", kind, status=status, to="http://127.0.0.1:1/elsewhere")
    target = simulator.send_target()
    async with simulator.session.get(simulator.url + target, allow_redirects=False) as response:
        assert response.status == status
        location = response.headers["Location"]
    assert location == target
    assert await simulator.accepted() == accepted
    async with simulator.session.get(simulator.url + location, allow_redirects=False) as response:
        assert response.headers["Location"] == "http://127.0.0.1:1/elsewhere"


# --- error codes ------------------------------------------------------------------------------------

EVERY_CODE = ["000", *(str(code) for code in range(1, 40)), "999"]


@pytest.mark.parametrize("code", EVERY_CODE)
async def test_every_code_in_every_form(simulator: Simulator, code: str) -> None:
    number = '"000"' if code == "000" else code
    for form, body in (
        ("keyed", f'{{"37061234561":{{"error":"{code}"}},"37061234562":{{"error":"{code}"}}}}'),
        ("top", f'{{"error":{number}}}'),
        ("top_string", f'{{"error":"{code}"}}'),
        ("empty_key", f'{{"":{{"error":{number}}}}}'),
        ("bare", code),
    ):
        await simulator.fault("send", "code", code=code, form=form, times=1)
        reply = await simulator.send("37061234561,37061234562")
        assert (reply.status, reply.body) == (200, body)
    await simulator.fault("send", "phone_code", code=code, times=1)
    answer = (await simulator.send(",".join(PHONES))).json()
    assert answer[PHONES[0]] == {"error": code}
    assert [answer[phone]["error"] for phone in PHONES[1:]] == ["0", "0"]
    assert await simulator.accepted() == 2


async def test_a_code_at_other_scripts(simulator: Simulator) -> None:
    await simulator.fault("*", "code", code=14)
    assert (await simulator.send()).body == f'{{"{PHONE}":{{"error":"14"}}}}'
    assert (await simulator.ask("status", state="1,2")).body == '{"error":"14"}'
    assert (await simulator.ask("balance")).body == '{"error":"14"}'
    assert (await simulator.get("/external/get/timestamp.php")).body == "14"
    await simulator.delete("/_faults")
    await simulator.fault("status", "code", code="000", form="keyed")
    assert (await simulator.ask("status", state="1,2")).body == '{"1":{"error":"000"},"2":{"error":"000"}}'


async def test_phone_codes_take_the_first_numbers(simulator: Simulator) -> None:
    await simulator.fault("send", "phone_code", code="12", count=2, times=1)
    answer = (await simulator.send(",".join(PHONES))).json()
    assert [answer[phone]["error"] for phone in PHONES] == ["12", "12", "0"]
    await simulator.fault("send", "phone_code", code="12", count=50, times=1)
    answer = (await simulator.send(",".join(PHONES))).json()
    assert [answer[phone]["error"] for phone in PHONES] == ["12", "12", "12"]
    assert await simulator.accepted() == 1


async def test_code_18_for_a_whole_question(simulator: Simulator) -> None:
    ids = await simulator.accept(*PHONES, "37060000098")
    await simulator.fault("status", "code18")
    assert (await simulator.ask("status", state=",".join(ids))).body == '{"error":"18"}'
    assert (await simulator.ask("status", state=ids[0])).json() == {ids[0]: "delivered"}
    await simulator.delete("/_faults")

    await simulator.fault("status", "code18", poison=ids[1])
    for asked, refused in ((ids, True), (ids[1:2], True), (ids[:1], False), ([ids[0], ids[2]], False)):
        answer = (await simulator.ask("status", state=",".join(asked))).json()
        assert ("error" in answer) is refused
    assert [fault["hits"] for fault in await simulator.faults()] == [2]
    await simulator.delete("/_faults")

    await simulator.fault("status", "code18", poison="unknown")
    assert (await simulator.ask("status", state=",".join(ids))).body == '{"error":"18"}'
    assert len((await simulator.ask("status", state=",".join(ids[:3]))).json()) == 3


# --- what only colours an answer --------------------------------------------------------------------


async def test_omitted_recipients_were_accepted(simulator: Simulator) -> None:
    await simulator.fault("send", "omit", count=2, times=1)
    assert list((await simulator.send(",".join(PHONES))).json()) == PHONES[:1]
    await simulator.fault("send", "omit", count=9, times=1)
    assert (await simulator.send(",".join(PHONES))).json() == {}
    assert await simulator.accepted() == 6


@pytest.mark.parametrize("offset", [-30, 30, 3600])
async def test_a_clock_that_is_off_is_off_everywhere(simulator: Simulator, offset: float) -> None:
    await simulator.fault("*", "clock", offset_seconds=offset)
    theirs = int((await simulator.get("/external/get/timestamp.php")).body)
    assert abs(theirs - offset - time.time()) < 5
    assert (await simulator.send()).code == "6"
    assert (await simulator.ask("balance")).code == "6"
    assert (await simulator.send(timestamp=str(theirs))).code == "0"


async def test_words_and_forms_of_a_status(simulator: Simulator) -> None:
    ids = await simulator.accept(PHONE, "37060000090", "37060000097")
    asked = ",".join(ids)
    await simulator.fault("status", "unknown_word", word="teleported", times=1)
    assert set((await simulator.ask("status", state=asked)).json().values()) == {"teleported"}
    await simulator.fault("status", "object_form", times=1)
    answer = (await simulator.ask("status", state=asked)).json()
    assert [answer[message_id]["status"] for message_id in ids] == ["deliver", "not_deliver", "sent"]
    assert all(time.strptime(entry["time"], "%Y-%m-%d %H:%M:%S") for entry in answer.values())
    await simulator.fault("status", "missing_ids", count=2, times=1)
    assert (await simulator.ask("status", state=asked)).json() == {ids[2]: "sent"}
    await simulator.fault("status", "missing_ids", count=3, times=1)
    assert (await simulator.ask("status", state=asked)).json() == {}


async def test_numbers_without_quotes(simulator: Simulator) -> None:
    await simulator.fault("*", "int_codes")
    answer = (await simulator.send("37061234567,37060000096")).json()
    assert answer["37060000096"] == {"error": 31}
    accepted = answer[PHONE]
    assert (accepted["error"], accepted["cost"], accepted["count_sms"]) == (0, 0.0144, 1)
    assert isinstance(accepted["id_sms"], str)
    assert (await simulator.send(sender="Other")).json() == {PHONE: {"error": 9}}
    assert isinstance((await simulator.ask("balance")).json()["money"], float)
    month = time.strftime("%Y-%m", time.gmtime())
    (day,) = (await simulator.ask("stat_by_month", month=month)).json().values()
    assert day["deliver"] == {"cost": 0.014, "parts": 1}


async def test_extra_keys(simulator: Simulator) -> None:
    await simulator.fault("send", "extra_keys")
    entry = (await simulator.send()).json()[PHONE]
    assert list(entry) == ["error", "id_sms", "cost", "count_sms", "sender", "network", "ported"]


async def test_latency_delays_the_answer_and_not_the_acceptance(start: Start) -> None:
    simulator = await start(latency_seconds=PATIENCE_SECONDS / 2)
    await simulator.fault("send", "latency", seconds=PATIENCE_SECONDS / 2, times=1)
    await simulator.fault("send", "latency", seconds=3600)
    began = time.monotonic()
    assert (await simulator.send()).code == "0"
    assert time.monotonic() - began >= PATIENCE_SECONDS
    line = await simulator.connect()
    await line.ask(simulator.send_target())
    await until(lambda: _accepted(simulator, 2))
    await line.close()


async def _accepted(simulator: Simulator, count: int) -> bool:
    return await simulator.accepted() == count


async def test_the_option_delays_send_and_status_alone(start: Start) -> None:
    simulator = await start(latency_seconds=3600)
    assert (await simulator.ask("balance")).status == 200
    assert (await simulator.get("/external/get/timestamp.php")).status == 200
    for target in (simulator.send_target(), simulator.target("status", simulator.signed(state="1"))):
        line = await simulator.connect()
        await line.ask(target)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await line.reader.read(1)
        await line.close()


async def test_a_dripping_body_comes_byte_by_byte(simulator: Simulator) -> None:
    await simulator.fault("send", "drip", seconds=PATIENCE_SECONDS)
    line = await simulator.connect()
    began = time.monotonic()
    await line.ask(simulator.send_target())
    pieces: list[bytes] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        head = await line.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while sum(map(len, pieces)) < length:
            pieces.append(await line.reader.read(65536))
    await line.close()
    assert time.monotonic() - began >= PATIENCE_SECONDS * 0.9
    assert len(pieces) >= 5  # on a busy machine many arrive together
    assert json.loads(b"".join(pieces))[PHONE]["error"] == "0"


async def test_who_leaves_a_dripping_answer_was_accepted_still(simulator: Simulator) -> None:
    await simulator.fault("send", "drip", seconds=3600)
    line = await simulator.connect()
    await line.ask(simulator.send_target())
    async with asyncio.timeout(DEADLINE_SECONDS):
        await line.reader.readuntil(b"\r\n\r\n")
    await line.close()
    assert await simulator.accepted() == 1


async def test_a_plain_client_sends_twice_on_a_cut_connection(simulator: Simulator) -> None:
    """Why the simulator exists: aiohttp repeats a cut GET by itself, and the ledger shows it."""
    await simulator.fault("timestamp", "keepalive_cut", times=1)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{simulator.url}/external/get/timestamp.php") as response:
            await response.read()
        async with session.get(simulator.url + simulator.send_target()) as response:
            assert response.status == 200
    assert (await simulator.ledger())["most_per_phone"] == 2


async def test_a_reset_is_no_ordinary_end(simulator: Simulator) -> None:
    """`refuse` and `cut_before` are told apart on a bare socket too."""
    await simulator.fault("send", "refuse", times=1)
    await simulator.fault("send", "cut_before", times=1)

    def ask() -> bytes:
        host, port = simulator.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as bare:
            bare.sendall(f"GET {simulator.send_target()} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return bare.recv(1)

    with pytest.raises(ConnectionResetError):
        await asyncio.to_thread(ask)
    assert await asyncio.to_thread(ask) == b""
