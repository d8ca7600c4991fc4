"""Every command that the README and the pages in docs/ print is run, as it is printed."""

import os
import re
import shutil
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.acceptance.processes import BIN, Stack, environment
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]

_OF_THEIR_OWN = {  # documents whose commands other tests run
    "docs/api.md": "tests/acceptance/test_api_examples.py, test_keys.py",
    "docs/webhooks.md": "tests/acceptance/test_webhook_commands.py",
}
DOCUMENTS = [
    path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
    if str(path.relative_to(ROOT)) not in _OF_THEIR_OWN
]

# Run elsewhere: by CI itself, or by the tests named; or not at all, for the reason given.
_ELSEWHERE = {
    "make demo KEEP=1": "tests/acceptance/test_demo.py; CI's fresh clone without KEEP",
    "make demo PROVIDER=<name>": "tests/acceptance/test_demo.py, for every provider",
    "make docs": "tests/guards/test_documents.py compares what it writes",
    "make setup": "CI's fresh clone",
    "make test": "CI",
    "make lint": "CI",
    "make chaos": "CI, by hand: an hour",
    ".venv/bin/python -m pytest tests/unit/test_states.py -q -n 0": "CI runs it among all others",
    ".venv/bin/python -m pytest tests/guards tests/tutorial tests/integration/test_schema.py"
    " tests/integration/test_laws.py -q": "CI runs them among all others",
    ". .venv/bin/activate": "the tests put that folder first in PATH",
    "celery -A worker.app worker": "tests/acceptance/test_main_job.py",
    "celery -A worker.app beat": "tests/acceptance/test_main_job.py",
    "campaigns web": "tests/acceptance/test_web.py",
    "docker compose up --build -d": "Docker: the file is checked by test_docker_compose_accepts_the_file",
    'docker compose exec -T worker campaigns submit - --account main --text "Hello" < customers.csv': (
        "Docker"
    ),
    "docker compose ps": "Docker",
    "campaigns follow-up ID --states not_reached,never_handed_over": "tests/acceptance/test_follow_up.py",
    ".venv/bin/python -m benchmarks.timeline --recipients 100000": "tests/contract/benchmarks, with fewer",
    ".venv/bin/python -m benchmarks.profiling --recipients 20000": "asks the system for the right to look in",
}
_BENCHMARKS = "make bench"  # tests/contract/benchmarks; a machine of its own, and minutes to hours


def _printed() -> list[str]:
    """Every line of every `sh` block of the documents, in their order, each once."""
    blocks = [
        block
        for document in DOCUMENTS
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(), flags=re.DOTALL)
    ]
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


def test_commands_are_in_blocks_that_are_run() -> None:
    """A block of another kind holds none."""
    programs = r"^\s*(?:\$ |\. )?(?:campaigns|make|celery|docker|curl|install|python|\.venv\S+) \S.*$"
    found = [
        f"{document.name}: {line.strip()}"
        for document in DOCUMENTS
        for kind, block in re.findall(r"```(\w*)\n(.*?)```", document.read_text(), flags=re.DOTALL)
        if kind != "sh"
        for line in re.findall(programs, block, flags=re.MULTILINE)
    ]
    assert found == []


def _in_hours(hours: int) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="minutes")


class _Newcomer:
    """Types commands into a shell, in a folder that holds what a clone holds."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.typed: list[str] = []

    def type(self, printed: str, **instead: str) -> str:
        """Run a printed command, with a few words replaced. Gives what it says."""
        self.typed.append(printed)
        command = printed
        for word, value in instead.items():
            command = re.sub(rf"\b{word}\b", value, command)
        settings = environment(self._stack.settings)
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=settings | {"PATH": f"{BIN}:{settings['PATH']}"},
            cwd=self._stack.directory,
            capture_output=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{printed}: {done.stderr.decode()}{done.stdout.decode()}"
        return done.stdout.decode()

    def key(self, printed: str) -> str:
        """Run a command that makes a key. Gives it."""
        found = re.search(r"\bcmp_\w+", self.type(printed))
        assert found is not None
        return found[0]


def _overview(dashboard: str, key: str) -> str:
    """The first page, as a browser sees it that signs in."""
    form = urlencode({"key": key}).encode()
    sign_in = urllib.request.Request(f"{dashboard}/sign-in", form, {"Sec-Fetch-Site": "same-origin"})
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(sign_in, timeout=30) as page:
        return str(page.read().decode())


@pytest.mark.timeout(600)  # twenty commands, each a process
def test_commands_work_as_printed(alone: Stack) -> None:
    """From the first campaign to a provider that misbehaves."""
    printed = _printed()
    submit, submit_later = (line for line in printed if line.startswith("campaigns submit"))
    curls = [line for line in printed if line.startswith("curl")]
    (enqueue,) = (line for line in curls if "/v1/campaigns" in line)
    url = alone.simulator("--delivery-seconds", "0")  # `campaigns simulator`, on any free port
    alone.settings = {"ACCOUNTS__MAIN__BASE_URL": url, "POLL__FIRST_SECONDS": "1"}
    example = (ROOT / ".env.example").read_text()
    (alone.directory / ".env.example").write_text(
        example.replace("your-login", "YourLogin").replace("your-api-key", "your_api_key")
    )
    (alone.directory / "customers.csv").write_text("phone,name\n8 600 00001,Ona\n+37060000002,Jonas\n")
    (alone.directory / "text.txt").write_text("Hello {name|friend}")
    newcomer = _Newcomer(alone)

    newcomer.type("install -m 600 .env.example .env")
    alone.start("up", "campaigns", "up")
    dashboard, told = wait_until(
        lambda: re.findall(r"dashboard: (\S+) .*: (campaigns .*)\)", alone.log("up").read_text()),
        "the stack is up",
        seconds=60,
    )[0]
    assert "FAIL" not in newcomer.type("campaigns doctor")
    assert "nothing was sent" in newcomer.type("campaigns account main try --phone +37060000001")
    (check,) = (line for line in printed if line.startswith("campaigns check"))
    assert "2" in newcomer.type(check)
    said = newcomer.type(submit)
    found = re.search(r"campaign ([0-9a-f-]{36}): 2 recipients", said)
    assert found is not None, said
    assert "delivered" in newcomer.type("campaigns status ID", ID=found[1])
    assert "+37060000001" in newcomer.type("campaigns export ID", ID=found[1])
    assert found[1] in newcomer.type("campaigns message --phone +37060000001")
    for word in ("--assume-sent", "--resend --phone +37060000001"):
        assert "nothing of it is in doubt" in newcomer.type(f"campaigns resolve ID {word}", ID=found[1])
    said = newcomer.type(submit_later, START=_in_hours(1), END=_in_hours(3))
    waiting = re.search(r"campaign ([0-9a-f-]{36}): 2 recipients", said)
    assert waiting is not None, said
    newcomer.type("campaigns reschedule ID --at LATER", ID=waiting[1], LATER=_in_hours(2))
    for command in ("pause", "resume", "cancel"):
        newcomer.type(f"campaigns {command} ID", ID=waiting[1])
    assert waiting[1] in newcomer.type("campaigns list")
    newcomer.type("campaigns suppression add +37060000003")
    newcomer.type("campaigns erase +37060000003 --yes")
    assert "nothing is set aside" in newcomer.type("campaigns aside list")
    newcomer.type("campaigns alive --worker")
    newcomer.type("campaigns migrate")
    operators, shops = [newcomer.key(line) for line in printed if line.startswith("campaigns key create")]
    assert told in newcomer.typed, "what `up` says is what the README says"
    assert found[1] in _overview(dashboard, operators), "the campaign of a command is seen"
    newcomer.type(f"KEY={shops}; {enqueue}", **{"http://127.0.0.1:8026": dashboard})
    for curl in set(curls) - {enqueue}:
        newcomer.type(curl.replace("localhost:8025", url.removeprefix("http://")))

    typed = {*newcomer.typed, "campaigns up", "campaigns simulator --port 8025", *curls}
    left = [
        line for line in printed if line not in typed | _ELSEWHERE.keys() and not line.startswith(_BENCHMARKS)
    ]
    assert left == []
    assert _ELSEWHERE.keys() - set(printed) == set(), "printed no more: take them off _ELSEWHERE"
    assert alone.stop("up") == 0


def _compose(**passwords: str) -> "subprocess.CompletedProcess[bytes]":
    """`docker-compose config`, with the example's settings and these."""
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed here; CI installs it")
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_PASSWORD")}
    return subprocess.run(
        [program, "config"], cwd=ROOT, env=kept | passwords, capture_output=True, timeout=60, check=False
    )


def test_docker_compose_accepts_the_file() -> None:
    """Whatever the password of PostgreSQL holds: it stands in no address."""
    password = "a/b@c:d#e?f"
    done = _compose(POSTGRES_PASSWORD=password, REDIS_PASSWORD="0123abcd")
    assert done.returncode == 0, done.stderr.decode()
    assert b"celery" in done.stdout
    addresses = re.findall(r"CAMPAIGNS_\w+_URL: (\S+)", done.stdout.decode())
    assert set(addresses) == {
        "postgresql://campaigns@postgres:5432/campaigns",
        "redis://:0123abcd@redis:6379/0",
    }
    assert done.stdout.decode().count(f"PGPASSWORD: {password}") >= 3


def test_docker_compose_makes_up_no_password() -> None:
    """A sentence instead of a password everybody knows."""
    done = _compose()
    assert done.returncode != 0
    assert b"set it in .env" in done.stderr
