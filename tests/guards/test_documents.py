"""What is written for people names what there is."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click
import pytest
import typer
from pydantic import BaseModel

from campaigns.providers.registry import PROVIDERS
from worker.cli.app import app
from worker.settings.model import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _settings() -> Iterator[str]:
    """Each setting as the README's table writes it."""
    for name, about in Settings.model_fields.items():
        if isinstance(about.annotation, type) and issubclass(about.annotation, BaseModel):
            yield from (f"{name}__{inner}".upper() for inner in about.annotation.model_fields)
        elif name == "accounts":
            yield "ACCOUNTS__<NAME>__PROVIDER"
            yield from sorted(
                f"…__{inner.upper()}"
                for each in PROVIDERS.values()
                for inner in each.settings.model_fields.keys() - {"provider"}
            )
        else:
            yield name.upper()


def test_the_readmes_table_has_every_setting() -> None:
    readme = _text("README.md")
    table = readme[readme.index("### Settings") : readme.index("## Try failure")]
    assert [name for name in dict.fromkeys(_settings()) if f"`{name}`" not in table] == []


def test_the_readme_names_every_command() -> None:
    group = cast("click.Group", typer.main.get_command(app))
    readme = _text("README.md")
    named = set(re.findall(r"campaigns ([a-z]+)", readme)) | set(re.findall(r"\|([a-z]+)", readme))
    assert set(group.commands) - named - {"demo"} == set(), "demo is `make demo`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_something(document: Path) -> None:
    """To a file that is there and, in Markdown, to a heading that it has."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, heading = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (heading and heading not in _anchors(target)):
            broken.append(link)
    assert broken == []


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
