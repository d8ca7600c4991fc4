"""A request for a page on its way: session, scope, rate and form are looked at; then the page, the answer."""

from collections.abc import Hashable
from dataclasses import replace
from urllib.parse import quote

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from campaigns import dashboard_sessions, keys
from campaigns.domain.errors import CampaignError, DatabaseUnavailable, NotFound, origin_of
from campaigns.store.keys import KeyRow
from worker.logs.logger import get_logger
from worker.web.api.events import STREAMS, room_for_a_stream
from worker.web.api.operations import Call, Caller, Rate
from worker.web.api.problems import Kind, Refused
from worker.web.api.serving import Serving, refusal_of
from worker.web.pages import sentences
from worker.web.pages.assets import Assets
from worker.web.pages.frame import Done, Page, Recent, View, Visit
from worker.web.pages.frame import Handler as PageHandler
from worker.web.pages.languages import COOKIE as LANGUAGE_COOKIE
from worker.web.pages.languages import chosen, languages
from worker.web.pages.rendering import Frame, Templates
from worker.web.pages.sessions import (
    TOKEN,
    Cookie,
    ForeignForm,
    local_address,
    look_at_origin,
    look_at_token,
    token_of,
)
from worker.web.streams import MEDIA_TYPE, PartsState, event_stream, tell

log = get_logger("campaigns.web")

LONGEST_SECONDS = 300.0
"""A page's stream ends after so long, and the browser comes again: its session is looked at anew."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types parts"
)
"""Of every page: nothing of other hosts, nothing in the page itself. Elements are made of text by the
script's own policy alone, which takes what our streams tell."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not `no-referrer`: with it a browser says of its own page's form that its origin is null.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_STRICT_TRANSPORT = {"Strict-Transport-Security": "max-age=31536000"}
_YEAR_SECONDS = 31_536_000  # for which a browser remembers the language
SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
LANGUAGE = "/language"


_VISIT = web.RequestKey("visit", Visit)  # of a request: who looks, once that is known


class NotSignedIn(Exception):
    """The browser shows no session that is alive."""


class Dashboard:
    """Serves the pages of one process."""

    def __init__(self, serving: Serving, pages: tuple[Page, ...], *, is_behind_proxy: bool) -> None:
        self._serving = serving
        self._pages = pages
        self._cookie = Cookie(serving.parts.settings, is_behind_proxy=is_behind_proxy)
        self._languages = languages()
        self._known = Recent()
        self._assets = Assets()
        self._templates = Templates(self._languages, self._assets)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Route every page, signing in and out, and what pages are dressed with."""
        router.add_get("/static/{name}", self._assets.answer)
        router.add_get(SIGN_IN, self._shown(self._sign_in_page))
        router.add_post(SIGN_IN, self._shown(self._sign_in))
        # No HEAD: who looks whether a link is alive would use it up.
        router.add_get(f"{SIGN_IN}/{{link}}", self._shown(self._sign_in_by_link), allow_head=False)
        router.add_post(SIGN_OUT, self._shown(self._sign_out))
        router.add_post(LANGUAGE, self._shown(self._choose_language))
        for page in self._pages:
            router.add_route(page.method, page.path, self._shown(self._handler(page)))

    # --- pages ---

    def _handler(self, page: Page) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            visit = await self._visit(page, request)
            if page.live and MEDIA_TYPE in request.headers.get(hdrs.ACCEPT, ""):
                return await self._stream(page.live, visit)
            found = await page.handler(visit)
            match found:
                case View():
                    return self._answer(found, self._frame(visit), is_live=page.live is not None)
                case Done(to, said):
                    joint = "&" if "?" in to else "?"
                    return _go_on(f"{to}{joint}done={said}" if said else to)
                case _:
                    return found

        return handle

    async def _visit(self, page: Page, request: web.Request) -> Visit:
        """Raises NotSignedIn, ForeignForm, Refused."""
        secret = self._cookie.read(request)
        key = await dashboard_sessions.key_of(self._serving.parts.database, secret)
        if key is None:
            raise NotSignedIn
        caller = Caller(key, keys.reach_of(key), self._serving.address_of(request))
        language = chosen(request, self._languages)
        visit = Visit(request, self._serving, caller, language, token_of(secret), known=self._known)
        request[_VISIT] = visit
        if page.method == "POST":
            look_at_origin(request)
        if page.method == "POST" and not page.reads_itself:
            form = await _form(request)
            look_at_token(secret, form.pop(TOKEN, ""))
            visit = replace(visit, form=form)
        await self._serving.look(page.scope, f"{page.method} {page.path}", caller)
        self._serving.count(Rate.READ if page.method == "GET" else Rate.CHANGE, caller)
        return visit

    def _frame(self, visit: Visit) -> Frame:
        menu = tuple(
            (page.path, visit.say(page.menu))
            for page in self._pages
            if page.menu is not None and visit.may(page.scope)
        )
        done = sentences.DONE.get(visit.request.query.get("done", ""))
        sees_all = visit.caller.reach.owner is None
        paths = frozenset(
            page.path
            for page in self._pages
            if visit.may(page.scope) and (sees_all or not page.for_all_owners)
        )
        return Frame(
            visit.language,
            self._languages,
            visit.request.path_qs,
            visit,
            frozenset(visit.caller.key.scopes),
            menu,
            paths,
            done and visit.say(done),
        )

    def _answer(self, view: View, frame: Frame, *, is_live: bool = False) -> web.Response:
        if is_live and not view.is_over:
            frame = replace(frame, version=self._state(view, frame).id)
        return web.Response(
            status=view.status, text=self._templates.page(view, frame), content_type="text/html"
        )

    def _state(self, view: View, frame: Frame) -> PartsState:
        parts = self._templates.parts(view, replace(frame, visit=None))
        return PartsState.of(parts, is_last=view.is_over)

    # --- parts that are told anew ---

    async def _stream(self, live: PageHandler, visit: Visit) -> web.StreamResponse:
        """A page's parts as they change. Who may see the same shares one look."""

        async def look() -> PartsState:
            try:
                view = await live(visit)
            except Refused as refused:
                raise _as_error(refused) from None
            assert isinstance(view, View)  # noqa: S101  a live page shows something
            return self._state(view, self._frame(visit))

        key = visit.caller.key
        shared: Hashable = (
            visit.request.path,
            frozenset(visit.query(*(name for name in visit.request.query if name != "seen")).items()),
            visit.language.code,
            visit.caller.reach.owner,
            visit.caller.reach.accounts and tuple(visit.caller.reach.accounts),
            frozenset(key.scopes),
        )
        call = Call(visit.request, self._serving.parts, visit.caller, self._serving.shared)
        async with room_for_a_stream(call):
            return await tell(
                visit.request,
                event_stream(),
                await look(),
                visit.request.app[STREAMS].watch(shared, look),
                seen=visit.request.headers.get("Last-Event-ID") or visit.request.query.get("seen"),
                longest_seconds=LONGEST_SECONDS,
            )

    # --- signing in and out, and the language ---

    async def _sign_in_page(self, request: web.Request) -> web.StreamResponse:
        if await dashboard_sessions.key_of(self._serving.parts.database, self._cookie.read(request)):
            return _go_on(local_address(request.query.get("next", "/")))
        return self._answer(self._sign_in_view(request), self._bare(request))

    def _sign_in_view(self, request: web.Request, *, is_wrong: bool = False) -> View:
        context = {"next": local_address(request.query.get("next", "/")), "is_wrong": is_wrong}
        return View("sign_in.html", context, status=401 if is_wrong else 200)

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        look_at_origin(request)
        form = await _form(request)
        shown = form.get("key", "").strip()
        key = await self._serving.recognise(shown, self._serving.address_of(request), "signIn")
        if key is None:
            return self._answer(self._sign_in_view(request, is_wrong=True), self._bare(request))
        return await self._signed_in(request, key, local_address(form.get("next", "/")))

    async def _sign_in_by_link(self, request: web.Request) -> web.StreamResponse:
        """A link that `campaigns demo` prints. One that is used up does no harm to who is signed in."""
        key = await dashboard_sessions.use_link(self._serving.parts.database, request.match_info["link"])
        if key is None:
            return _go_on(f"{SIGN_IN}?done=link-over")
        return await self._signed_in(request, key, "/")

    async def _signed_in(self, request: web.Request, key: KeyRow, to: str) -> web.Response:
        database = self._serving.parts.database
        actor = Caller(key, keys.reach_of(key), self._serving.address_of(request)).actor
        former = self._cookie.read(request)
        if await dashboard_sessions.key_of(database, former):
            await dashboard_sessions.end(database, actor, former)
        secret = await dashboard_sessions.begin(database, actor)
        response = _go_on(to)
        self._cookie.set(response, secret)
        return response

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        look_at_origin(request)
        secret = self._cookie.read(request)
        key = await dashboard_sessions.key_of(self._serving.parts.database, secret)
        if key is not None:
            look_at_token(secret, (await _form(request)).get(TOKEN, ""))
            caller = Caller(key, keys.reach_of(key), self._serving.address_of(request))
            await dashboard_sessions.end(self._serving.parts.database, caller.actor, secret)
        response = _go_on(f"{SIGN_IN}?done=signed-out")
        self._cookie.delete(response)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response

    async def _choose_language(self, request: web.Request) -> web.StreamResponse:
        look_at_origin(request)
        form = await _form(request)
        response = _go_on(local_address(form.get("next", "/")))
        if (code := form.get("code", "")) in self._languages:
            response.set_cookie(
                LANGUAGE_COOKIE,
                code,
                max_age=_YEAR_SECONDS,
                path="/",
                secure=self._cookie.is_secure,
                httponly=True,
                samesite="Lax",
            )
        return response

    def _bare(self, request: web.Request) -> Frame:
        """Around a page of somebody who is not signed in."""
        language = chosen(request, self._languages)
        done = sentences.DONE.get(request.query.get("done", ""))
        return Frame(language, self._languages, request.path_qs, done=done and language.say(done))

    # --- answers ---

    def _shown(self, handler: Handler) -> Handler:
        """A handler whose refusals and mistakes are pages, and whose answers have the headers."""

        async def handle(request: web.Request) -> web.StreamResponse:
            response: web.StreamResponse
            try:
                response = await handler(request)
            except NotSignedIn:
                there = request.path_qs if request.method == "GET" else "/"
                response = _go_on(f"{SIGN_IN}?next={quote(there)}" if there != "/" else SIGN_IN)
                if MEDIA_TYPE in request.headers.get(hdrs.ACCEPT, ""):
                    response = web.Response(status=401)  # a stream that ends so is not asked for again
            except ForeignForm:
                response = self._error(request, 403, sentences.FOREIGN_FORM)
            except Refused as refused:
                response = self._refused(request, refused)
            except CampaignError as error:
                response = self._refused(request, refusal_of(request.path, error))
            except web.HTTPException as error:
                response = self._error(
                    request, error.status, sentences.PROBLEMS.get(error.status, sentences.OTHER)
                )
            except Exception as error:  # a bug: logged by its place alone
                log.error("page failed", why=origin_of(error))
                response = self._error(request, 500, sentences.PROBLEMS[500])
            return self.dress(response)

        return handle

    def dress(self, response: web.StreamResponse) -> web.StreamResponse:
        """Give an answer the headers of every page, where it is not under way."""
        if not response.prepared:
            response.headers.update(HEADERS | (_STRICT_TRANSPORT if self._cookie.is_secure else {}))
        return response

    def _refused(self, request: web.Request, refused: Refused) -> web.Response:
        sentence = sentences.PROBLEMS.get(refused.kind.status, sentences.OTHER)
        details = [refused.detail] if refused.detail else []
        details += [f"{mistake.pointer}: {mistake.detail}" for mistake in refused.errors]
        response = self._error(request, refused.kind.status, sentence, details)
        if refused.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(refused.retry_after_seconds)
        return response

    def _error(
        self, request: web.Request, status: int, sentence: str, details: list[str] | None = None
    ) -> web.Response:
        context = {"sentence": sentence, "details": details or []}
        visit: Visit | None = request.get(_VISIT)
        frame = self._bare(request) if visit is None else self._frame(visit)
        return self._answer(View("error.html", context, status), frame)

    def middleware(self) -> Middleware:
        """For the application: what has no route is a page for browsers."""

        @web.middleware
        async def show(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await handler(request)
            except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
                if request.path.startswith("/v1/") or "text/html" not in request.headers.get(hdrs.ACCEPT, ""):
                    raise
                return self.dress(self._error(request, error.status, sentences.PROBLEMS[404]))

        return show


def _go_on(to: str) -> web.Response:
    """Have the browser go on to a page of ours, by GET."""
    return web.Response(status=303, headers={hdrs.LOCATION: to})


async def _form(request: web.Request) -> dict[str, str]:
    """The fields of a form, the last of each name. Files are none of them."""
    if request.content_type not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return {}
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


def _as_error(refused: Refused) -> CampaignError:
    """A refusal as those who look know it."""
    if refused.kind is Kind.DATABASE_AWAY:
        return DatabaseUnavailable(refused.kind.title)
    return NotFound(refused.kind.title)
