"""What becomes of a number at every provider: its table of fates, its life, and ids that nobody knows.

`test_adapters.py` holds the refusals and the ends to what our adapters read in them.
"""

import re

import pytest

from simulator import server
from simulator.options import ProviderName

from .accounts import ACCOUNTS, CALLING
from .conftest import Open
from .hooks import Hooks, callback_counts, opened_for

# By the last two digits, with a delivery of ten seconds: each status word, and the second in which it comes.
LIVES: dict[ProviderName, dict[str, str]] = {
    "lightsms": {
        "00": "pending 5 sent 10 delivered",
        "89": "pending 5 sent 10 deliver",  # as an object
        "90": "pending 5 sent 10 not_deliver",
        "91": "pending 5 sent 10 expired",
        "92": "pending",
        "97": "pending 5 sent",
        "98": "-",
    },
    "loyalty_lt": {
        "00": "queued 5 sent 10 delivered",
        "88": "queued 5 sent 10 failed",
        "90": "queued 5 sent 10 failed",
        "91": "queued 5 sent 10 expired",
        "92": "queued",
        "97": "queued 5 sent",
        "98": "-",
    },
    "namirial": {
        "00": "PROVIDER_ACCEPTANCE 5 SENT 10 DELIVERED",
        "87": "PROVIDER_ACCEPTANCE 10 REJECTED",
        "88": "PROVIDER_ACCEPTANCE 5 SENT 10 DELIVERED 15 READ",
        "90": "PROVIDER_ACCEPTANCE 5 SENT 10 UNDELIVERED",
        "91": "PROVIDER_ACCEPTANCE 5 SENT 10 UNDELIVERED",
        "92": "PROVIDER_ACCEPTANCE",
        "97": "PROVIDER_ACCEPTANCE 5 SENT",
        "98": "-",
    },
    "seven": {
        "00": "- 2.5 ACCEPTED 5 TRANSMITTED 10 DELIVERED",
        "85": "- 2.5 ACCEPTED 5 TRANSMITTED 7.5 UNKNOWN",
        "86": "- 2.5 ACCEPTED 10 REJECTED",
        "87": "- 2.5 ACCEPTED 5 TRANSMITTED 7.5 BUFFERED 10 DELIVERED",
        "88": "- 2.5 ACCEPTED 5 TRANSMITTED 7.5 UNKNOWN 10 DELIVERED",
        "90": "- 2.5 ACCEPTED 5 TRANSMITTED 10 NOTDELIVERED",
        "91": "- 2.5 ACCEPTED 5 TRANSMITTED 7.5 BUFFERED 10 EXPIRED",
        "92": "- 2.5 ACCEPTED",
        "97": "- 2.5 ACCEPTED 5 TRANSMITTED",
        "98": "-",
        "99": "- 10 FAILED",
    },
    "http": {  # Twilio's
        "00": "queued 5 sent 10 delivered",
        "87": "queued 10 failed",
        "90": "queued 5 sent 10 undelivered",
        "91": "queued 5 sent 10 undelivered",
        "92": "queued",
        "97": "queued 5 sent",
        "98": "-",
        "99": "queued 10 failed",
    },
}
# The status words that callbacks tell, where they are not those of the life after its first.
TOLD: dict[str, dict[str, str]] = {
    "loyalty_lt": {
        "00": "SENT DELIVERED",
        "88": "SENT UNDELIVERABLE",
        "90": "SENT FAILED",
        "91": "SENT UNDELIVERABLE",
        "97": "SENT",
    },
}
STATUS_FIELD = re.compile(r'(?:"status": ?"|[?&]status=|MessageStatus=)([A-Za-z]+)')


def phone(provider: str, ending: int | str) -> str:
    return f"{'' if provider in {'lightsms', 'seven'} else '+'}370600000{ending:0>2}"


def life(provider: ProviderName, ending: str) -> list[tuple[float, str | None]]:
    first, *rest = LIVES[provider].get(ending, LIVES[provider]["00"]).split()
    later = zip(map(float, rest[::2]), rest[1::2], strict=True)
    return [(0.0, None if first == "-" else first), *later]


@pytest.mark.parametrize("provider", ACCOUNTS)
async def test_the_table_is_served_and_kept(open_account: Open, provider: ProviderName) -> None:
    account = await open_account(provider)
    served = (await account.simulator.get("/_fates")).json()
    assert served["fates"].keys() == server._PROVIDERS[provider].fates.named.keys() >= {"90", "93", "98"}
    refused = {}
    for ending in (f"{number:02d}" for number in range(100)):
        fate = served["fates"].get(ending, served["any_other"])
        if (code := fate.get("send_code", fate.get("refusal"))) is not None:
            refused[ending] = code
            said = await account.refusal(phone(provider, ending))
            assert provider == "loyalty_lt" or said == code
        else:
            word = await account.word(await account.take(phone(provider, ending)))
            assert word == life(provider, ending)[-1][1]
            if provider != "http" and word is not None:  # http's table serves several wires in our words
                assert fate["final"] == {"deliver": "delivered"}.get(word, word)
    assert await account.simulator.accepted() == 100 - len(refused)
    assert {"93", "94", "95", "96"} <= refused.keys() <= {"93", "94", "95", "96", "99"}


@pytest.mark.parametrize("provider", ACCOUNTS)
async def test_a_message_lives_by_its_number(
    open_account: Open, provider: ProviderName, moment: list[float]
) -> None:
    account = await open_account(provider, delivery_seconds=10)
    ids = {ending: await account.take(phone(provider, ending)) for ending in LIVES[provider]}
    began = moment[0]
    for age in (0.0, *(at + off for at in (2.5, 5, 7.5, 10, 15) for off in (-0.1, 0.1)), 1e6):
        moment[0] = began + age
        for ending, message_id in ids.items():
            expected = [word for at, word in life(provider, ending) if at <= age][-1]
            assert await account.word(message_id) == expected, (ending, age)


@pytest.mark.parametrize("provider", CALLING)
async def test_callbacks_tell_every_later_word(
    open_account: Open, hooks: Hooks, provider: ProviderName
) -> None:
    account = await opened_for(open_account, provider, hooks, delivery_seconds=0.2)
    ids = {
        ending: await account.take(phone(provider, ending), **account.ask_for(f"{hooks.url}e{ending}"))
        for ending in LIVES[provider]
    }
    await callback_counts(account.simulator)
    for ending, message_id in ids.items():
        mark = message_id if provider == "seven" else f"/e{ending}"
        texts = [f"{call.url} {call.body.decode()}" for call in hooks.taken if mark in call.url]
        expected = [word for _, word in life(provider, ending)[1:]]
        if provider in TOLD:
            expected = TOLD[provider].get(ending, "").split()
        assert [match[1] for match in map(STATUS_FIELD.search, texts) if match] == expected, ending
        assert len(texts) == len(expected)


@pytest.mark.parametrize("provider", ACCOUNTS)
async def test_ids_nobody_knows(open_account: Open, provider: ProviderName) -> None:
    account = await open_account(provider)
    message_id = await account.take()
    other = re.sub("[0-9a-f]", lambda digit: f"{int(digit[0], 16) ^ 1:x}", message_id, count=1)
    last = message_id[:-1] + ("9" if message_id[-1] != "9" else "8")
    for wrong in (message_id[:-1], message_id[1:], f"{message_id}0", other, last, "x"):
        assert await account.word(wrong) is None, wrong
    delivered = life(provider, "00")[-1][1]
    assert await account.word(message_id) == delivered
    await account.simulator.delete("/_ledger")
    assert await account.word(message_id) is None
    assert await account.word(await account.take()) == delivered  # numbered on, and still its own
    assert await account.word(message_id) is None
