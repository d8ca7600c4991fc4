"""What is written for people names what there is: settings, limits, commands, links, files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from docs import generate
from tests.guards.test_house import PRODUCT, committed, sources
from worker.cli.app import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])

documents = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: cast("Path", path).relative_to(ROOT).as_posix()
)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


# --- pages that are made from the code -----------------------------------------------------------------


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_as_the_code_is(name: str) -> None:
    assert _text(ROOT / "docs" / name) == generate.PAGES[name](), "run: make docs"


def test_every_setting_says_what_it_is() -> None:
    rows = re.findall(r"^\| `[C…].*$", generate.settings_page(), flags=re.MULTILINE)
    assert len(rows) > 40
    assert [row for row in rows if row.endswith("|  |")] == []


def test_every_limit_says_what_it_bounds() -> None:
    """In the docstring below it, or in a comment beside or above it."""
    assert [f"{limit.path}: {limit.name}" for limit in generate.limits() if not limit.words] == []


# --- commands ------------------------------------------------------------------------------------------

_COMMAND = re.compile(r"(?:^|[`>] ?|\| )campaigns ([a-z][^`\n#|<>]*)", flags=re.MULTILINE)
_PASSED_ON = {"worker", "beat", "simulator"}  # their options are Celery's, and the simulator's own


def _typed() -> Iterator[tuple[str, list[str]]]:
    """Every command of ours that a document prints, as (document, words)."""
    for document in DOCUMENTS:
        if document.name != "CHANGELOG.md":
            for found in _COMMAND.findall(_text(document)):
                yield document.relative_to(ROOT).as_posix(), re.findall(r'"[^"]*"|[^\s"]+', found)


def _wrong(words: list[str]) -> str:
    """What is wrong with a printed command; empty: nothing."""
    command: Any = app
    path, named = "campaigns", False
    for word in words:
        commands = getattr(command, "commands", None)
        if commands is None:
            break
        if word not in commands:
            # An account's name comes before what it is asked: `campaigns account main stats`.
            takes_name = any(each.param_type_name == "argument" for each in command.params)
            if word.startswith("-") or (takes_name and not named):
                named = named or not word.startswith("-")
                continue
            return f"{path} has no {word}"
        found = commands[word]
        command, path = getattr(found, "loaded", found), f"{path} {word}"
    options = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]
    return f"{path} has no {unknown}" if unknown and words[0] not in _PASSED_ON else ""


def test_printed_commands_and_their_options_exist() -> None:
    found = list(_typed())
    assert len(found) > 60
    assert [f"{document}: {wrong}" for document, words in found if (wrong := _wrong(words))] == []


@pytest.mark.parametrize(
    "typed", ["submitt x.csv", "submit x.csv --acount main", "aside retri", "list --jsn", "account main stas"]
)
def test_the_guard_of_commands_sees_them(typed: str) -> None:
    assert _wrong(typed.split()) != ""


def test_the_documents_name_every_command() -> None:
    assert set(app.commands) - {words[0] for _, words in _typed()} - {"demo"} == set(), "demo is `make demo`"


# --- links and citations -------------------------------------------------------------------------------


@documents
def test_links_lead_to_something(document: Path) -> None:
    """To a file that is there and, in Markdown, to a heading that it has."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", _text(document)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, heading = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (heading and heading not in _anchors(target)):
            broken.append(link)
    assert broken == []


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _text(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


_CITED = re.compile(
    r"(?<![\w./<>*…-])(?:\.\./)*(\w[\w./-]*\.(?:md|py|sql|lua|yml|toml|svg))(?![\w/<>*-])(?!\.[a-z])"
)

NOT_HERE: dict[str, str] = {
    "connector.py": "aiohttp's own",
    "worker.svg": "what py-spy draws",
    "worker.py": "another project's, which hides ours",
}
"""Files that are cited and are not ours. One that is cited no more leaves the list."""


def _sentences() -> Iterator[tuple[str, str]]:
    """Every comment, docstring and document, as (file, text)."""
    for path, text in sources(*PRODUCT, "tests", "benchmarks", "docs"):
        if not _CITED.search(text):
            continue
        yield from ((path, comment) for comment in re.findall(r"#.*", text))
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Expr(ast.Constant(value=str() as said)):
                    yield path, said
    for path in committed():
        if path.endswith((".md", ".sql", ".yml", "Makefile", "Dockerfile")) and path != "CHANGELOG.md":
            yield path, _text(ROOT / path)


def test_files_that_are_cited_are_here() -> None:
    here = {
        "/".join(parts[at:])
        for path in committed()
        for parts in [path.split("/")]
        for at in range(len(parts))
    }
    cited = {(path, name) for path, said in _sentences() for name in _CITED.findall(said)}
    missing = sorted(f"{path}: {name}" for path, name in cited if name not in here and name not in NOT_HERE)
    assert missing == []
    assert NOT_HERE.keys() - {name for _, name in cited} == set(), "cited no more: take them off NOT_HERE"


# --- requirements --------------------------------------------------------------------------------------


def test_each_requirement_of_security_names_tests_that_are_there() -> None:
    rows = re.findall(
        r"^\| (.*?) \| (.*) \|$", _text(ROOT / "SECURITY.md").partition("## What holds it")[2], re.MULTILINE
    )[1:]
    named = {requirement: re.findall(r"`([\w/.]+)::(\w+)`", tests) for requirement, tests in rows}
    assert len(named) >= 17
    assert [requirement for requirement, tests in named.items() if not tests] == []
    missing = [
        f"{path}::{name}"
        for tests in named.values()
        for path, name in tests
        if not (ROOT / "tests" / path).exists() or f"def {name}(" not in _text(ROOT / "tests" / path)
    ]
    assert missing == []
