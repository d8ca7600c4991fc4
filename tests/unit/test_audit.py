"""CI's question about known holes: one that is found fails, nobody to ask is a warning."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = [str(path) for path in sorted((ROOT / "requirements").glob("*.lock"))]


class _Osv(BaseHTTPRequestHandler):
    asked: list[dict[str, Any]]
    bad = ""

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        type(self).asked = json.loads(self.rfile.read(length))["queries"]
        results = [
            {"vulns": [{"id": "PYSEC-0000-1"}]} if each["package"]["name"] == self.bad else {}
            for each in self.asked
        ]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"results": results}).encode())

    def log_message(self, *_: object) -> None:
        """Not into the test's output."""


@pytest.fixture
def osv() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Osv)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def audit(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "audit.py"), *LOCKS],
        env={"OSV_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("bad", "code"), [("", 0), ("aiohttp", 1)])
def test_each_pinned_package_is_asked_about(
    osv: str, bad: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Osv, "bad", bad)

    done = audit(osv)

    assert done.returncode == code, done.stderr
    asked = {each["package"]["name"] for each in _Osv.asked}
    assert {"aiohttp", "asyncpg", "celery", "redis", "hatchling"} <= asked
    assert ("aiohttp" in done.stderr) is bool(bad)


def test_nobody_to_ask_is_a_warning() -> None:
    done = audit("http://127.0.0.1:1")
    assert done.returncode == 0
    assert "were not checked for known holes" in done.stderr
