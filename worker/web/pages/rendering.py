"""Templates, and how numbers, money and moments are shown. All text is escaped, and a name that is not there
is an error, not an empty place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from worker.shapes import Cost, amount_text
from worker.state_groups import GROUP_OF
from worker.web.pages import charts, sentences, troubles
from worker.web.pages.assets import Assets
from worker.web.pages.frame import View, Visit
from worker.web.pages.languages import Language

_FOLDER = Path(__file__).parents[1] / "templates"
_PART = "part_"
_FORMS = {"short": "d MMM HH:mm", "time": "HH:mm", "exact": "HH:mm:ss"}


@dataclass(frozen=True)
class Frame:
    """What is around a page: the language, where the reader is, and, of somebody who is signed in, who they
    are and where they may go.
    """

    language: Language
    languages: Mapping[str, Language]
    address: str  # path and query
    visit: Visit | None = None
    scopes: frozenset[str] = frozenset()
    menu: tuple[tuple[str, str], ...] = ()  # path, sentence
    paths: frozenset[str] = frozenset()  # of pages that the reader may see
    done: str | None = None  # what was just done, as a sentence
    version: str = ""  # of the parts, for a page whose parts are told anew

    def goes_to(self, path: str) -> bool:
        """Whether there is a page that the reader may see."""
        return path in self.paths

    def is_here(self, path: str) -> bool:
        """Whether an entry of the menu is the page, or what it is below."""
        here = self.address.partition("?")[0]
        return here == path or (path != "/" and here.startswith(f"{path}/"))


class Templates:
    """The templates in every language. Use one for a process."""

    def __init__(self, languages: Mapping[str, Language], assets: Assets) -> None:
        self._environments = {code: _environment(language, assets) for code, language in languages.items()}

    def page(self, view: View, frame: Frame) -> str:
        """A whole page."""
        return self._template(view, frame).render(self._context(view, frame))

    def parts(self, view: View, frame: Frame) -> dict[str, str]:
        """The parts of a page that are told anew, by name. They are the same for everybody who may see the
        same, so they know nothing of a session: forms stand outside, and their buttons name them.
        """
        template = self._template(view, frame)
        context = template.new_context(self._context(view, frame))
        return {
            name.removeprefix(_PART): "".join(block(context)).strip()
            for name, block in template.blocks.items()
            if name.startswith(_PART)
        }

    def _template(self, view: View, frame: Frame) -> Template:
        return self._environments[frame.language.code].get_template(view.template)

    @staticmethod
    def _context(view: View, frame: Frame) -> dict[str, Any]:
        return {"frame": frame, "may": frame.scopes.__contains__, **view.context}


def _environment(language: Language, assets: Assets) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(language.translations, newstyle=True)  # type: ignore[attr-defined]  # the extension adds it
    show = _Shown(language)
    environment.filters.update(
        number=show.number,
        percent=show.percent,
        money=show.money,
        moment=show.moment,
        day=show.day,
        month=show.month,
        duration=show.duration,
        phone=_phone,
        others=_others,
        state=lambda state: language.say(sentences.MESSAGE_STATES[state]),
        campaign_state=lambda state: language.say(sentences.CAMPAIGN_STATES[state]),
        say=language.say,
        told=lambda sentence: _told(language, sentence),
        with_query=_with_query,
        why=lambda campaign: (said := sentences.why(campaign)) and language.say(said),
    )
    environment.globals.update(
        asset=assets.path, sentences=sentences, GROUP_OF=GROUP_OF, charts=charts, show=show
    )
    for name, template in (("ui", "ui.html"), ("draw", "charts.html")):
        environment.globals[name] = environment.get_template(template).module
    return environment


class _Shown:
    """Values as a language writes them."""

    def __init__(self, language: Language) -> None:
        self._locale = language.locale
        self._language = language

    def number(self, value: float) -> str:
        """A whole number with its thousands apart, or one with a decimal."""
        return format_decimal(value, format="#,##0.#", locale=self._locale)

    def percent(self, share: float) -> str:
        """A share of one. What is not nothing is not shown as nothing, nor what is not all as all."""
        if 0 < share < 0.001:
            return "< " + format_percent(0.001, format="0.0%", locale=self._locale)
        if 0.999 < share < 1:
            share = 0.999
        return format_percent(share, format="0.#%", locale=self._locale)

    def money(self, cost: Cost) -> str:
        """An amount with its currency; a dash where it is not known."""
        return "–" if cost.amount is None else self.amount(cost.amount, cost.currency)

    def amount(self, amount: Decimal, currency: str | None = None) -> str:
        """An amount, with its currency where that is given."""
        decimals = len(amount_text(Decimal(amount)).partition(".")[2])
        text = format_decimal(amount, format=f"#,##0.{'0' * decimals}", locale=self._locale)
        return f"{text} {currency}" if currency else text

    def moment(self, at: datetime | None, *, form: str = "short") -> str:
        """A moment. The reader's browser shows it in its own zone, with the exact one on hover; without a
        script it is in UTC and says so.
        """
        if at is None:
            return "–"
        at = at.astimezone(UTC)
        text = format_datetime(at, _FORMS[form], locale=self._locale)
        exact = at.isoformat(timespec="seconds").replace("+00:00", "Z")
        return Markup('<time datetime="{}" title="{}" data-form="{}">{} UTC</time>').format(
            exact, exact, form, text
        )

    def day(self, day: date) -> str:
        """A day."""
        return format_date(day, "d MMM", locale=self._locale)

    def month(self, at: datetime) -> str:
        """A month with its year."""
        return format_datetime(at, "LLLL y", locale=self._locale)

    def duration(self, seconds: float) -> str:
        """About how long, in the largest unit that says it well."""
        return str(format_timedelta(timedelta(seconds=seconds), threshold=1.5, locale=self._locale))


def _with_query(query: Mapping[str, str], **changed: str | None) -> str:
    """A query with some of it changed; None: without it. The cursor goes, unless it is given."""
    kept: dict[str, str | None] = {**query, "cursor": None} | changed
    return "?" + urlencode({name: value for name, value in kept.items() if value is not None})


def _others(text: str | None) -> str:
    """What others called something: it turns the direction of nothing beside itself."""
    return Markup("<bdi>{}</bdi>").format(text or "–")


def _told(language: Language, sentence: str) -> str:
    """What is wrong, in the reader's language where it is known there, else marked as English."""
    known = troubles.told(language, sentence)
    return _others(known) if known else Markup('<bdi lang="en">{}</bdi>').format(sentence)


@pass_context
def _phone(context: Context, phone: str) -> str:
    """A number, masked but for those who may read numbers."""
    if context["may"]("read:recipients"):
        return phone
    return f"{phone[:4]} ··· {phone[-2:]}"
