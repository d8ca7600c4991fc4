"""Run the demo and draw what it printed as docs/demo.svg: `make picture`.

The demo is given a terminal of its own, so that it prints its progress. Only the last frame of that is kept,
as on a terminal. Folders of this machine become those that a newcomer has; nothing else is changed.
"""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
_COLUMNS = 110
_ERASED = re.compile(r"(?:\r|\x1b\[2K|\x1b\[1A)+")  # rich, before it draws over a frame


def _demo(folder: Path) -> str:
    """Everything a demo writes to a terminal."""
    ours, its = pty.openpty()
    process = subprocess.Popen(  # noqa: S603  our own command
        [Path(sys.executable).with_name("campaigns"), "demo", "examples/spring_sale.csv"],
        cwd=ROOT,
        env=os.environ
        | {"CAMPAIGNS_DATA_DIR": str(folder), "COLUMNS": str(_COLUMNS), "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    said = b""
    while True:
        try:
            read = os.read(ours, 65_536)
        except OSError:  # it has ended, and the terminal with it
            break
        said += read
    os.close(ours)
    if process.wait() != 0:
        raise SystemExit(said.decode())
    return said.decode()


def _shown(said: str, folder: Path) -> str:
    """What stays on the terminal, in the folder a newcomer has."""
    told = re.sub(r"kept in \S+", "kept in .campaigns", said.replace(str(folder), ".campaigns"))
    told = re.sub(r"/sign-in/\w+", "/sign-in/…", told)  # it was good once, and is over
    told = told.replace("\r\n", "\n").replace("\x1b[?25l", "")
    before, _, frames = told.partition("Spring sale")
    last = ("Spring sale" + frames).replace("\x1b[?25h", "\n")
    start = before.rfind("\n") + 1
    return before[:start] + _ERASED.split(before[start:] + last)[-1]


def main() -> None:
    """Draw it."""
    with tempfile.TemporaryDirectory() as folder:
        said = _shown(_demo(Path(folder)), Path(folder))
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("$ make demo\n" + said.strip("\n")))
    # Without the fonts that rich would have a browser fetch from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="make demo"), flags=re.DOTALL)
    (ROOT / "docs" / "demo.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
