"""The dashboard's sentences: every one is in every language, with the same places to be filled in."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from worker.web.pages.languages import languages

ROOT = Path(__file__).parents[2]
_KEYWORDS: dict[str, Any] = {"_": None, "gettext": None, "ngettext": (1, 2), "N_": None}
_PLACES = re.compile(r"%\(\w+\)s")


def _said() -> Iterator[str | tuple[str, ...]]:
    mappings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    methods = [(each["pattern"], each["method"]) for each in mappings]
    for _, _, sentence, *_ in extract_from_dir(
        str(ROOT / "worker"), [(p.removeprefix("worker/"), m) for p, m in methods], {}, _KEYWORDS
    ):
        yield sentence


@pytest.mark.parametrize("code", [code for code in languages() if code != "en"])
def test_every_sentence_is_translated(code: str) -> None:
    said = set(_said())
    assert len(said) > 50
    with (ROOT / f"worker/web/locale/{code}/LC_MESSAGES/dashboard.po").open("rb") as file:
        catalogue: Catalog = read_po(file, locale=code)
    known = {message.id: message for message in catalogue if message.id}
    assert said == set(known), "make catalogue"
    for sentence, message in known.items():
        forms = [message.string] if isinstance(message.string, str) else [*message.string]
        assert all(forms), f"translate: {sentence}"
        assert not message.fuzzy
        originals = [sentence] if isinstance(sentence, str) else [*sentence]
        places = {place for original in originals for place in _PLACES.findall(original)}
        assert all(set(_PLACES.findall(form)) == places for form in forms), sentence


def test_each_language_is_read_as_it_is_written() -> None:
    lithuanian = languages()["lt"]
    assert (lithuanian.name, lithuanian.tag) == ("Lietuvių", "lt")
    assert lithuanian.say("Sign in") == "Prisijungti"
    assert lithuanian.say("not of the catalogue") == "not of the catalogue"
