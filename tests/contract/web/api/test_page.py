"""`/docs`: every operation of the table on one page, in HTML that is whole, of this host alone."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

from tests.contract.web.api.conftest import Api
from worker.web.api.document import document
from worker.web.api.page import page
from worker.web.api.table import OPERATIONS

VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Reads a page, and fails where an element is not closed, or an attribute leads elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.tags: set[str] = set()
        self.names: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.names |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links |= {value or "" for name, value in attrs if name == "href"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


async def test_the_page_is_served_without_a_key_and_asks_no_other_host(api: Api) -> None:
    async with api.web.client.get(f"{api.web.url}/docs") as response:
        text = await response.text()
    assert (response.status, response.content_type) == (200, "text/html")
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert response.headers["Content-Security-Policy"].split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"url\(|@import", style)

    found = read(text)
    assert found.tags.isdisjoint({"script", "link", "img", "iframe", "form", "base"})
    assert found.names.isdisjoint({"src", "style", "action", "srcset"})
    assert not {name for name in found.names if name.startswith("on")}
    assert {link for link in found.links if not link.startswith("#")} == {"/openapi.json"}


def test_every_operation_is_there_and_every_link_leads_somewhere() -> None:
    found = read(page(OPERATIONS, document(OPERATIONS)))
    assert len(set(found.ids)) == len(found.ids)
    assert {operation.id for operation in OPERATIONS} <= set(found.ids)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    for operation in OPERATIONS:
        assert f"{operation.method} {operation.path}" in found.text
        assert operation.summary in found.text
    for name in ("Idempotency-Key", "campaign.finished", "next_cursor", "too many requests"):
        assert name in found.text
