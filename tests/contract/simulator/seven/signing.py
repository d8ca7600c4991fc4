"""seven.io's signature, made here and not by the simulator's code."""

import hashlib
import hmac

SIGNING_KEY = "test_signing_secret"


def sign(timestamp: str, nonce: str, method: str, url: str, body: bytes, key: str = SIGNING_KEY) -> str:
    """Made here and not by the simulator's code."""
    lines = f"{timestamp}\n{nonce}\n{method}\n{url}\n{hashlib.md5(body).hexdigest()}"  # noqa: S324  the provider's own scheme
    return hmac.new(key.encode(), lines.encode(), hashlib.sha256).hexdigest()
