"""Who types a command, as the audit names them."""

import os
import socket
from getpass import getuser

from campaigns import auditing
from campaigns.domain.access import Actor
from campaigns.domain.errors import NotAllowed
from campaigns.store.session import Database


def login() -> str:
    """The login of whoever types, or their uid."""
    try:
        return getuser()
    except (KeyError, OSError):  # a container's uid that has no account
        return f"uid {os.getuid()}"


def operator(name: str | None = None) -> Actor:
    """The operator: `name` where they give one, else their login; from this machine."""
    return Actor("operator", name or login(), socket.gethostname())


def refuse_operator(name: str | None) -> None:
    """Over the API it is the key that decides. Raises NotAllowed for the name of somebody else."""
    if name is not None:
        raise NotAllowed("over the API the key decides, and is recorded: leave --operator out")


async def record(
    database: Database, action: str, subject: str, *, by: str | None = None, **detail: object
) -> None:
    """Write down in the audit what this command is about to do. `by`: who decides it, else the login."""
    await auditing.record(database, operator(by), action, subject, **detail)
