"""Every adapter against the simulator of its provider: messages handed over, their ends, and doubt."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from campaigns.domain.provider import (
    Accepted,
    CampaignTrouble,
    Doubtful,
    Failed,
    InDoubt,
    OutboundMessage,
    Outcome,
    Rejected,
)
from campaigns.domain.states import MessageState, merge
from tests.waiting import until

from .accounts import ACCOUNTS, EXAMPLES
from .adapters import adapter, at_once, hand_over, message
from .conftest import Open
from .hooks import Hooks, callback_counts, opened_for

WIRES = [*ACCOUNTS, *EXAMPLES]
DELIVERED, SENT, ACCEPTED = MessageState.DELIVERED, MessageState.SENT, MessageState.ACCEPTED
UNDELIVERED, EXPIRED, REJECTED = MessageState.UNDELIVERED, MessageState.EXPIRED, MessageState.REJECTED
FAILED, READ = MessageState.FAILED, MessageState.READ

# By the last two digits of a number: as what it is refused, and with which codes.
REFUSED: dict[str, dict[str, tuple[type[Outcome], set[str]]]] = {
    "lightsms": {
        "93": (Rejected, {"13"}),
        "94": (Rejected, {"16"}),
        "95": (Rejected, {"34"}),
        "96": (Rejected, {"31"}),
        "99": (Failed, {"12"}),
    },
    "loyalty_lt": {  # the code is a number, a text or absent, one answer after the other
        "93": (Rejected, {"VALIDATION_ERROR", "422", "http_422"}),
        "94": (Rejected, {"2002", "http_422"}),
        "95": (Rejected, {"422", "http_422"}),
        "96": (CampaignTrouble, {"2001", "http_422"}),
        "99": (Rejected, {"http_422"}),
    },
    "namirial": {
        "93": (Rejected, {"61"}),
        "94": (Rejected, {"56"}),
        "95": (Rejected, {"61"}),
        "96": (Rejected, {"8"}),
        "99": (Failed, {"12"}),
    },
    "seven": {
        "93": (Rejected, {"403"}),
        "94": (Rejected, {"202"}),
        "95": (Rejected, {"403"}),
        "96": (Rejected, {"202"}),
    },
    "http": {
        "93": (Rejected, {"21610"}),
        "94": (Rejected, {"21211"}),
        "95": (Rejected, {"21610"}),
        "96": (Rejected, {"21408"}),
    },
    "vonage": {
        "93": (Rejected, {"7"}),
        "94": (Rejected, {"6"}),
        "95": (Rejected, {"7"}),
        "96": (Rejected, {"29"}),
    },
    "infobip": {
        "93": (Rejected, {"REJECTED_DND"}),
        "94": (Rejected, {"REJECTED"}),
        "95": (Rejected, {"REJECTED_DND"}),
        "96": (Rejected, {"REJECTED"}),
    },
}
# By the last two digits: what questions come to in the end. Any other number is delivered, 98 is not known.
POLLED: dict[str, dict[str, MessageState | None]] = {
    "lightsms": {"90": UNDELIVERED, "91": EXPIRED, "92": ACCEPTED, "97": SENT, "98": None},
    "loyalty_lt": {"88": FAILED, "90": FAILED, "91": EXPIRED, "92": ACCEPTED, "97": SENT, "98": None},
    "namirial": {
        "87": REJECTED,
        "88": READ,
        "90": UNDELIVERED,
        "91": UNDELIVERED,
        "92": ACCEPTED,
        "97": SENT,
        "98": None,
    },
    "seven": {
        "85": None,
        "86": REJECTED,
        "90": UNDELIVERED,
        "91": EXPIRED,
        "92": ACCEPTED,
        "97": SENT,
        "98": None,
        "99": FAILED,
    },
    "http": {
        "87": FAILED,
        "90": UNDELIVERED,
        "91": UNDELIVERED,
        "92": ACCEPTED,
        "97": SENT,
        "98": None,
        "99": FAILED,
    },
    "vonage": {
        "87": REJECTED,
        "90": UNDELIVERED,
        "91": EXPIRED,
        "92": ACCEPTED,
        "97": SENT,
        "98": None,
        "99": UNDELIVERED,
    },
    "infobip": {
        "87": REJECTED,
        "90": UNDELIVERED,
        "91": EXPIRED,
        "92": ACCEPTED,
        "97": ACCEPTED,
        "98": None,
        "99": UNDELIVERED,
    },
}
# The same of callbacks, where they come to something else.
TOLD: dict[str, dict[str, MessageState | None]] = {
    "loyalty_lt": {"88": UNDELIVERED, "91": UNDELIVERED, "92": None},
    "namirial": {"92": None},
    "seven": {"85": SENT},
    "http": {"92": None},
    "vonage": {"92": None},
    "infobip": {"92": None, "97": None},
}
ENDINGS = ["00", *(str(ending) for ending in range(85, 100))]


def number(provider: str, at: int, ending: str) -> str:
    return f"+3706000{at:02d}{ending}"


@pytest.mark.parametrize("provider", WIRES)
async def test_from_hand_over_to_every_end(open_account: Open, hooks: Hooks, provider: str) -> None:
    account = await opened_for(open_account, provider, hooks, delivery_seconds=0.3)
    phones = [number(provider, at, ending) for at in range(3) for ending in ENDINGS]
    messages = [message(at, phone, f"{hooks.url}{at}") for at, phone in enumerate(phones)]
    async with adapter(account) as ours:
        ids: dict[str, OutboundMessage] = {}
        for handed, outcome in zip(messages, await hand_over(ours, *messages), strict=True):
            refused, codes = REFUSED[provider].get(handed.phone[-2:], (Accepted, set()))
            assert type(outcome) is refused or (refused, type(outcome)) == (CampaignTrouble, Rejected)
            if isinstance(outcome, Accepted):
                ids[outcome.provider_message_id] = handed
            else:
                assert getattr(outcome, "code", None) in codes
        assert len(ids) == 3 * (len(ENDINGS) - len(REFUSED[provider]))

        ends = {each: POLLED[provider].get(of.phone[-2:], DELIVERED) for each, of in ids.items()}
        states: dict[str, MessageState | None] = {}

        async def all_ended() -> bool:
            answers = await ours.ask(list(ids), at_once)
            assert answers.trouble is None
            assert {each.message_ref for each in answers.receipts} <= {
                None,
                *(m.message_ref for m in messages),
            }
            states.update({str(each.provider_message_id): each.evidence for each in answers.receipts})
            return {**dict.fromkeys(ids), **states} == ends

        await until(all_ended)

        # What callbacks say comes to the same, in whatever order they came.
        await callback_counts(account.simulator)
        told: dict[str, MessageState] = {}
        for callback in hooks.taken:
            for receipt in ours.read_callback(callback):
                named = ids.get(str(receipt.provider_message_id))
                named = named or next((of for of in messages if of.callback_url == callback.url), None)
                assert named is not None
                assert receipt.message_ref in {None, named.message_ref}
                assert provider in {"seven", "vonage"} or named.callback_url == callback.url
                if receipt.evidence is not None:
                    told[named.phone] = merge(told.get(named.phone, ACCEPTED), receipt.evidence)
        expected = {**POLLED[provider], **TOLD.get(provider, {})}
        by_phone = {of.phone: expected.get(of.phone[-2:], DELIVERED) for of in ids.values()}
        assert told == (
            {phone: state for phone, state in by_phone.items() if state} if provider != "lightsms" else {}
        )
        counted = (await account.simulator.get("/_ledger?counts=1")).body.splitlines()
        assert {"+" + json.loads(line)["phone"]: json.loads(line)["count"] for line in counted} == {
            of.phone: 1 for of in ids.values()
        }


# --- doubt ------------------------------------------------------------------------------------------

SETTLED_BY_A_QUESTION = {"namirial", "seven"}
FOUND_BY_A_QUESTION = {"infobip"}  # what is not found may be there yet


async def looked_up(ours: Any, *messages: OutboundMessage) -> Any:
    now = datetime.now(UTC)
    return await ours.look_up(
        [Doubtful(of.message_ref, of.phone, now - timedelta(seconds=60), now) for of in messages], at_once
    )


@pytest.mark.parametrize("provider", WIRES)
@pytest.mark.parametrize(
    "kind", ["cut_after", "cut_half", "hang_after", "status_after", "redirect_after", "nonsense", "omit"]
)
async def test_an_answer_not_seen_is_in_doubt_until_somebody_tells(
    open_account: Open, hooks: Hooks, provider: str, kind: str
) -> None:
    account = await opened_for(open_account, provider, hooks)
    fields: dict[str, dict[str, object]] = {"hang_after": {"seconds": 60}, "status_after": {"code": 502}}
    async with adapter(account, timeout_seconds=0.5 if kind == "hang_after" else 10.0) as ours:
        await account.simulator.fault("send", kind, **fields.get(kind, {}))
        unseen, never = (message(at, number(provider, at, "00"), f"{hooks.url}{at}") for at in range(2))
        (outcome,) = await hand_over(ours, unseen)
        assert isinstance(outcome, InDoubt)
        found = await looked_up(ours, unseen, never)
        if provider in SETTLED_BY_A_QUESTION:
            (seen,) = found.seen
            assert (seen.message_ref, seen.evidence) == (unseen.message_ref, DELIVERED)
            assert (list(found.absent), found.trouble) == ([never.message_ref], None)
            (line,) = (await account.simulator.get("/_ledger?full=1")).body.splitlines()
            assert json.loads(line)["id"] == seen.provider_message_id
        elif provider in FOUND_BY_A_QUESTION:
            (seen,) = found.seen
            assert (seen.message_ref, seen.evidence) == (unseen.message_ref, DELIVERED)
            assert (list(found.absent), found.trouble) == ([], None)
        else:
            assert found.trouble is not None
            assert ours.traits.settles_doubt_after_seconds is None
        await callback_counts(account.simulator)
        told = [receipt for callback in hooks.taken for receipt in ours.read_callback(callback)]
        assert (DELIVERED in {receipt.evidence for receipt in told}) is (provider != "lightsms")
        ledger = await account.simulator.ledger()
        assert (ledger["accepted"], ledger["requests"]["send"]) == (1, 1)


@pytest.mark.parametrize("provider", WIRES)
@pytest.mark.parametrize("kind", ["cut_before", "nonsense_before", "redirect", "status"])
async def test_what_was_never_taken_is_in_doubt_too(
    open_account: Open, hooks: Hooks, provider: str, kind: str
) -> None:
    account = await opened_for(open_account, provider, hooks)
    async with adapter(account) as ours:
        await account.simulator.fault("send", kind, **({"code": 500} if kind == "status" else {}))
        never = message(1, number(provider, 1, "00"), hooks.url)
        (outcome,) = await hand_over(ours, never)
        assert isinstance(outcome, InDoubt)
        found = await looked_up(ours, never)
        assert list(found.seen) == []
        assert list(found.absent) == ([never.message_ref] if provider in SETTLED_BY_A_QUESTION else [])
        ledger = await account.simulator.ledger()
        assert (ledger["accepted"], ledger["requests"]["send"]) == (0, 1)
        assert await callback_counts(account.simulator) == {}
        await account.simulator.delete("/_faults")
        (outcome,) = await hand_over(ours, never)
        assert isinstance(outcome, Accepted)
