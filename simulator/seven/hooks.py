"""Where seven.io calls an account back: the address in the settings, and hooks (OpenAPI, `/hooks`)."""

import time
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Final, get_args
from urllib.parse import urlsplit

from simulator.options import CallbackMethod, Options
from simulator.seven import answers
from simulator.wire import Answer

_EVENTS: Final = frozenset({"all", "dlr", "sms_mo", "rcs", "tracking", "voice_call", "voice_status"})
_REPORTS: Final = frozenset({"all", "dlr"})
_MOST = 100


class Hooks:
    """The hooks of one account. The address in its options is the first."""

    def __init__(self, options: Options) -> None:
        self._numbers = count(1)
        self._hooks: dict[int, dict[str, object]] = {}
        if options.callback_url:
            self._add(options.callback_url, "dlr", options.callback_method)

    def targets(self) -> Iterator[tuple[str, CallbackMethod]]:
        """Where delivery reports go, and in which form."""
        for hook in self._hooks.values():
            url, how = hook["target_url"], hook["request_method"]
            if hook["event_type"] in _REPORTS and isinstance(url, str):
                yield url, next(form for form in get_args(CallbackMethod) if form == how)

    def answer(self, method: str, fields: Mapping[str, str]) -> Answer:
        """What GET, POST and DELETE are answered; sms77's clients name the action in a field."""
        default = {"GET": "read", "DELETE": "unsubscribe"}.get(method, "subscribe")
        match fields.get("action") or default:
            case "read":
                return answers.hooks(list(self._hooks.values()))
            case "subscribe":
                return answers.hooked(self._subscribe(fields))
            case "unsubscribe":
                number = fields.get("id", "")
                known = number.isascii() and number.isdigit() and int(number) in self._hooks
                if known:
                    del self._hooks[int(number)]
                return answers.unhooked(success=known)
            case _:
                return answers.unhooked(success=False)

    def _subscribe(self, fields: Mapping[str, str]) -> int | None:
        url, event = fields.get("target_url", ""), fields.get("event_type", "")
        how = (fields.get("request_method") or "POST").upper()
        parts = urlsplit(url)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or event not in _EVENTS
            or how not in get_args(CallbackMethod)
            or len(self._hooks) >= _MOST
        ):
            return None
        return self._add(url, event, how)

    def _add(self, url: str, event: str, how: str) -> int:
        number = next(self._numbers)
        created = answers.berlin(time.time()).strftime("%Y-%m-%d %H:%M:%S")
        self._hooks[number] = {
            "id": str(number),
            "created": created,
            "target_url": url,
            "event_type": event,
            "event_filter": None,
            "request_method": how,
            "headers": "",
            "enabled": True,
        }
        return number
