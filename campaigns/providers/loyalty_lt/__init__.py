"""Loyalty.lt."""

from typing import TYPE_CHECKING

from campaigns.providers.description import Demo, Description
from campaigns.providers.loyalty_lt.settings import LoyaltyLtAccount

if TYPE_CHECKING:
    from campaigns.providers.loyalty_lt.adapter import LoyaltyLt
    from campaigns.providers.wire import Wire


def _open(name: str, account: LoyaltyLtAccount, wire: "Wire") -> "LoyaltyLt":
    from campaigns.providers.loyalty_lt.adapter import LoyaltyLt  # noqa: PLC0415  settings alone need no HTTP

    return LoyaltyLt(
        name=name,
        api_key=account.api_key.get_secret_value(),
        api_secret=account.api_secret.get_secret_value(),
        locale=account.locale,
        base_url=account.base_url,
        timeout_seconds=account.timeout_seconds,
        concurrency=account.concurrency,
        wire=wire,
    )


PROVIDER = Description(
    LoyaltyLtAccount,
    _open,
    Demo(
        {
            "API_KEY": "your_api_key",
            "API_SECRET": "your_api_secret",
            "SENDER_ID": "Demo",
            "BASE_URL": "{url}",
        },
        first_rows=30,
    ),
)
