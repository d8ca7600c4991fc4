"""`campaigns up`: servers, workers, beat and web in one terminal, each restarted when it ends."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack

from campaigns.domain.access import Scope
from campaigns.store import schema
from worker.settings.environment import PREFIX
from worker.settings.model import Settings
from worker.settings.safety import is_loopback
from worker.stack.children import celery_command, children, environment_for, web_command
from worker.stack.interrupts import stopping_on_signals
from worker.stack.location import data_of, is_made, located_servers, use_database

MAKE_KEY = f"campaigns key create --owner me --all --scope {','.join(Scope)}"
"""Makes a key that sees and does everything: campaigns of commands belong to no owner."""

_MOST_WORKERS = 8  # unless asked for: each has connections of its own, and PostgreSQL takes a hundred


def usual_workers() -> int:
    """How many worker processes use this machine well: as many as it has cores, eight at most."""
    return min(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        _MOST_WORKERS,
    )


def run_stack(
    settings: Settings, *, workers: int, web_address: tuple[str, int], say: Callable[[str], None]
) -> None:
    """Run everything until Ctrl-C or SIGTERM. Brings the schema to head first.

    Takes where the web is to listen (host and port). On this machine alone it serves the API and the
    dashboard; where PUBLIC_URL says that somebody calls, it takes callbacks.
    """
    with ExitStack() as stack:
        interrupts = stack.enter_context(stopping_on_signals())
        if settings.database_url is None and not is_made(settings):
            say(f"making new embedded data in {data_of(settings)}")
        located = stack.enter_context(located_servers(settings, may_make=True))
        if settings.database_url is not None:
            use_database(located, schema.migrate)
        family = stack.enter_context(children(interrupts))
        for number in range(1, workers + 1):
            family.start(
                f"worker {number}",
                celery_command("worker", "--hostname", f"w{number}@%h"),
                _environment(located, 1 + number),
            )
        family.start("beat", celery_command("beat"), _environment(located, 1))
        parts = [f"{workers} worker(s)", "beat"]
        host, port = web_address
        # Beyond this machine the API needs a key and a proxy in front: who wants that runs it apart.
        served = ["api", "dashboard"] if is_loopback(host) else []
        calls = ""
        if settings.public_url is not None:
            served.insert(0, "callbacks")
            calls = f" for callbacks to {settings.public_url}"
        elif served:
            port = _free(host, port)  # nobody else was told a port: another stack may have this one
        if served:
            command = web_command("--host", host, "--port", str(port), "--serve", ",".join(served))
            family.start("web", command, _environment(located, 0))
            parts.append(f"web on {host}:{port}{calls}")
        say(f"running: {', '.join(parts)}, {_servers_of(settings)}. Ctrl-C stops everything in order.")
        if "dashboard" in served:
            shown = f"[{host}]" if ":" in host else host
            say(f"dashboard: http://{shown}:{port} (a key to sign in with: {MAKE_KEY})")
        try:
            while True:
                family.look_after(say)
                interrupts.pause(0.5)
        except KeyboardInterrupt:
            interrupts.forget()
            web = "web, " if served else ""
            say(f"stopping: {web}beat, workers, servers …")


def _free(host: str, port: int) -> int:
    """This port, or another one where it is taken."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    for number in (port, 0):
        try:
            with socket.create_server((address[0], number), family=family) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue
    return port


def _environment(located: Settings, number: int) -> dict[str, str]:
    """A child's environment. Each has a port of its own for metrics, where there are any."""
    port = located.metrics_port
    return environment_for(located, {f"{PREFIX}METRICS_PORT": str(port + number)} if port is not None else {})


def _servers_of(settings: Settings) -> str:
    if settings.database_url is not None:
        return "your PostgreSQL and Redis"
    return f"embedded PostgreSQL and Redis in {data_of(settings)} (older releases, for trying out)"
