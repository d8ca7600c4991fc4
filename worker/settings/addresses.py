"""Server addresses in the forms that our libraries want, as pure functions. No error shows a password."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode

from campaigns.domain.addresses import ONE_HOST, split

_POSTGRES_OPTIONS = {"host", "port", "sslmode", "target_session_attrs", "passfile", "krbsrvname"}
_INSTEAD = {
    "options": " (settings of the session: ALTER ROLE … SET …, for example search_path)",
    "search_path": " (a schema of its own: ALTER ROLE … IN DATABASE … SET search_path = …)",
    "application_name": " (we name ourselves: leave it out)",
    "connect_timeout": " (we wait five seconds: leave it out)",
    "user": " (user and password stand before the host: user:password@host)",
    "password": " (user and password stand before the host: user:password@host)",
    "dbname": " (the database stands after the host: host:5432/database)",
    **dict.fromkeys(
        ("sslrootcert", "sslcert", "sslkey", "sslcrl"),
        " (for certificates set PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, PGSSLCRL)",
    ),
}
_TLS_OPTIONS = {"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"}
_SHOWN_IN_URLS = _POSTGRES_OPTIONS | _TLS_OPTIONS | {"db", "virtual_host", "ssl"}


def _options(parts: SplitResult, known: Iterable[str], instead: str) -> dict[str, str]:
    options = parse_qsl(parts.query, keep_blank_values=True)
    if len(dict(options)) < len(options) or not set(dict(options)) <= set(known):
        raise ValueError(f"may have after ? only {', '.join(sorted(known))}, each once{instead}")
    return dict(options)


def _query(options: Mapping[str, str]) -> str:
    return f"?{urlencode(options, quote_via=quote, safe='/')}" if options else ""


def _user(parts: SplitResult) -> str:
    """`user:password@` with every special letter encoded: our libraries disagree about bare ones."""
    before, at, _ = parts.netloc.rpartition("@")
    user, colon, password = before.partition(":")
    return f"{quote(unquote(user), safe='')}{colon}{quote(unquote(password), safe='')}{at}"


@dataclass(frozen=True, slots=True)
class Postgres:
    """What a PostgreSQL URL says after its scheme."""

    server: str  # user, host and database
    options: Mapping[str, str]

    @classmethod
    def read(cls, url: str) -> "Postgres":
        parts = split(url)
        if parts.scheme not in {"postgres", "postgresql", "postgresql+asyncpg"}:
            raise ValueError("must begin with postgresql://")
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        instead = next((_INSTEAD[name] for name in asked if name in _INSTEAD), "")
        options = _options(parts, _POSTGRES_OPTIONS | {"ssl"}, instead)
        if "ssl" in options:  # SQLAlchemy's name for it
            options["sslmode"] = options.pop("ssl")
        host = parts.netloc.rpartition("@")[2]
        if "," in options.get("host", ""):
            raise ValueError(ONE_HOST)
        if "%" in host or (host and "host" in options):
            # Of two hosts some clients take the one before the ?, others the one after it.
            raise ValueError("must name one host, or a socket's directory as ?host=/directory")
        return cls(f"{_user(parts)}{host}{parts.path}", options)

    def url(self) -> str:
        return f"postgresql://{self.server}{_query(self.options)}"


def database_url_for_asyncpg(url: str) -> str:
    """`url` as asyncpg wants it: postgresql://, TLS as sslmode. Takes any form DATABASE_URL may have.

    Raises ValueError for another, which does not show it.
    """
    return Postgres.read(url).url()


_SAME_SCHEME = {
    "redis+socket": "unix",
    "valkey": "redis",
    "valkeys": "rediss",
    "valkey+socket": "unix",
}


@dataclass(frozen=True, slots=True)
class Redis:
    """What a Redis URL says, in any of its forms."""

    scheme: str  # redis, rediss or unix
    user: str
    server: str  # host and port, or the socket's path
    db: int
    tls: Mapping[str, str]

    @classmethod
    def read(cls, url: str) -> "Redis":
        parts = split(url)
        scheme = _SAME_SCHEME.get(parts.scheme, parts.scheme)
        if "sentinel" in scheme or "cluster" in scheme:
            raise ValueError(
                f"may not begin with {scheme}://: we speak to one Redis; have a proxy (HAProxy) lead to the "
                "primary that Sentinel chose, and name it as redis://; see docs/operating.md"
            )
        if scheme not in {"redis", "rediss", "unix"}:
            raise ValueError("must begin with redis://, rediss:// or, for a socket, redis+socket:///")
        known = {"db", "virtual_host"} | (_TLS_OPTIONS if scheme == "rediss" else set())
        options = _options(parts, known, "" if scheme == "rediss" else " (TLS: rediss://)")
        host = parts.netloc.rpartition("@")[2]
        if scheme == "unix" and (host or len(parts.path) < 2):
            raise ValueError("must have three slashes before a socket's path: redis+socket:///path")
        in_path = "" if scheme == "unix" else parts.path.strip("/")
        number = options.pop("virtual_host", options.pop("db", in_path)) or "0"
        if not re.fullmatch(r"[0-9]{1,5}", number):
            raise ValueError("must name its database by number: redis://host:6379/0")
        if options.setdefault("ssl_cert_reqs", "required") not in {"required", "optional", "none"}:
            raise ValueError("may have as ssl_cert_reqs only required, optional or none")
        server = quote(unquote(parts.path)) if scheme == "unix" else host or "localhost"
        return cls(scheme, _user(parts), server, int(number), options if scheme == "rediss" else {})

    def url(self, socket_scheme: str, socket_db: str) -> str:
        if self.scheme == "unix":
            return f"{socket_scheme}://{self.user}{self.server}?{socket_db}={self.db}"
        return f"{self.scheme}://{self.user}{self.server}/{self.db}{_query(self.tls)}"


def broker_url(url: str) -> str:
    """`url` as kombu wants it, for Celery: a socket as redis+socket:///path?virtual_host=N; over TLS with
    ssl_cert_reqs, without which kombu checks no certificate. Takes any form REDIS_URL may have.

    Raises ValueError for another, which does not show it.
    """
    return Redis.read(url).url("redis+socket", "virtual_host")


def redis_client_url(url: str) -> str:
    """`url` as redis-py wants it: a socket as unix:///path?db=N. Otherwise as `broker_url`."""
    return Redis.read(url).url("unix", "db")


def safe_url(url: str) -> str:
    """`url` for printing: no password, and after the ? only what is known to be harmless. Never raises."""
    scheme, found, rest = url.partition("://")
    before, at, after = rest.rpartition("@")
    if not found or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or re.search(r"[/?#\s]", before):
        return "***"
    user, colon, _ = before.partition(":")
    server, asked, query = after.partition("#")[0].partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    shown = [f"{name}={value}" if name in _SHOWN_IN_URLS else "***" for name, value in options]
    return f"{scheme}://{user}{':***' if colon else ''}{at}{server}{asked}{'&'.join(shown)}"
