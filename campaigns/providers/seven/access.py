"""How we come to seven.io: the key, and where there is a signing key, a signature of each request.

Source: DOCS signing, PHP and JS clients, as named in `adapter.py`.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from secrets import token_hex

SIGNATURE_SECONDS = 15.0
"""Half of what a request's signature is good for: what cannot leave by then is not sent."""


def signature(timestamp: str, nonce: str, method: str, url: str, body: bytes, signing_key: str) -> str:
    """Sign a request as seven.io does: HMAC-SHA256 over its moment, nonce, method, URL and body.

    Takes `url` whole, with its query, as the caller wrote it; `body` raw, empty for GET. Gives 64
    lower-case hexadecimal digits. Source: DOCS signing, PHP (which trims the key), JS WebhookVerifier.
    """
    digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
    signed = "\n".join((timestamp, nonce, method, url, digest))
    # A URL that came through a server may hold what is no UTF-8: no signature fits it, and nothing breaks.
    return hmac.new(
        signing_key.strip().encode(), signed.encode(errors="surrogatepass"), hashlib.sha256
    ).hexdigest()


class Access:
    """The credentials of one account. Takes the API key, the signing key (None: nothing is signed) and the
    wall clock. Raises ValueError for a key that cannot be one.
    """

    def __init__(self, api_key: str, signing_key: str | None, clock: Callable[[], float]) -> None:
        if not re.fullmatch(r"[!-~]+", api_key):  # in a header nothing else arrives as it was meant
            raise ValueError("api_key must be printable ASCII without spaces")
        if signing_key is not None and not signing_key.strip():
            raise ValueError("signing_key may be left out, not blank: anybody could sign with that")
        self._api_key = api_key
        self.signing_key = signing_key
        self._wall = clock

    def headers(self, method: str, url: str, body: bytes = b"") -> dict[str, str]:
        """What one request bears, made at the last moment: a signature is good for 30 seconds, and once.

        Takes `url` byte for byte as it goes out.
        """
        named = {"X-Api-Key": self._api_key, "Accept": "application/json"}
        if self.signing_key is not None:
            timestamp, nonce = str(int(self._wall())), token_hex(16)
            signed = signature(timestamp, nonce, method, url, body, self.signing_key)
            named |= {"X-Timestamp": timestamp, "X-Nonce": nonce, "X-Signature": signed}
        return named
