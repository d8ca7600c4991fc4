"""`campaigns web` as a real process, alone and as a part of `up`; what `doctor` says of it."""

import http.client
import json
import re
import resource
import socket
import urllib.error
import urllib.request
from contextlib import ExitStack

import pytest

from campaigns.domain.callbacks import CallbackUrls
from tests.acceptance.processes import Stack, processes_of
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance

SECRET = "a-secret-of-our-own"


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _web(stack: Stack, name: str = "web") -> str:
    """Start the web on any free port and give where it listens."""
    process = stack.start(name, "campaigns", "web", "--port", "0")

    def listening() -> str | None:
        found = re.search(r"web listening on (http://\S+)", stack.log(name).read_text())
        assert found or process.poll() is None, stack.log(name).read_text()
        return found[1] if found else None

    return wait_until(listening, "the web listens")


def test_it_answers_refuses_strangers_and_ends_in_order(stack: Stack) -> None:
    """Without a word of who called in its log."""
    stack.settings |= {
        "PUBLIC_URL": "https://sms.shop.test",
        "CALLBACK_SECRET": SECRET,
        "ACCOUNTS__MAIN__PROVIDER": "lightsms",
        "ACCOUNTS__MAIN__LOGIN": "YourLogin",
        "ACCOUNTS__MAIN__API_KEY": "your_api_key",
    }
    url = _web(stack)
    assert _get(f"{url}/health") == (200, '{"service": "campaigns", "status": "ok"}')
    token = CallbackUrls("main", url, SECRET).token_of_account()
    status, _ = _get(f"{url}/callbacks/main/{token}")  # LightSMS calls nobody back
    assert status == 404

    assert stack.stop("web") == 0
    log = stack.log("web").read_text()
    (line,) = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert (line["event"], line["account"], line["status"]) == ("callback refused", "main", 404)
    for word in (token, SECRET, "Traceback"):
        assert word not in log


def test_where_it_cannot_listen_it_says_so(stack: Stack) -> None:
    """One sentence; the same for settings that will not do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = stack.run("web", "--port", str(port), check=False)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    stack.settings["PUBLIC_URL"] = "https://sms.shop.test"
    done = stack.run("web", "--port", "0", check=False)
    assert done.returncode == 2
    assert b"CAMPAIGNS_CALLBACK_SECRET is missing" in done.stderr


def test_without_a_public_url_it_says_that_nobody_will_call(stack: Stack) -> None:
    """It runs all the same: compose starts it always."""
    url = _web(stack)
    assert _get(f"{url}/health")[0] == 200
    wait_until(lambda: "PUBLIC_URL is not set" in stack.log("web").read_text(), "it says so")
    assert stack.stop("web") == 0


def test_doctor_looks_whether_callbacks_arrive(stack: Stack) -> None:
    """Not needed; well; somebody else's answer; nobody's."""
    stack.simulator()
    assert b"ok    web: not needed" in stack.run("doctor").stdout
    url = _web(stack)
    stack.settings |= {"PUBLIC_URL": url, "CALLBACK_SECRET": SECRET}
    assert f"ok    web: callbacks come to {url}" in stack.run("doctor").stdout.decode()

    stack.settings["PUBLIC_URL"] = stack.settings["ACCOUNTS__MAIN__BASE_URL"]
    done = stack.run("doctor", check=False)
    assert done.returncode == 1
    assert b"is not ours" in done.stdout
    stack.settings["PUBLIC_URL"] = url
    assert stack.stop("web") == 0
    done = stack.run("doctor", check=False)
    assert done.returncode == 1
    assert b"does not answer" in done.stdout


def test_the_address_to_be_told_to_a_provider(stack: Stack) -> None:
    """Printed where it is asked for, and a sentence where there is none."""
    stack.settings |= {
        "ACCOUNTS__LIGHT__PROVIDER": "lightsms",
        "ACCOUNTS__LIGHT__LOGIN": "YourLogin",
        "ACCOUNTS__LIGHT__API_KEY": "your_api_key",
        "ACCOUNTS__MAIN__PROVIDER": "seven",
        "ACCOUNTS__MAIN__API_KEY": "your_api_key",
    }
    assert b"PUBLIC_URL is not set" in stack.run("account", "main", "callback-url", check=False).stderr
    stack.settings |= {"PUBLIC_URL": "https://sms.shop.test", "CALLBACK_SECRET": SECRET}
    urls = CallbackUrls("main", "https://sms.shop.test", SECRET)
    assert stack.run("account", "main", "callback-url").stdout.decode() == f"{urls.url_of_account()}\n"
    done = stack.run("account", "light", "callback-url", check=False)
    assert done.returncode == 1
    assert b"calls nobody back" in done.stderr


def test_up_runs_it_where_somebody_calls(alone: Stack) -> None:
    """And ends it with the rest."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    alone.settings |= {"PUBLIC_URL": f"http://127.0.0.1:{port}", "CALLBACK_SECRET": SECRET}
    alone.start("up", "campaigns", "up", "--web-port", str(port))
    wait_until(lambda: "running:" in alone.log("up").read_text(), "the stack is up", seconds=60)
    assert f"web on 127.0.0.1:{port}" in alone.log("up").read_text()

    def is_well() -> bool:
        try:
            return _get(f"http://127.0.0.1:{port}/health")[0] == 200
        except OSError:
            return False  # not yet

    wait_until(is_well, "the web answers")
    assert alone.stop("up") == 0
    assert processes_of(alone.directory) == []
    with pytest.raises(OSError, match="refused"):
        _get(f"http://127.0.0.1:{port}/health")


def test_silent_connections_take_neither_the_files_nor_the_log(stack: Stack) -> None:
    """Two hundred of them where a process may have 128 files, at its defaults: it answers again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        url = _web(stack)  # inherits it
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    host, _, port = url.removeprefix("http://").rpartition(":")
    before = stack.log("web").stat().st_size
    with ExitStack() as held:
        for _ in range(200):
            held.enter_context(socket.create_connection((host, int(port)), timeout=10))

        def answers() -> bool:
            try:
                return _get(f"{url}/health")[0] == 200
            except (OSError, http.client.HTTPException):
                return False  # closed at once: so many are open

        wait_until(answers, "it answers while they are held", seconds=60, every=0.5)
    log = stack.log("web").read_text()[before:]
    assert len(log) < 10_000
    assert "Traceback" not in log
