"""Signing in and out: the cookie of a browser, and what a form must show to be believed.

A form is believed where the browser says that it comes from a page of ours, and where it holds the token of
this session. The browser says so by Sec-Fetch-Site; one that does not know that says its Origin.
"""

import hmac
from hashlib import sha256
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from campaigns import dashboard_sessions
from worker.settings.model import Settings

TOKEN = "token"  # noqa: S105  the name of the form's field
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class ForeignForm(Exception):
    """A form that comes from no page of this session's."""


class Cookie:
    """The cookie of a session. Behind https it is sent over nothing else, and no other host can set it."""

    def __init__(self, settings: Settings, *, is_behind_proxy: bool) -> None:
        self.is_secure = is_behind_proxy or urlsplit(settings.public_url or "").scheme == "https"
        self._name = "__Host-session" if self.is_secure else "session"

    def read(self, request: web.Request) -> str:
        """What the browser shows, or nothing."""
        return request.cookies.get(self._name, "")

    def set(self, response: web.StreamResponse, secret: str) -> None:
        """Have the browser keep it for as long as a session lasts at most."""
        response.set_cookie(
            self._name,
            secret,
            max_age=int(dashboard_sessions.LONGEST.total_seconds()),
            path="/",
            secure=self.is_secure,
            httponly=True,
            samesite="Strict",
        )

    def delete(self, response: web.StreamResponse) -> None:
        """Have the browser forget it."""
        response.del_cookie(self._name, path="/", secure=self.is_secure, httponly=True, samesite="Strict")


def token_of(secret: str) -> str:
    """What each form of a session holds. No page of others can know it: it follows from the secret."""
    return hmac.new(secret.encode(), b"form", sha256).hexdigest()


def look_at_origin(request: web.Request) -> None:
    """Raises ForeignForm where a browser sends what a page of others had it send."""
    if request.method not in _UNSAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is None:
        origin = urlsplit(request.headers.get(hdrs.ORIGIN, ""))
        is_ours = bool(origin.netloc) and origin.netloc == request.headers.get(hdrs.HOST, "")
    else:
        is_ours = site in {"same-origin", "none"}
    if not is_ours:
        raise ForeignForm


def look_at_token(secret: str, shown: str) -> None:
    """Raises ForeignForm where a form does not hold the token of the session."""
    if not hmac.compare_digest(token_of(secret), shown):
        raise ForeignForm


def local_address(given: str) -> str:
    """Where to go on: a path of ours, whatever an address holds."""
    is_path = given.startswith("/") and not given.startswith(("//", "/\\")) and given.isprintable()
    return given if is_path else "/"
