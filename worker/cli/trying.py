"""`campaigns account A try`: one request to a provider, shown before it is sent."""

import asyncio
import json
import re
from collections.abc import Callable
from urllib.parse import parse_qsl, quote, quote_plus
from uuid import uuid4

from campaigns import submission, suppression
from campaigns.domain.errors import CampaignError
from campaigns.domain.message_ref import message_ref
from campaigns.domain.phone import mask
from campaigns.domain.provider import (
    Accepted,
    AccountTrouble,
    CampaignTrouble,
    Failed,
    InDoubt,
    NotSent,
    OutboundMessage,
    Outcome,
    PaceUsedUp,
    Rejected,
    Throttled,
)
from worker.bootstrap import Parts, rehearsed
from worker.cli.terminal import ask, out
from worker.logs.masking import HIDDEN, kind_of
from worker.settings.model import Settings
from worker.stack.interrupts import run_on_loop


def try_one(
    settings: Settings, name: str, phone: str, text: str, sender_id: str | None, *, sends: bool
) -> bool:
    """Print the request that one text would be; where told to, send it and print what became of it.

    Takes the name of an account there is, and a number in E.164. Gives whether it was taken, or would leave.
    Raises SubmissionError, ProviderRefused, CampaignError.
    """
    urls = settings.callback_urls(name)
    ref = message_ref(uuid4(), 1, 0)
    message = OutboundMessage(ref, phone, text, None if urls is None else urls.url_of_message(ref))
    hide = _hider(settings.account(name).secrets(), phone)
    sender = submission.sender_of(settings.terms(name), sender_id) or ""
    one = _Try(settings, name, message, sender, hide)
    if sends:
        outcome = ask(one.send, settings)
        out.print(f"understood as: {_understood(outcome)}")
        return isinstance(outcome, Accepted)
    outcome = run_on_loop(one.show)
    if not isinstance(outcome, NotSent):  # nothing was made of it: its text is too long, say
        out.print(f"would not be sent: {_understood(outcome)}")
        return False
    out.print("\nnothing was sent; say --send to send exactly this")
    return True


class _Try:
    """One message to one account."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        message: OutboundMessage,
        sender_id: str,
        hide: Callable[[str], str],
    ) -> None:
        self._settings = settings
        self._name = name
        self._message = message
        self._sender_id = sender_id
        self._hide = hide

    async def show(self) -> Outcome:
        """Print the request. Raises ProviderRefused where the provider must be asked something first."""
        return await self._hand_over(sends=False)

    async def send(self, parts: Parts) -> Outcome:
        """Print the request and send it, in the account's pace; not to a number on the suppression list."""
        if await suppression.is_suppressed(parts.database, self._message.phone):
            raise CampaignError("this number is on the suppression list: nothing is sent to it")
        try:
            await parts.desk.accounts[self._name].wait_for_pace()
        except PaceUsedUp as later:
            raise CampaignError(str(later)) from None
        return await self._hand_over(sends=True)

    async def _hand_over(self, *, sends: bool) -> Outcome:
        async with rehearsed(self._settings, self._name, sends=sends) as (provider, wire):
            await provider.prepare()
            leave_by = asyncio.get_running_loop().time() + provider.traits.timeout_seconds
            [request] = provider.requests([self._message], self._sender_id)
            [outcome] = await provider.hand_over(request, self._sender_id, leave_by)
            if wire.request is not None:
                out.print(self._hide(f"{wire.request.method} {wire.request.url}"))
                for header, value in wire.request.headers.items():
                    out.print(f"{header}: {HIDDEN if kind_of(header) == 'hidden' else self._hide(value)}")
                out.print(f"\n{self._hide(_body(wire.request.data))}")
            if wire.status is not None:
                out.print(f"\nanswered with HTTP {wire.status}")
            return outcome


def _hider(secrets: set[str], phone: str) -> Callable[[str], str]:
    """Hides secrets in each form they take in a request, tokens of callbacks, signatures, and the number."""
    forms = {
        form
        for secret in secrets
        for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])
    }
    shown = mask(phone)
    numbers = {quote(phone, safe=""): shown, phone: shown, phone[1:]: shown[1:]}

    def hide(line: str) -> str:
        for secret in sorted(forms, key=len, reverse=True):
            line = line.replace(secret, HIDDEN)
        line = re.sub(
            r"(/callbacks/[a-z0-9_-]+/|%2Fcallbacks%2F[a-z0-9_-]+%2F)[^\s\"&]+", rf"\1{HIDDEN}", line
        )
        line = re.sub(r"(signature=)[^&\s]+", rf"\1{HIDDEN}", line)
        for number, masked in numbers.items():
            line = line.replace(number, masked)
        return line

    return hide


def _body(data: bytes) -> str:
    """A body as people read it: JSON in lines, a form as names and values."""
    text = data.decode(errors="replace")
    if text[:1] in {"{", "["}:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    pairs = parse_qsl(text, keep_blank_values=True)
    return "\n".join(f"{name} = {value}" for name, value in pairs) or text


def _understood(outcome: Outcome) -> str:  # noqa: PLR0911  one line for each outcome
    match outcome:
        case Accepted(message_id, cost, segment_count, currency):
            said = [f"its id is {message_id}"]
            said += [f"{segment_count} segments"] if segment_count is not None else []
            said += [f"costs {cost:f} {currency or ''}".strip()] if cost is not None else []
            return f"accepted: {', '.join(said)}"
        case Rejected(code, reason):
            return f"rejected, never to be sent again: {reason} ({code})"
        case Failed(code, reason):
            return f"failed, never to be sent again: {reason} ({code})"
        case Throttled(seconds, why):
            when = "later" if seconds is None else f"in {seconds:g} s"
            return f"not taken, to be sent again {when}: {why}"
        case NotSent(why):
            return f"not taken, to be sent again: {why}"
        case InDoubt(why):
            return f"in doubt, for it may have been taken: {why}"
        case AccountTrouble(code, reason):
            return f"not taken, and the account would be held: {reason} ({code})"
        case CampaignTrouble(code, reason, about):
            return f"not taken, and the campaign would be held for its {about}: {reason} ({code})"
