"""The house keeps its own laws: floors, sizes, reasons for ignores, and what may be committed."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import celeryconfig
from campaigns.domain.states import BatchState, CampaignState, MessageState
from worker import queues

ROOT = Path(__file__).parents[2]
PRODUCT = ("campaigns", "worker", "simulator")
MOST_LINES = 400

LONG: dict[str, str] = {}
"""Files above 400 lines, and why. A file that has become shorter leaves the list."""


@cache
def committed() -> tuple[str, ...]:
    """Every file that is committed or would be by `git add`."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607  the git of the path
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a checkout: nothing says what is committed")
    return tuple(name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file())


def sources(*folders: str) -> Iterator[tuple[str, str]]:
    """Every Python file of these folders, as (path, text)."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def tokens(text: str, kind: int) -> Iterator[tuple[int, str]]:
    """The tokens of one kind, as (line, text)."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == kind:
            yield token.start[0], token.string


def test_the_sources_are_found() -> None:
    """Else the guards below would guard nothing."""
    paths = {path for path, _ in sources(*PRODUCT, "tests")}
    assert {"campaigns/submission.py", "worker/tasks.py", "tests/conftest.py"} <= paths


# --- floors ----------------------------------------------------------------------------------------------


def test_imports_run_one_way() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "200"},
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    kept = re.search(r"Contracts: (\d+) kept, 0 broken", checked.stdout)
    assert kept is not None
    assert int(kept[1]) == (ROOT / "pyproject.toml").read_text().count("[[tool.importlinter.contracts]]") > 0


# --- sizes and stubs -------------------------------------------------------------------------------------


def test_no_file_is_long_without_a_reason() -> None:
    lengths = {path: text.count("\n") for path, text in sources(*PRODUCT, "tests")}
    too_long = {path: length for path, length in lengths.items() if length > MOST_LINES and path not in LONG}
    assert too_long == {}, "cut them along their subjects, or say in LONG why they are one"
    short = {path for path in LONG if lengths.get(path, 0) <= MOST_LINES}
    assert short == set(), "no longer long: take them off LONG"


_UNDONE = re.compile(r"\b(TODO|FIXME|XXX|HACK|TBD)\b")


def test_nothing_is_left_to_be_done() -> None:
    found = [
        f"{path}:{line}"
        for path, text in (
            *sources(*PRODUCT, "tests"),
            ("celeryconfig.py", _text("celeryconfig.py")),
        )
        for line, comment in tokens(text, tokenize.COMMENT)
        if _UNDONE.search(comment)
    ]
    assert found == []


def _stubs(text: str) -> Iterator[int]:
    """The lines of functions that do nothing, and of errors that are swallowed without a word."""
    tree = ast.parse(text)
    protocols = {
        body
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
        for body in node.body
    }
    lines = text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node not in protocols:
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body and all(_is_nothing(statement) for statement in body):
                yield node.lineno
        if isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node):
            yield node.lineno
        if isinstance(node, ast.ExceptHandler) and all(map(_is_nothing, node.body)):
            caught = {"Exception"} if node.type is None else {ast.unparse(n) for n in ast.walk(node.type)}
            around = "\n".join(lines[node.lineno - 1 : node.body[-1].end_lineno])
            if caught & {"Exception", "BaseException"} and "#" not in around:
                yield node.lineno


def _is_nothing(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def test_no_function_is_a_stub_and_no_error_is_swallowed_whole() -> None:
    found = [f"{path}:{line}" for path, text in sources(*PRODUCT) for line in _stubs(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("def f():\n    pass\n", 1),
        ("def f():\n    '''Says.'''\n    ...\n", 1),
        ("async def f():\n    raise NotImplementedError\n", 1),
        ("try:\n    f()\nexcept Exception:\n    pass\n", 1),
        ("try:\n    f()\nexcept:\n    pass\n", 1),
        ("def f():\n    '''Nothing needs to be done.'''\n", 0),
        ("class P(Protocol):\n    def f(self): ...\n", 0),
        ("try:\n    f()\nexcept KeyError:\n    pass\n", 0),
        ("try:\n    f()\nexcept Exception:  # a log line must not end a hand-over\n    pass\n", 0),
    ],
)
def test_the_guard_against_stubs_sees_them(text: str, count: int) -> None:
    assert len(list(_stubs(text))) == count


# --- ignores ---------------------------------------------------------------------------------------------


_IGNORE = re.compile(r"#\s*(noqa|type: ignore)")
_REASONED = re.compile(
    r"#\s*(?P<ignore>noqa: [A-Z]+[0-9]+(, [A-Z]+[0-9]+)*|type: ignore\[[a-z-]+(, ?[a-z-]+)*\])"
    r"(?P<reason>\s+(#\s*)?\S.{3,})?$"
)


def _unreasoned(text: str) -> Iterator[int]:
    """The lines whose ignore names no rule, or gives no reason and has none on the line above."""
    reasoned: dict[int, str] = {}
    for line, comment in tokens(text, tokenize.COMMENT):
        if _IGNORE.search(comment):
            found = _REASONED.search(comment)
            if found and (found["reason"] or reasoned.get(line - 1) == found["ignore"]):
                reasoned[line] = found["ignore"]
            else:
                yield line


def test_every_ignore_names_its_rule_and_carries_its_reason() -> None:
    found = [f"{path}:{line}" for path, text in sources(*PRODUCT) for line in _unreasoned(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a  # noqa\n", [1]),
        ("a  # noqa: S101\n", [1]),
        ("a  # type: ignore\n", [1]),
        ("a  # type: ignore[misc]\n", [1]),
        ("a  # noqa: S101, E501  narrows it\n", []),
        ("a  # noqa: S101  narrows it\nb  # noqa: S101\nc  # noqa: S102\n", [3]),
        ("a  # type: ignore[misc]  # ships no types\n", []),
    ],
)
def test_the_guard_of_ignores_sees_them(text: str, lines: list[int]) -> None:
    assert list(_unreasoned(text)) == lines


# --- tasks and queues ------------------------------------------------------------------------------------


def test_every_task_is_registered_and_has_a_queue() -> None:
    """Asked in a process of its own: what Celery is told here would stay for every other test."""
    asked = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json\n"
            "from worker.app import app\n"
            "app.loader.import_default_modules()\n"
            "names = [name for name in app.tasks if not name.startswith('celery.')]\n"
            "queues = {name: app.amqp.router.route({}, name)['queue'].name for name in names}\n"
            "entries = [entry['task'] for entry in app.conf.beat_schedule.values()]\n"
            "print(json.dumps([queues, sorted(app.amqp.queues), entries]))",
        ],
        cwd=ROOT,
        env=os.environ
        | {
            "CAMPAIGNS_DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
            "CAMPAIGNS_REDIS_URL": "redis://127.0.0.1:1/0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    queue_of, served, scheduled = json.loads(asked.stdout)

    assert queue_of == queues.QUEUE_OF
    assert set(served) == set(queues.QUEUES) == {queue.name for queue in celeryconfig.task_queues}
    assert scheduled == [queues.TICK]
    named = {value for value in vars(queues).values() if str(value).startswith("campaigns.")}
    assert named == queues.QUEUE_OF.keys()
    assert all(name.startswith("campaigns.") for name in queues.QUEUES), "plain names are other people's too"
    assert celeryconfig.task_default_queue in queues.QUEUES


def _text(name: str) -> str:
    path = ROOT / name
    if not path.is_file():
        pytest.skip(f"there is no {name}")
    return path.read_text()


def test_compose_runs_commands_that_exist_and_serves_every_queue() -> None:
    from worker.cli.app import app as commands

    ours = set(commands.commands)
    lines = [
        json.loads(found) for found in re.findall(r"^\s*command: (\[.*\])", _text("docker-compose.yml"), re.M)
    ]
    assert len(lines) == len(re.findall(r"^\s*command:", _text("docker-compose.yml"), re.M)), (
        "as JSON lists, please"
    )

    celery = [line[3:] for line in lines if line[:3] == ["celery", "-A", "worker.app"]]
    assert {line[0] for line in celery} == {"worker", "beat"}
    assert {line[1] for line in lines if line[0] == "campaigns"} <= ours
    assert {line[0] for line in lines} <= {"campaigns", "celery", "redis-server"}
    served: set[str] = set()
    for line in celery:
        if line[0] == "worker":
            chosen = [line[place + 1] for place, word in enumerate(line) if word in {"-Q", "--queues"}]
            served |= set(",".join(chosen).split(",")) if chosen else set(queues.QUEUES)
    assert served == set(queues.QUEUES)


# --- what is written for people ------------------------------------------------------------------------


def test_the_readme_names_every_state() -> None:
    readme = _text("README.md")
    if readme.count("\n") < 40:
        pytest.skip("the README is not written yet")
    missing = [
        f"{states.__name__}.{state}"
        for states in (CampaignState, BatchState, MessageState)
        for state in states
        if re.search(rf"\b{state}\b", readme) is None
    ]
    assert missing == []


# --- what may be committed -----------------------------------------------------------------------------

# Put together here, so that this file does not hold them.
_MACHINE = ["/work" + "/", "/root" + "/", "tmp" + "/lab", "/" + "." + "library"]
_REGISTRIES = [
    "pypi" + ".",
    "pythonhosted" + ".",
    "--index" + "-url",
    "--extra-index" + "-url",
    "--find" + "-links",
]


def test_no_committed_file_names_a_path_of_this_machine_or_a_registry() -> None:
    assert "pyproject.toml" in committed()
    found = []
    for name in committed():
        text = (ROOT / name).read_bytes().decode(errors="replace")
        found += [
            f"{name}:{line}: {needle}"
            for needle in (*_MACHINE, *_REGISTRIES)
            if needle in text
            for line, content in enumerate(text.splitlines(), 1)
            if needle in content
        ]
    assert found == []


def test_lock_files_pin_by_hash_and_name_no_place() -> None:
    locks = [name for name in committed() if name.endswith(".lock")]
    assert {"requirements/production.lock", "requirements/development.lock"} <= set(locks)
    for name in locks:
        lines = [line.partition("#")[0].rstrip(" \\") for line in _text(name).splitlines()]
        assert [line for line in lines if "://" in line] == []
        assert [
            line for line in lines if line.lstrip().startswith("-") and "--hash=sha256:" not in line
        ] == []
        pins = [place for place, line in enumerate(lines) if line and not line.startswith(" ")]
        assert len(pins) > 5
        for place in pins:
            assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==[0-9]", lines[place]), lines[place]
            assert "--hash=sha256:" in lines[place + 1], lines[place]
