"""Who asks: what a key of the API may do, which campaigns it may see, and who is named in the audit."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Scope(StrEnum):
    """What a key may do. An operation of the API needs exactly one."""

    SUBMIT = "submit"
    READ = "read"
    READ_RECIPIENTS = "read:recipients"
    OPERATE = "operate"
    SUPPRESS = "suppress"
    ADMIN = "admin"


SCOPE_MEANINGS = {
    Scope.SUBMIT: "submit campaigns, and check what would be submitted",
    Scope.READ: "read campaigns, totals, accounts; no numbers and no texts",
    Scope.READ_RECIPIENTS: "read numbers and texts: messages, search, export",
    Scope.OPERATE: "pause, resume, cancel, reschedule, rename, resolve doubt, lift holds",
    Scope.SUPPRESS: "read and change who is never sent to",
    Scope.ADMIN: "make and revoke keys, manage webhooks, erase numbers, read the audit",
}
"""Each scope in words, for the document and for `--help`."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which campaigns somebody sees and may act on: those of one owner (None: of all) on these accounts
    (None: on all). What is out of reach does not exist for them.
    """

    owner: str | None = None
    accounts: Sequence[str] | None = None

    def has_account(self, account: str) -> bool:
        """Whether an account is within reach."""
        return self.accounts is None or account in self.accounts


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something: a key by its id, or an operator by name; and from where."""

    kind: Literal["key", "operator"]
    name: str
    origin: str  # an address, or an operator's machine
    owner: str = ""  # whose the key is


EVERYTHING = Reach()
"""What an operator with the database sees."""
