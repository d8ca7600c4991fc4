"""The catalogue of sentences, and which language somebody reads. English is what the code says; every other
language has a file `locale/<code>/LC_MESSAGES/dashboard.po`, which is read when the process starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from aiohttp import hdrs, web
from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

COOKIE = "language"
_LOCALES = Path(__file__).parents[1] / "locale"


@dataclass(frozen=True)
class Language:
    """A language that pages are read in."""

    code: str
    locale: Locale = field(repr=False)
    translations: NullTranslations = field(repr=False)

    @property
    def name(self) -> str:
        """What those who read it call it."""
        return str(self.locale.get_language_name()).capitalize()

    @property
    def tag(self) -> str:
        """What browsers call it."""
        return str(self.locale).replace("_", "-")

    def say(self, sentence: str) -> str:
        """A sentence in this language."""
        return self.translations.gettext(sentence)


def _translations(code: str) -> NullTranslations:
    with (_LOCALES / code / "LC_MESSAGES" / "dashboard.po").open("rb") as file:
        catalogue = read_po(file, locale=code, abort_invalid=True)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


def languages() -> Mapping[str, Language]:
    """Every language there is, by code, English first."""
    codes = sorted(path.name for path in _LOCALES.iterdir() if path.is_dir())
    found = {"en": Language("en", Locale("en", "GB"), NullTranslations())}
    return found | {code: Language(code, Locale(code), _translations(code)) for code in codes}


def chosen(request: web.Request, known: Mapping[str, Language]) -> Language:
    """The language that a reader chose, or that their browser prefers."""
    if (code := request.cookies.get(COOKIE, "")) in known:
        return known[code]
    preferred = []
    for entry in request.headers.get(hdrs.ACCEPT_LANGUAGE, "").split(","):
        tag, _, weight = entry.strip().partition(";q=")
        try:
            preferred.append((-float(weight or 1), tag.partition("-")[0].lower()))
        except ValueError:  # a weight that is no number
            continue
    return next(
        (known[code] for _, code in sorted(preferred, key=lambda each: each[0]) if code in known), known["en"]
    )
