"""The whole stack in one terminal: servers, worker and beat as real processes, each restarted when it ends.

Children run in sessions of their own, so that Ctrl-C reaches only us and we stop them in order: beat,
then workers (which end what they hold), then the servers.
"""

import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, Any, TypeVar

from campaigns.domain.errors import CampaignError
from campaigns.store import schema
from campaigns.store.session import Database
from worker.bootstrap import open_database
from worker.settings import environment
from worker.settings.environment import PREFIX
from worker.settings.model import Settings
from worker.stack.embedded import servers as embedded
from worker.stack.embedded.home import home_of
from worker.stack.embedded.processes import wait_until
from worker.stack.interrupts import Interrupts, run_on_loop

_T = TypeVar("_T")

_STOP_SECONDS = 45.0  # longer than the longest request a worker may have to see to its end
_RESTART_SECONDS = 1.0


def located(settings: Settings) -> Settings:
    """The settings with both URLs: those given, or those of the running embedded stack of DATA_DIR.

    Raises CampaignError with one sentence when there are neither.
    """
    if settings.database_url is not None and settings.redis_url is not None:
        return settings
    urls = embedded.running(settings.data_dir)
    if urls is None:
        raise CampaignError(
            f"no servers: no embedded stack runs in {settings.data_dir.absolute()}; "
            "start one with `campaigns up`, or set CAMPAIGNS_DATABASE_URL and CAMPAIGNS_REDIS_URL"
        )
    return with_servers(settings, urls)


def with_servers(settings: Settings, urls: embedded.ServerUrls) -> Settings:
    """The settings with the addresses of embedded servers filled in."""
    return settings.model_copy(update={"database_url": urls.database_url, "redis_url": urls.redis_url})


def data_of(settings: Settings) -> Path:
    """Where embedded servers keep the data of DATA_DIR, from the root. Raises CampaignError."""
    return home_of(_data_dir(settings))


def _data_dir(settings: Settings) -> Path:
    try:
        return settings.data_dir.absolute()
    except OSError as error:
        raise CampaignError("the working directory is not there any more; go to another one") from error


def is_made(settings: Settings) -> bool:
    """Whether there is embedded data: some `up`, `demo` or `migrate` made it. Raises CampaignError."""
    return embedded.is_made(_data_dir(settings))


@contextmanager
def located_servers(settings: Settings, *, may_make: bool = False) -> Iterator[Settings]:
    """The settings with both URLs, for as long as the block lasts.

    Where the URLs are set, those servers; else the embedded ones of DATA_DIR, running or started now
    and brought to the schema. New data is made only with `may_make`: in a wrong folder a question would find
    nothing, and an opt-out would be written where nobody looks. Raises CampaignError.
    """
    if settings.database_url is not None:
        yield settings
        return
    if not may_make and not is_made(settings):
        raise CampaignError(
            f"there is no data in {_data_dir(settings)}: go to the folder where `campaigns up` was started, "
            f"name its data by {PREFIX}DATA_DIR, set {PREFIX}DATABASE_URL and {PREFIX}REDIS_URL, "
            "or make new data here by `campaigns up`"
        )
    with embedded.servers(settings.data_dir) as urls:
        located = with_servers(settings, urls)
        use_database(located, schema.migrate)
        yield located


def use_database(
    settings: Settings, work: Callable[[Database], Awaitable[_T]], interrupts: Interrupts | None = None
) -> _T:
    """Run one piece of work that asks no provider, on a loop of its own. Ctrl-C cancels it.

    Takes settings with the database's URL, and the interrupts held by a longer block, if this is part of
    one: what came before cancels it too. Raises what the work raises.
    """

    async def whole() -> _T:
        async with open_database(settings) as database:
            return await work(database)

    return interrupts.run(whole) if interrupts else run_on_loop(whole)


@dataclass
class _Child:
    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: Path | None
    log: Path | None
    restart: bool
    process: subprocess.Popen[bytes] | None = None
    output: IO[bytes] | None = field(default=None, repr=False)


class Children:
    """Processes of ours: started, watched, and stopped in the reverse order of starting.

    Takes the interrupts held meanwhile: one between starting a process and writing it down would leave it.
    """

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._children: list[_Child] = []

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        directory: Path | None = None,
        log: Path | None = None,
        restart: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Start a process; its output goes to `log`, or to our own terminal."""
        child = _Child(name, arguments, environment, directory, log, restart)
        self._children.append(child)
        return self._launch(child)

    @staticmethod
    def _launch(child: _Child) -> subprocess.Popen[bytes]:
        child.output = child.log.open("ab") if child.log else None
        child.process = subprocess.Popen(  # noqa: S603  our own programs, no shell
            child.arguments,
            env=dict(child.environment),
            cwd=child.directory,
            stdin=subprocess.DEVNULL,
            stdout=child.output or None,
            stderr=subprocess.STDOUT if child.output else None,
            start_new_session=True,
        )
        return child.process

    def look_after(self, say: Callable[[str], None]) -> None:
        """Start again what has ended. One look; to be called now and then. Raises CampaignError for a
        process that ends as soon as it starts and is not to be restarted.
        """
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            code = child.process.returncode
            if not child.restart:
                raise CampaignError(f"{child.name} ended with exit code {code}{_see(child.log)}")
            say(f"{child.name} ended with exit code {code}; starting it again")
            self._interrupts.pause(_RESTART_SECONDS)  # what cannot run must not spin
            self._close(child)
            self._launch(child)

    def stop(self) -> None:
        """SIGTERM, in reverse order. What has not ended after its time, or when another Ctrl-C comes, is
        killed: what was in flight is in doubt or comes back, nothing is lost by it.
        """
        running = [child.process for child in reversed(self._children) if child.process is not None]
        with Interrupts() as further:
            try:
                for process in running:
                    process.terminate()
                wait_until(
                    lambda: all(process.poll() is not None for process in running), _STOP_SECONDS, further
                )
            finally:
                for process in running:
                    process.kill()
                    process.wait()
                for child in self._children:
                    self._close(child)

    @staticmethod
    def _close(child: _Child) -> None:
        if child.output is not None:
            child.output.close()
            child.output = None


def _see(log: Path | None) -> str:
    return f"; see {log}" if log else ""


@contextmanager
def children(interrupts: Interrupts) -> Iterator[Children]:
    """Processes that end with the block, however it ends."""
    own = Children(interrupts)
    try:
        yield own
    finally:
        own.stop()


@contextmanager
def stopping_on_signals() -> Iterator[Interrupts]:
    """Make SIGTERM and SIGHUP end the block like Ctrl-C does, so that the same order is kept; each of them
    where the block lets it in.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            former[number] = signal.signal(number, interrupt)
    try:
        with Interrupts() as interrupts:
            yield interrupts
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def celery_command(*arguments: str) -> list[str]:
    """`campaigns worker` or `campaigns beat`, run by this very Python."""
    return [sys.executable, "-P", "-m", "worker.cli", *arguments]  # -P: no module of the working directory


def web_command(*arguments: str) -> list[str]:
    """`campaigns web`, run by this very Python."""
    return [sys.executable, "-P", "-m", "worker.cli", "web", *arguments]


def environment_for(
    located: Settings, changes: Mapping[str, str], *, without_ours: bool = False
) -> dict[str, str]:
    """A child's environment: this process's, the servers of `located`, and `changes`. `without_ours`: none of
    this process's CAMPAIGNS_ variables.
    """
    assert located.database_url is not None  # noqa: S101  located gave both
    assert located.redis_url is not None  # noqa: S101
    servers = {
        f"{PREFIX}DATABASE_URL": located.database_url,
        f"{PREFIX}REDIS_URL": located.redis_url,
        f"{PREFIX}DATA_DIR": str(located.data_dir),
    }
    return environment.for_children(servers | dict(changes), without_ours=without_ours)


def up(settings: Settings, *, workers: int, web_place: tuple[str, int], say: Callable[[str], None]) -> None:
    """Run everything until Ctrl-C or SIGTERM. Brings the schema to head first.

    Takes where the web is to listen (host and port); it runs where PUBLIC_URL says that somebody calls.
    """
    with ExitStack() as stack:
        interrupts = stack.enter_context(stopping_on_signals())
        if settings.database_url is None and not is_made(settings):
            say(f"making new embedded data in {data_of(settings)}")
        located = stack.enter_context(located_servers(settings, may_make=True))
        if settings.database_url is not None:
            use_database(located, schema.migrate)
        family = stack.enter_context(children(interrupts))
        environment = environment_for(located, {})
        for number in range(1, workers + 1):
            family.start(
                f"worker {number}", celery_command("worker", "--hostname", f"w{number}@%h"), environment
            )
        family.start("beat", celery_command("beat"), environment)
        parts = [f"{workers} worker(s)", "beat"]
        if settings.public_url is not None:
            host, port = web_place
            family.start("web", web_command("--host", host, "--port", str(port)), environment)
            parts.append(f"web on {host}:{port} for callbacks to {settings.public_url}")
        say(f"running: {', '.join(parts)}, {_servers_of(settings)}. Ctrl-C stops everything in order.")
        try:
            while True:
                family.look_after(say)
                interrupts.pause(0.5)
        except KeyboardInterrupt:
            interrupts.forget()
            web = "web, " if settings.public_url is not None else ""
            say(f"stopping: {web}beat, workers, servers …")


def _servers_of(settings: Settings) -> str:
    if settings.database_url is not None:
        return "your PostgreSQL and Redis"
    return f"embedded PostgreSQL and Redis in {data_of(settings)} (older releases, for trying out)"
