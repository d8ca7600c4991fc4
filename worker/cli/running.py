"""`campaigns up`, `web`, `demo`, `migrate`, `simulator`: what runs.

Each loads what it runs, inside: no other command waits for HTTP servers, simulators and the like.
"""

from pathlib import Path
from typing import Annotated

import typer

from campaigns.lazy_imports import load_awaited
from campaigns.store import phone_index, schema
from campaigns.store.session import Database
from simulator.options import ProviderName
from worker.cli.operator import record
from worker.cli.terminal import err, out, say
from worker.settings.environment import PREFIX
from worker.settings.reading import load_settings
from worker.stack import location
from worker.stack.location import located
from worker.stack.up import run_stack, usual_workers

WebHost = Annotated[
    str, typer.Option(help="Where the web listens; beyond this machine it takes callbacks alone.")
]
WebPort = Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")]


def up(
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Worker processes; else one for each core, eight at most."),
    ] = None,
    web_host: WebHost = "127.0.0.1",
    web_port: WebPort = 8026,
) -> None:
    """Run the whole stack in this terminal: servers, workers, beat, and the web with dashboard and API."""
    run_stack(
        load_settings(),
        workers=workers or usual_workers(),
        web_address=(web_host, web_port),
        say=lambda line: err.print(line, markup=False),
    )


def worker(context: typer.Context) -> None:
    """Run a worker: `celery -A worker.app worker` and its options, whatever the working directory holds."""
    _celery("worker", context.args)


def beat(context: typer.Context) -> None:
    """Run beat: `celery -A worker.app beat` and its options, whatever the working directory holds."""
    _celery("beat", context.args)


def _celery(command: str, options: list[str]) -> None:
    from worker.app import app as celery

    code: object = celery.start([command, *options])
    raise typer.Exit(code if isinstance(code, int) else 0)


def web(
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: WebPort = 8026,
    serve: Annotated[
        str, typer.Option(metavar="PARTS", help="What is served, with commas between.")
    ] = "callbacks,api,dashboard",
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy of yours that speaks https is in front.")
    ] = False,
) -> None:
    """Take the providers' callbacks, and serve the API and the dashboard.

    Beyond this machine those two need a key (campaigns key create), and a proxy
    that speaks https. Who takes many callbacks and large uploads runs two of
    these: --serve callbacks, and --serve api,dashboard. /livez, /readyz and
    /health tell how it is.
    """
    from worker.logs.logger import configure_logs
    from worker.metrics import meter_for
    from worker.runtime import run_once
    from worker.web import server as web_server

    load_awaited()
    served = frozenset(part.strip() for part in serve.split(","))
    if not served <= set(web_server.Part):
        raise typer.BadParameter(f"--serve takes: {', '.join(web_server.Part)}")
    settings = located(load_settings())
    configure_logs(settings.log_format, settings.log_level, secrets=settings.secrets())

    def ready(url: str) -> None:
        say(f"web listening on {url}")
        if behind_proxy and settings.trusted_proxies is None and web_server.WITH_KEYS & served:
            err.print(
                f"{PREFIX}TRUSTED_PROXIES is not set: all callers are taken for one, and ten wrong keys a "
                "minute of anybody stop everybody"
            )
        if settings.public_url is None and web_server.Part.CALLBACKS in served:
            err.print(
                f"{PREFIX}PUBLIC_URL is not set: no provider is asked to call, and no callback is taken"
            )

    run_once(
        settings,
        lambda parts: web_server.serve_until_signal(
            parts,
            host,
            port,
            ready,
            served=frozenset(map(web_server.Part, served)),
            is_behind_proxy=behind_proxy,
        ),
        meter_for(settings),
    )


def demo(
    recipients: Annotated[Path | None, typer.Argument(help="A file; else the example.")] = None,
    provider: Annotated[ProviderName, typer.Option(help="Which one is simulated.")] = "lightsms",
    keep: Annotated[
        bool, typer.Option("--keep", help="Go on serving the dashboard afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """Run the main job once, on a simulated provider, and show it on the dashboard."""
    from worker.cli import demo as demonstration

    settings = load_settings()
    try:
        file = recipients or demonstration.default_recipients()
        code = demonstration.run(settings, provider, file, out, keep=keep)
    except KeyboardInterrupt:
        out.print("\nstopped; nothing runs any more")
        raise
    raise typer.Exit(code)


def migrate(
    index_phones: Annotated[
        bool | None,
        typer.Option(help="Make searching and erasing by number fast, also beside millions; or do without."),
    ] = None,
) -> None:
    """Bring the database schema to head."""
    settings = load_settings()
    if settings.database_url is None:
        what = "embedded data" if location.is_made(settings) else "making new embedded data"
        err.print(f"{what} in {location.data_of(settings)}")
    with location.located_servers(settings, may_make=True) as servers:
        revision = location.use_database(servers, _migrate)
        if index_phones is not None:
            location.use_database(servers, phone_index.make if index_phones else phone_index.drop)
    say(f"the schema is at {revision}")


async def _migrate(database: Database) -> str:
    revision = await schema.migrate(database, err.print)
    await record(database, "schema.migrate", f"schema/{revision}")  # after it: before there may be no audit
    return revision


def simulator(context: typer.Context) -> None:
    """Serve a provider's wire over HTTP, with faults on request: no SMS leaves it."""
    from simulator.command import main

    main(context.args, prog="campaigns simulator")
