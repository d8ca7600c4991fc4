"""Namirial."""

from typing import TYPE_CHECKING

from campaigns.providers.description import Demo, Description
from campaigns.providers.namirial.settings import NamirialAccount

if TYPE_CHECKING:
    from campaigns.providers.namirial.adapter import Namirial
    from campaigns.providers.wire import Wire


def _open(name: str, account: NamirialAccount, wire: "Wire") -> "Namirial":
    from campaigns.providers.namirial.adapter import Namirial  # noqa: PLC0415  settings alone need no HTTP

    return Namirial(
        name=name,
        username=account.username,
        password=account.password.get_secret_value(),
        api_key=account.api_key.get_secret_value(),
        send_url=account.send_url,
        status_url=account.status_url,
        reference_service=account.reference_service,
        reference_action=account.reference_action,
        timeout_seconds=account.timeout_seconds,
        concurrency=account.concurrency,
        wire=wire,
    )


PROVIDER = Description(
    NamirialAccount,
    _open,
    Demo(
        {
            "USERNAME": "YourLogin",
            "PASSWORD": "your_password",
            "API_KEY": "your_api_key",
            "SEND_URL": "{url}",
            "STATUS_URL": "{url}",
            "REFERENCE_SERVICE": "DIGITALSIGN",
        },
        first_rows=100,
    ),
)
