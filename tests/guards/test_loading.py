"""What a command loads: nobody waits for what only another one needs. Counted, for time is the machine's."""

import inspect
import json
import os
import subprocess
import sys

from campaigns import submission
from campaigns.domain.limits import AccountTerms
from campaigns.store.session import Database
from tests.conftest import POLICY
from tests.guards.test_house import ROOT
from tests.river import numbered
from worker.cli.app import Command, app
from worker.settings.environment import for_children

_PROGRAM = """
import json, sys
from worker.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
_NEITHER = {
    *("aiohttp", "alembic", "celery", "jinja2", "openpyxl", "opentelemetry", "phonenumbers"),
    *("prometheus_client", "redis", "sqlalchemy", "structlog", "rich.live"),
    *("campaigns.checking", "campaigns.domain.provider", "campaigns.submission", "campaigns.sending"),
    *("simulator.server", "worker.app", "worker.bootstrap", "worker.shapes.api", "worker.stack.embedded"),
}


def _loaded_by(*typed: str, **settings: str) -> set[str]:
    """The modules that a command has loaded when it ends well."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *typed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=for_children(settings, without_ours=True) | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


async def test_status_loads_what_it_shows_and_little_else(database: Database, database_url: str) -> None:
    wanted = submission.Submission(AccountTerms("main"), "Hello", "Demo", "test")
    made = await submission.submit(database, POLICY, wanted, numbered([{"phone": "+37060000001"}]))
    loaded = _loaded_by(
        *("status", str(made.id)),
        CAMPAIGNS_DATABASE_URL=database_url,
        CAMPAIGNS_REDIS_URL="redis://127.0.0.1:1",
    )
    assert {"asyncpg", "campaigns.reading", "worker.shapes.campaigns"} <= loaded
    assert loaded & _NEITHER == set()
    assert len(loaded) < 520, "a module that other commands need: with lazy_imports(__name__) it waits"


def test_the_list_of_commands_loads_none_of_them() -> None:
    loaded = _loaded_by("--help")
    assert "worker.cli.app" in loaded
    assert loaded & {*_NEITHER, "asyncio", "asyncpg", "worker.cli.campaign", "worker.settings.model"} == set()


def test_the_list_says_of_a_command_what_its_own_help_begins_with() -> None:
    commands = [command for command in app.commands.values() if isinstance(command, Command)]
    own = {each.name: inspect.cleandoc(each.loaded.help).partition("\n\n")[0] for each in commands}
    assert len(own) > 20
    assert {each.name: each.help for each in commands} == {
        name: " ".join(said.split()) for name, said in own.items()
    }
