"""Charts as SVG, made here: no script, no style of their own. Colours come from classes."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from campaigns.domain.states import MessageState
from worker.web.pages import words
from worker.web.pages.languages import Language

_WIDTH = 1000  # of a bar, in units of its own: it is drawn as wide as there is room
_LEAST = 4  # units: what is not nothing is seen


class Charts:
    """Draws, and says in words what it drew, for those who do not see it."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def bar(self, totals: Mapping[MessageState, int]) -> Markup:
        """Messages by group as one bar."""
        groups = {name: count for name, count in words.by_group(totals).items() if count}
        whole = sum(groups.values())
        told = ", ".join(
            f"{self._language.say(words.GROUPS[name][0])}: {count}" for name, count in groups.items()
        )
        parts, left = [], 0.0
        for name, width in zip(groups, _widths([*groups.values()], whole), strict=True):
            parts.append(
                Markup('<rect class="state-{}" x="{:.1f}" width="{:.1f}" height="10"/>').format(
                    name, left, width
                )
            )
            left += width
        return Markup(
            '<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{}">'
            "{}</svg>"
        ).format(told, Markup("").join(parts))


def _widths(counts: Sequence[int], whole: int) -> list[float]:
    """How wide each is, so that none that is there is too narrow to be seen."""
    widths = [max(_LEAST, _WIDTH * count / whole) for count in counts]
    excess = sum(widths) - _WIDTH
    roomy = sum(width - _LEAST for width in widths)
    return [width - (excess * (width - _LEAST) / roomy if roomy else 0) for width in widths]
