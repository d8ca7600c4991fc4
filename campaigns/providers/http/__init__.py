"""Any provider with an HTTP interface, by a mapping in a TOML file."""

from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.providers.description import Demo, Description
from campaigns.providers.http.settings import HttpAccount

if TYPE_CHECKING:
    from campaigns.providers.http.adapter import HttpProvider
    from campaigns.providers.wire import Wire

EXAMPLES = Path(__file__).parents[3] / "examples" / "providers"
"""Mappings that come with the project's folder."""


def _open(name: str, account: HttpAccount, wire: "Wire") -> "HttpProvider":
    from campaigns.providers.http.adapter import HttpProvider  # noqa: PLC0415  settings alone need no HTTP

    return HttpProvider(name=name, account=account, wire=wire)


PROVIDER = Description(
    HttpAccount,
    _open,
    Demo(
        {
            "MAPPING": str(EXAMPLES / "twilio.toml"),
            "USERNAME": "YourLogin",
            "PASSWORD": "your_password",
            "SENDER_ID": "Demo",
            "BASE_URL": "{url}",
        },
        first_rows=100,
    ),
)
