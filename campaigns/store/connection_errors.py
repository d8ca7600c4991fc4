"""Why PostgreSQL cannot be used, in its own sentence, and what to do about it."""

import ssl
from urllib.parse import parse_qs, urlsplit

import asyncpg

# Raised before `campaigns migrate`, and while a function is replaced. A mistake in our own SQL looks the
# same: it is retried too, and logged each time.
MISSING: tuple[type[BaseException], ...] = (
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedObjectError,
)
"""Errors that say of a function, column, table or type that the database does not have it (yet)."""

# The most specific first: the first match is shown.
_MENDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    (
        MISSING,
        "this code is newer than the schema: run campaigns migrate; if that was done, report it",
    ),
    (
        asyncpg.TooManyConnectionsError,
        "allow more (max_connections, or the CONNECTION LIMIT of the role or database), or run fewer "
        "processes: a worker needs about eight",
    ),
    (asyncpg.InvalidCatalogNameError, "create it, or mend the name in CAMPAIGNS_DATABASE_URL"),
    (
        asyncpg.InvalidAuthorizationSpecificationError,
        "mend user, password or TLS (sslmode) in CAMPAIGNS_DATABASE_URL, or pg_hba.conf",
    ),
    (asyncpg.InsufficientPrivilegeError, "`campaigns doctor` names the GRANT that is missing"),
    (
        asyncpg.ReadOnlySQLTransactionError,
        "this is a standby, or was made read-only: CAMPAIGNS_DATABASE_URL must lead to the primary",
    ),
    (
        asyncpg.TargetServerAttributeNotMatched,
        "CAMPAIGNS_DATABASE_URL must lead to the primary",
    ),
    (
        asyncpg.ProtocolViolationError,
        "if a pooler says this: it must be in session mode, see docs/operating.md",
    ),
    (asyncpg.ClientConfigurationError, "mend CAMPAIGNS_DATABASE_URL, or the PG… variables beside it"),
    (
        ssl.SSLCertVerificationError,
        "have PGSSLROOTCERT name the file of the authority that signed the server's certificate",
    ),
    (ssl.SSLError, "mend sslmode in CAMPAIGNS_DATABASE_URL, or the server's TLS"),
    (ConnectionRefusedError, "start it, or mend host and port in CAMPAIGNS_DATABASE_URL"),
    (FileNotFoundError, "mend the path (PGSSLROOTCERT, or a socket's directory), or start the server"),
    (PermissionError, "let this user read it"),
    (ConnectionResetError, "the connection was cut"),
    (ConnectionError, "give it TLS, or say sslmode=disable where the network is trusted"),
)

# Errors of the driver whose text is safe to show; others of the family repeat values.
_DRIVERS = frozenset(
    {
        "InterfaceError",
        "InternalClientError",
        "ClientConfigurationError",
        "ProtocolError",
        "UnsupportedClientFeatureError",
        "TargetServerAttributeNotMatched",
    }
)


def address(url: str) -> str:
    """The server of a PostgreSQL URL, without user and password: host:port/database."""
    parts = urlsplit(url)
    given = parse_qs(parts.query)
    host = parts.hostname or given.get("host", ["localhost"])[0]
    port = parts.port or given.get("port", ["5432"])[0]
    return f"{host}:{port}{parts.path}"


def why(error: BaseException, url: str) -> str:
    """One sentence: what the server or the system said, where, and what to do.

    Takes an error of driver or system, and the address. The server's message alone is repeated: in its
    detail there may be a whole row.
    """
    mend = next((f"; {mend}" for kind, mend in _MENDS if isinstance(error, kind)), "")
    return f"{_said(error)} ({address(url)}){mend}"


def _said(error: BaseException) -> str:  # noqa: PLR0911  one line each
    match error:
        case asyncpg.PostgresError():
            return str(error.args[0]) if error.args else type(error).__name__
        case TimeoutError():
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ConnectionRefusedError():
            return "connection refused"
        case OSError() if type(error).__name__ == "gaierror":
            return f"the host is not known: {error.strerror}"
        case OSError() if error.strerror:
            return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        case OSError():  # several addresses were tried, or TLS was refused
            return str(error) or type(error).__name__
        case _ if type(error).__name__ in _DRIVERS:
            return str(error.args[0]).partition("\n")[0] if error.args else type(error).__name__
        case _:
            return type(error).__name__
