"""seven.io."""

from typing import TYPE_CHECKING

from campaigns.providers.description import Demo, Description
from campaigns.providers.seven.settings import SevenAccount

if TYPE_CHECKING:
    from campaigns.providers.seven.adapter import Seven
    from campaigns.providers.wire import Wire


def _open(name: str, account: SevenAccount, wire: "Wire") -> "Seven":
    from campaigns.providers.seven.adapter import Seven  # noqa: PLC0415  settings alone need no HTTP

    signing_key = account.signing_key
    return Seven(
        name=name,
        api_key=account.api_key.get_secret_value(),
        signing_key=None if signing_key is None else signing_key.get_secret_value(),
        base_url=account.base_url,
        timeout_seconds=account.timeout_seconds,
        max_recipients_per_request=account.max_recipients_per_request,
        concurrency=account.concurrency,
        wire=wire,
    )


PROVIDER = Description(
    SevenAccount,
    _open,
    Demo(
        {
            "API_KEY": "your_api_key",
            "SENDER_ID": "Demo",
            "BASE_URL": "{url}/api",
            "CURRENCY": "EUR",
        }
    ),
)
