"""What can be set on the simulator."""

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from decimal import Decimal
from typing import Literal, get_args
from zoneinfo import ZoneInfo

ErrorForm = Literal["keyed", "top", "top_string", "empty_key", "bare"]
"""How an error that concerns a whole request is written:

keyed `{"37061234567":{"error":"6"}}` · top `{"error":6}` · top_string `{"error":"6"}` ·
empty_key `{"":{"error":6}}` · bare `6`.
"""

CallbackMethod = Literal["GET", "POST", "JSON"]
"""How seven.io calls back: a query, a form by POST, or JSON by POST."""

ProviderName = Literal["lightsms", "loyalty_lt", "seven", "namirial", "http"]
"""Whose wire is spoken."""

APPROVED_SENDERS = ("Demo", "YourSender")
"""Sender names every simulated account may use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One simulated account and the manners of its provider. Raises ValueError, one sentence, when wrong."""

    provider: ProviderName = "lightsms"
    login: str = "YourLogin"  # Namirial: the user name of the sending host
    api_key: str = field(default="your_api_key", repr=False)  # Namirial: of the status host
    api_secret: str = field(default="your_api_secret", repr=False)  # Loyalty.lt
    password: str = field(default="your_password", repr=False)  # Namirial's sending host
    signing_key: str = field(default="", repr=False)  # seven.io; empty: callbacks are not signed
    callback_url: str = ""  # seven.io: where its account-wide callbacks go; empty: nowhere
    callback_method: CallbackMethod = "GET"  # seven.io
    reload_lock_seconds: float = 180.0  # seven.io: no text twice to one number within; 0: switched off
    messages_per_minute: int | None = None  # Loyalty.lt: beyond it a send is refused; None: no limit
    senders: tuple[str, ...] = ()  # registered and approved besides `APPROVED_SENDERS`
    currency: str = "EUR"
    balance: Decimal = Decimal("1000000.00")  # at the start; every acceptance takes from it
    price: Decimal = Decimal("0.0144")  # of one segment
    delivery_seconds: float = 2.0  # from acceptance to the final word; 0: final at the first question
    latency_seconds: float = 0.0  # how much later send and status are answered
    max_recipients: int = 100  # numbers in one request
    forbidden_words: tuple[str, ...] = ("casino",)  # found anywhere in a text, in either case
    timezone: str = "UTC"  # the account's; `sendingTime` is read in it and statistics are cut by its days
    error_form: ErrorForm = "keyed"  # of refusals the validation makes; a fault names its own
    callback_retry_seconds: tuple[float, ...] | None = None  # None: the provider's own table
    seed: int = 0  # of faults with a probability

    def __post_init__(self) -> None:
        if not self.login or not self.api_key:
            raise ValueError("login and api_key may not be empty")
        if self.balance < 0 or self.price < 0:
            raise ValueError("balance and price may not be negative")
        if self.delivery_seconds < 0 or self.latency_seconds < 0:
            raise ValueError("delivery_seconds and latency_seconds may not be negative")
        if self.callback_method not in get_args(CallbackMethod):
            raise ValueError(f"callback_method must be one of {', '.join(get_args(CallbackMethod))}")
        if self.messages_per_minute is not None and self.messages_per_minute < 1:
            raise ValueError("messages_per_minute must be at least 1")
        if self.reload_lock_seconds < 0:
            raise ValueError("reload_lock_seconds may not be negative")
        if self.provider not in get_args(ProviderName):
            raise ValueError(f"provider must be one of {', '.join(get_args(ProviderName))}")
        if any(seconds < 0 for seconds in self.callback_retry_seconds or ()):
            raise ValueError("callback_retry_seconds may not be negative")
        if self.max_recipients < 1:
            raise ValueError("max_recipients must be at least 1")
        if self.error_form not in get_args(ErrorForm):
            raise ValueError(f"error_form must be one of {', '.join(get_args(ErrorForm))}")
        if any(not each for each in self.forbidden_words):
            raise ValueError("a forbidden word may not be empty")
        try:
            self.zone()
        except (KeyError, ValueError, OSError) as error:  # KeyError: no such zone on this machine
            raise ValueError("timezone must be a name of the IANA database, as Europe/Vilnius") from error

    def zone(self) -> tzinfo:
        """The account's time zone. UTC needs no database of zones, which a slim machine may lack."""
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)
