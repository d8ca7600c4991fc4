"""Where a provider may call us back, and how we know that it calls where we told it to.

    {public}/callbacks/{account}/{token}

A token is made, never stored. Of a message it is our reference in clear, a dot, and a MAC over account
and reference; of an account it is the MAC alone. Without the secret nobody can make either, nor
turn one into another.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field

MIN_SECRET_CHARACTERS = 16
"""A shorter secret could be found by trying."""

_MAC_BYTES = 24  # 192 bits, and 32 characters without padding
_ACCOUNT = re.compile(r"[a-z0-9_-]+")
_MESSAGE_REF = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a genuine token names: one message, or the whole account where `message_ref` is None."""

    message_ref: str | None


_ACCOUNT_AS_A_WHOLE = Resolved(None)


@dataclass(frozen=True, slots=True)
class CallbackUrls:
    """The addresses one account's provider may call, and the reading of their tokens.

    Takes the account's name (small letters, digits, - and _), the URL before `/callbacks/`, and the
    secret, the same in every process; and the secret of before, whose tokens are believed for as long as it
    is given. Another secret: every token given out before is refused.
    Raises ValueError for a name or a secret that will not do, which shows neither.
    """

    account: str
    public_url: str
    secret: str = field(repr=False)
    secret_before: str | None = field(default=None, repr=False)
    _of_account: tuple[bytes, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not _ACCOUNT.fullmatch(self.account):
            raise ValueError("an account's name must be small letters, digits, - and _")
        if len(self.secret) < MIN_SECRET_CHARACTERS:
            raise ValueError(f"the callback secret must have {MIN_SECRET_CHARACTERS} characters or more")
        object.__setattr__(self, "_of_account", self._macs(None))

    def url_of_account(self) -> str:
        """Where every callback of the account may go, for a provider that has one address an account."""
        return self.url_of_token(self.token_of_account())

    def url_of_message(self, message_ref: str) -> str:
        """Where the callbacks of one message go. Raises ValueError for a reference that is not URL-safe."""
        return self.url_of_token(self.token_of_message(message_ref))

    def token_of_account(self) -> str:
        """The token of the account as a whole."""
        return self._mac(None)

    def token_of_message(self, message_ref: str) -> str:
        """The token of one message. Raises ValueError as `url_of_message`."""
        if not _MESSAGE_REF.fullmatch(message_ref):
            raise ValueError("a reference must be letters, digits, - and _, at most 128 of them")
        return f"{message_ref}.{self._mac(message_ref)}"

    def resolve(self, token: str) -> Resolved | None:
        """What a token names; None when it is not one of ours for this account.

        Takes any text. Promises: how long it takes tells nothing about the MAC that was expected.
        """
        before, dot, mac = token.rpartition(".")
        given = mac.encode(errors="replace")
        expected = self._macs(before) if dot else self._of_account
        # All are compared, whichever fits: what it takes tells nothing.
        fits = [hmac.compare_digest(each, given) for each in expected]
        if True not in fits:
            return None
        if not dot:
            return _ACCOUNT_AS_A_WHOLE
        return Resolved(before) if _MESSAGE_REF.fullmatch(before) else None

    def url_of_token(self, token: str) -> str:
        """The address that ends with `token`, as its provider was given it."""
        return f"{self.public_url.rstrip('/')}/callbacks/{self.account}/{token}"

    def _macs(self, message_ref: str | None) -> tuple[bytes, ...]:
        secrets = [self.secret] if self.secret_before is None else [self.secret, self.secret_before]
        return tuple(self._mac(message_ref, secret).encode() for secret in secrets)

    def _mac(self, message_ref: str | None, secret: str | None = None) -> str:
        # Neither part can hold the line break between them: no two subjects are written alike.
        subject = (
            f"account\n{self.account}" if message_ref is None else f"message\n{self.account}\n{message_ref}"
        )
        made = hmac.digest((secret or self.secret).encode(), subject.encode(errors="replace"), "sha256")
        return urlsafe_b64encode(made[:_MAC_BYTES]).decode()
