"""Speaks to the API over HTTP: requests with the key, streams both ways, and problems as errors of ours."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from campaigns.domain.errors import (
    CampaignError,
    DatabaseUnavailable,
    NotAllowed,
    NotFound,
    ProviderRefused,
    SubmissionError,
    SubmissionKeyConflict,
)

_CONNECT_SECONDS = 10.0  # to reach the API
_ANSWER_SECONDS = 600.0  # between two pieces of an answer: a million rows are stored before the first
_MOST_PROBLEM_BYTES = 65_536  # of a refusal that is read
_MOST_ITEMS = 200  # of one page: the most that the API gives
_LONGEST_WAIT_SECONDS = 30  # until a request may be made; a budget that is used up is not waited for
_SETTING = "CAMPAIGNS_API_KEY"
_TOO_OFTEN = "/problems/too-many-requests"
_KINDS: Mapping[str, type[CampaignError]] = {
    "/problems/submission-key-reused": SubmissionKeyConflict,
    "/problems/invalid-request": SubmissionError,
    "/problems/not-allowed": NotAllowed,
    "/problems/not-found": NotFound,
    "/problems/database-away": DatabaseUnavailable,
}


class _TooOften(CampaignError):
    """The key may do this only so often a second."""

    def __init__(self, sentence: str, seconds: int) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class Client:
    """One API and one key, for one loop. Made by `opened`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._host = urlsplit(url).netloc.rpartition("@")[2]

    async def ask(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """The object that is answered. Takes an object for the body, and the query; None is left out.

        Waits where the key may do this only so often a second: nothing was done yet.
        """
        sent = {} if body is None else {"json": body}
        while True:
            try:
                async with self.answered(method, path, query=query, **sent) as response:
                    return await _object(response)
            except _TooOften as refused:
                if refused.seconds > _LONGEST_WAIT_SECONDS:
                    raise
                await asyncio.sleep(refused.seconds)

    async def items(
        self, path: str, most: int | None = None, *, search: Mapping[str, object] | None = None
    ) -> list[Any]:
        """The items of a list, page by page (None: all). `search`: what is looked for, by POST."""
        found: list[Any] = []
        cursor: str | None = None
        while most is None or len(found) < most:
            limit = _MOST_ITEMS if most is None else min(_MOST_ITEMS, most - len(found))
            if search is None:
                page = await self.ask("GET", path, limit=limit, cursor=cursor)
            else:
                page = await self.ask("POST", path, {**search, "limit": limit, "cursor": cursor})
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    async def text_lines(self, path: str, accept: str, **query: object) -> AsyncGenerator[str, None]:
        """An answer that is streamed, line by line, with the line ends. What raises does so at the first."""
        async with self.answered("GET", path, query=query, headers={"Accept": accept}) as response:
            held = b""
            async for piece in response.content.iter_any():
                *lines, held = (held + piece).split(b"\n")
                for line in lines:
                    yield line.decode() + "\n"
            if held:
                yield held.decode()

    @asynccontextmanager
    async def answered(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that is no refusal, to be read within the block. `more`: as aiohttp takes it.

        Raises what the problem means here, and CampaignError where the API cannot be reached.
        """
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        try:
            async with self._session.request(
                method, self._url + path, params=params, allow_redirects=False, **more
            ) as response:
                if response.status >= 300:
                    raise await self._problem(response)
                yield response
        except TimeoutError:
            raise CampaignError(f"the API at {self._host} did not answer in time") from None
        except aiohttp.ClientConnectorError as error:
            raise CampaignError(
                f"the API at {self._host} cannot be reached: {error.os_error.strerror or 'no connection'}"
            ) from None
        except aiohttp.ClientError as error:
            raise CampaignError(
                f"the connection to the API at {self._host} broke: {type(error).__name__}; "
                "repeat the command: nothing is sent twice"
            ) from None

    async def _problem(self, response: aiohttp.ClientResponse) -> CampaignError:
        try:
            said = json.loads(await response.content.read(_MOST_PROBLEM_BYTES))
            kind, title = str(said["type"]), str(said["title"])
        except (ValueError, KeyError, TypeError):
            return CampaignError(
                f"{self._host} answers {response.status} and no problem of the API: is it `campaigns web`?"
            )
        sentence = _sentence(said.get("detail"), said.get("errors") or []) or title
        match response.status:
            case 401 | 403:
                return CampaignError(f"the API refuses {_SETTING}: {sentence}")
            case 429 | 503:
                seconds = response.headers.get("Retry-After", "some")
                if kind == _TOO_OFTEN and seconds.isdecimal():
                    return _TooOften(f"{sentence}; try again in {seconds} seconds", int(seconds))
                return _KINDS.get(kind, CampaignError)(f"{sentence}; try again in {seconds} seconds")
            case 502:
                return ProviderRefused(f"{title}: {sentence}")
            case _:
                return _KINDS.get(kind, CampaignError)(sentence)


def _sentence(detail: object, errors: Sequence[Mapping[str, Any]]) -> str:
    """What a person reads: the detail, and each place that is wrong by its name."""
    wrong = []
    for each in errors:
        name = "/".join(str(each["pointer"]).split("/")[2:])
        wrong.append(f"{name}: {each['detail']}" if name else str(each["detail"]))
    return "; ".join([*([str(detail)] if detail else []), *wrong])


async def _object(response: aiohttp.ClientResponse) -> Any:
    try:
        return await response.json(content_type=None)
    except ValueError:
        raise CampaignError("the API answered what is no JSON: is it `campaigns web`?") from None


@asynccontextmanager
async def opened(url: str, key: str) -> AsyncIterator[Client]:
    """A client for the length of the block. Nothing is connected before it is used."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_ANSWER_SECONDS)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(
        headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield Client(session, url)
