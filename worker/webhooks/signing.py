"""Signatures of what webhooks are told: Standard Webhooks 1.0.0, `v1`."""

import base64
import secrets as random_source
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

_SECRET_BYTES = 32  # the standard asks for 24 to 64


def new_secret() -> str:
    """A secret as receivers take it: `whsec_` and base64 of 32 random bytes."""
    return f"whsec_{base64.b64encode(random_source.token_bytes(_SECRET_BYTES)).decode()}"


def headers(event_id: str, moment: datetime, body: str, secrets: Sequence[str]) -> dict[str, str]:
    """What an event is sent with: its id, the moment of this attempt, a signature by each secret.

    Takes an aware moment in any zone. Of two secrets, while one is rotated, the receiver needs either.
    """
    # The library takes the clock's digits for UTC, whatever zone they are of.
    moment = moment.astimezone(UTC)
    signatures = [Webhook(secret).sign(event_id, moment, body) for secret in secrets]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
