"""What pages are dressed with. Each file has an address with the hash of what it holds, so that browsers may
keep it for good: another content has another address.
"""

import gzip
from hashlib import sha256
from pathlib import Path

from aiohttp import hdrs, web

_FOLDER = Path(__file__).parents[1] / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_GOOD = "public, max-age=31536000, immutable"


class Assets:
    """The files of `static`, read once."""

    def __init__(self) -> None:
        self._paths: dict[str, str] = {}
        self._answers: dict[str, tuple[bytes, bytes, str]] = {}
        for file in sorted(_FOLDER.iterdir()):
            if file.suffix in _TYPES:
                content = file.read_bytes()
                name = f"{file.stem}.{sha256(content).hexdigest()[:12]}{file.suffix}"
                self._paths[file.name] = f"/static/{name}"
                self._answers[name] = content, gzip.compress(content), _TYPES[file.suffix]

    def path(self, name: str) -> str:
        """The address of a file, for templates."""
        return self._paths[name]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Serve one."""
        found = self._answers.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        plain, zipped, media_type = found
        headers = {
            "Cache-Control": _FOR_GOOD,
            "X-Content-Type-Options": "nosniff",
            "Vary": "Accept-Encoding",
        }
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            return web.Response(
                body=zipped, content_type=media_type, headers=headers | {"Content-Encoding": "gzip"}
            )
        return web.Response(body=plain, content_type=media_type, headers=headers)
