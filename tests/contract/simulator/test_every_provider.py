"""What all simulated providers have in common, held to once for all of them."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import server
from simulator.fates import SpokenFates
from simulator.ledger import Ledger
from simulator.namirial.fates import FATES as NAMIRIAL_FATES
from simulator.options import ProviderName
from simulator.provider import Series
from simulator.seven.fates import FATES as SEVEN_FATES
from tests.waiting import until

from .accounts import ACCOUNTS, CALLING, KEY
from .client import PHONE, running
from .conftest import Open
from .hooks import Hooks, callback_counts, hooked, no_callback_waits, opened_for


def numbers(provider: str, count: int, ending: str) -> list[str]:
    plus = "+" if provider in ("loyalty_lt", "namirial", "http") else ""
    return [f"{plus}3706000{at:02d}{ending}" for at in range(count)]


def test_every_provider_has_an_account_here() -> None:
    assert ACCOUNTS.keys() == server._PROVIDERS.keys()


# --- what is cut, and what was taken ------------------------------------------------------------------


@pytest.mark.parametrize("provider", ACCOUNTS)
@pytest.mark.parametrize(
    ("kind", "accepted"),
    [("cut_before", 0), ("cut_after", 1), ("cut_half", 1), ("hang", 0), ("hang_after", 1)],
)
async def test_what_is_cut_after_acceptance_is_accepted(
    open_account: Open, provider: ProviderName, kind: str, accepted: int
) -> None:
    account = await open_account(provider)
    fields = {"seconds": 0.05} if kind.startswith("hang") else {}
    await account.simulator.fault("send", kind, **fields)
    line = await account.simulator.connect()
    line.writer.write(account.raw_send())
    written = await line.rest()
    await line.close()
    head, _, body = written.partition(b"\r\n\r\n")
    assert written == b"" or kind == "cut_half"
    if kind == "cut_half":
        assert 0 < len(body) < int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    assert await account.simulator.accepted() == accepted
    assert (await account.simulator.ledger())["requests"] == {"send": 1}


@pytest.mark.parametrize("provider", ACCOUNTS)
async def test_a_kept_connection_is_cut_at_its_next_request(
    open_account: Open, provider: ProviderName
) -> None:
    account = await open_account(provider)
    await account.simulator.fault("send", "keepalive_cut", times=1)
    line = await account.simulator.connect()
    first, second = numbers(provider, 2, "00")
    line.writer.write(account.raw_send(first))
    head, body = await line.answer()
    assert head.split()[1] in (b"200", b"201")
    assert body
    line.writer.write(account.raw_send(second))
    assert await line.rest() == b""
    await line.close()
    assert await account.simulator.accepted() == 2


@pytest.mark.parametrize("provider", ACCOUNTS)
async def test_the_option_delays_the_answer_and_not_the_acceptance(
    open_account: Open, provider: ProviderName
) -> None:
    account = await open_account(provider, latency_seconds=3600)
    line = await account.simulator.connect()
    line.writer.write(account.raw_send())

    async def taken() -> bool:
        return bool(await account.simulator.accepted() == 1)

    await until(taken)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await line.reader.read(1)
    await line.close()


@pytest.mark.parametrize("provider", ACCOUNTS)
async def test_no_number_text_or_key_is_logged_when_something_breaks(
    open_account: Open,
    provider: ProviderName,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    account = await open_account(provider)

    def broken(_ledger: Ledger, phones: object, *_rest: object) -> int:
        raise ValueError(f"cannot take Hello to {phones} with {KEY}")

    monkeypatch.setattr(Ledger, "accept", broken)
    line = await account.simulator.connect()
    line.writer.write(account.raw_send())
    head, _ = await line.answer()
    await line.close()
    assert head.split()[1] == b"500"
    assert "ValueError at" in caplog.text
    for kept in (PHONE, PHONE[-7:], "Hello", KEY):
        assert kept not in caplog.text


# --- callbacks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", CALLING)
async def test_nobody_is_told_who_did_not_ask_or_whose_message_is_forgotten(
    open_account: Open, hooks: Hooks, provider: ProviderName, caplog: pytest.LogCaptureFixture
) -> None:
    silent = await open_account(provider, delivery_seconds=0.1)
    await silent.take()
    assert await callback_counts(silent.simulator) == {}
    account = await opened_for(open_account, provider, hooks, delivery_seconds=0.4)
    (refused,) = numbers(provider, 1, "94")
    line = await account.simulator.connect()
    line.writer.write(account.raw_send(refused))
    await line.answer()
    await line.close()
    assert await no_callback_waits(account.simulator)
    await account.take(**account.ask_for(hooks.url))
    assert not await no_callback_waits(account.simulator)
    await account.simulator.delete("/_ledger")
    assert await callback_counts(account.simulator) == {}
    assert hooks.taken == []
    assert caplog.records == []


@pytest.mark.parametrize("provider", CALLING)
async def test_a_callback_that_fails_is_tried_again_as_it_was_and_then_dropped(
    open_account: Open, hooks: Hooks, provider: ProviderName
) -> None:
    account = await opened_for(open_account, provider, hooks, callback_retry_seconds=(0.01, 0.02, 0.01))
    first, second = numbers(provider, 2, "97")
    hooks.statuses = [500, 502, 503]
    await account.take(first, **account.ask_for(hooks.url))
    assert await callback_counts(account.simulator) == {"made": 1, "sent": 4, "taken": 1}
    assert len({(each.url, each.body) for each in hooks.taken}) == 1
    hooks.statuses = [500] * 4
    await account.take(second, **account.ask_for(hooks.url))
    assert await callback_counts(account.simulator) == {"made": 2, "sent": 8, "taken": 1, "dropped": 1}


@pytest.mark.parametrize("provider", ["loyalty_lt", "namirial", "http"])
async def test_any_error_is_tried_again_where_no_document_says_which(
    open_account: Open, hooks: Hooks, provider: ProviderName
) -> None:
    account = await opened_for(open_account, provider, hooks, callback_retry_seconds=(0.01,))
    hooks.statuses = [404]
    await account.take(numbers(provider, 1, "97")[0], **account.ask_for(hooks.url))
    assert await callback_counts(account.simulator) == {"made": 1, "sent": 2, "taken": 1}


@pytest.mark.parametrize("provider", CALLING)
async def test_callbacks_are_lost_doubled_and_delayed(
    open_account: Open, hooks: Hooks, provider: ProviderName
) -> None:
    account = await opened_for(open_account, provider, hooks)
    lost, doubled, *late = numbers(provider, 22, "97")
    await account.simulator.fault("callback", "lost", times=1)
    await account.take(lost, **account.ask_for(hooks.url + "lost"))
    assert await callback_counts(account.simulator) == {"made": 1, "lost": 1}
    assert hooks.taken == []
    await account.simulator.fault("callback", "doubled", times=1)
    await account.take(doubled, **account.ask_for(hooks.url + "doubled"))
    assert await callback_counts(account.simulator) == {
        "made": 2,
        "lost": 1,
        "doubled": 1,
        "sent": 2,
        "taken": 2,
    }
    assert len({(each.url, each.body) for each in hooks.taken}) == 1
    hooks.taken.clear()
    await account.simulator.fault("callback", "delayed", seconds=0.3)
    marks = []
    for at, phone in enumerate(late):
        message_id = await account.take(phone, **account.ask_for(f"{hooks.url}late-{at:02d}"))
        marks.append(message_id if provider == "seven" else f"late-{at:02d}")
    assert (await callback_counts(account.simulator))["taken"] == 22
    told = [next(mark for mark in marks if mark in each.url) for each in hooks.taken]
    assert sorted(told) == sorted(marks)
    assert told != marks  # by chance they would be in order once in 20! times


@pytest.mark.parametrize("provider", CALLING)
async def test_its_own_pauses_are_used_unless_told_otherwise(
    open_account: Open, hooks: Hooks, provider: ProviderName
) -> None:
    account = await opened_for(open_account, provider, hooks)
    hooks.statuses = [500]
    await account.take(numbers(provider, 1, "97")[0], **account.ask_for(hooks.url))

    async def once_in_vain() -> bool:
        return len(hooks.taken) == 1

    await until(once_in_vain)
    said = (await account.simulator.get("/_callbacks")).json()
    assert (said["sent"], said["waiting"], said.get("dropped", 0)) == (1, 1, 0)
    assert server._PROVIDERS[provider].retry_seconds[0] >= 30


@pytest.mark.parametrize("provider", CALLING)
async def test_nothing_waits_for_callbacks_when_it_ends(provider: ProviderName) -> None:
    async with hooked() as hooks:
        options = {"callback_url": hooks.url} if provider == "seven" else {}
        async with running(provider=provider, delivery_seconds=3600, **options) as simulator:
            account = ACCOUNTS[provider](simulator)
            await account.take(**account.ask_for(hooks.url))
            assert not await no_callback_waits(simulator)
        assert hooks.taken == []


# --- ids, fates and options ---------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ACCOUNTS)
async def test_two_runs_never_give_the_same_id(open_account: Open, provider: ProviderName) -> None:
    ids = [await (await open_account(provider)).take() for _ in range(2)]
    assert ids[0] != ids[1]
    assert len(ids[0]) == len(ids[1])


@given(
    st.sampled_from([NAMIRIAL_FATES, SEVEN_FATES]),
    st.integers(0, 99),
    st.floats(0, 100),
    st.floats(0, 100),
    st.sampled_from([0.0, 0.5, 50.0]),
)
def test_a_life_of_status_words_never_goes_back(
    fates: SpokenFates, ending: int, age: float, older: float, delivery: float
) -> None:
    fate = fates.of(37_060_000_000 + ending)
    changes = fates.changes(fate, delivery)
    assert [seconds for seconds, _ in changes] == sorted(seconds for seconds, _ in changes)
    words = [None, *(word for _, word in changes)]
    first, then = fates.status_word_at(fate, age, delivery), fates.status_word_at(fate, age + older, delivery)
    assert words.index(first[1]) <= words.index(then[1])
    assert first[0] <= then[0] <= age + older
    assert fates.status_word_at(fate, 1000.0, delivery) == (changes[-1] if changes else (0.0, None))
    assert fates.status_word_at(fate, -1.0, delivery) == (0.0, None)  # scheduled: its life has not begun


@given(st.integers(1, 10**8), st.sampled_from([10, 16]))
def test_an_id_gives_its_sequence_number_back(sequence: int, base: int) -> None:
    series = Series("msg_7a-", 9, base)
    message_id = series.id_of(sequence)
    assert series.sequence_of(message_id) == sequence
    assert len(message_id) == len("msg_7a-") + 9
    for wrong in (f"{message_id}0", message_id[:-1], f"\u0663{message_id[1:]}", message_id[7:], ""):
        assert series.sequence_of(wrong) is None


@pytest.mark.parametrize(
    "wrong", ["7_1x0000001", "7_1+0000001", "7_1 0000001", "7_1\u066300000001", "8_100000001"]
)
def test_an_id_of_another_form_or_series_is_of_nobody(wrong: str) -> None:
    assert Series("7_1", 8).sequence_of("7_100000001") == 1
    assert Series("7_1", 8).sequence_of(wrong) is None
    assert Series("7_1", 8, 16).sequence_of("7_1ABCDEF01") is None
