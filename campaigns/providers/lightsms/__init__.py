"""LightSMS."""

from typing import TYPE_CHECKING

from campaigns.providers.description import Demo, Description
from campaigns.providers.lightsms.settings import LightSMSAccount

if TYPE_CHECKING:
    from campaigns.providers.lightsms.adapter import LightSms
    from campaigns.providers.wire import Wire


def _open(name: str, account: LightSMSAccount, wire: "Wire") -> "LightSms":
    from campaigns.providers.lightsms.adapter import LightSms  # noqa: PLC0415  settings alone need no HTTP

    return LightSms(
        name=name,
        login=account.login,
        api_key=account.api_key.get_secret_value(),
        base_url=account.base_url,
        timeout_seconds=account.timeout_seconds,
        max_recipients_per_request=account.max_recipients_per_request,
        currency=account.currency,
        concurrency=account.concurrency,
        wire=wire,
    )


PROVIDER = Description(
    LightSMSAccount,
    _open,
    Demo(
        {
            "LOGIN": "YourLogin",
            "API_KEY": "your_api_key",
            "SENDER_ID": "Demo",
            "BASE_URL": "{url}",
            "CURRENCY": "EUR",
        }
    ),
)
