"""A provider's own month beside ours: whether both count the same, and what may explain what differs."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from campaigns.domain.access import Scope
from campaigns.domain.reconciliation import Why
from worker import shapes
from worker.web.api.problems import Kind, Refused
from worker.web.pages.frame import N_, Page, View, Visit

PATH = "/accounts/{name}/reconciliation"
"""Of the page, for links to it."""

_PROVIDER_SECONDS = 10.0  # for which the page waits for a provider
_NO_ANSWER = N_("The provider did not answer in time. Nothing is wrong here: try again in a moment.")
_REFUSED = N_("The provider does not tell its month now, or cannot be reached. Try again in a moment.")


@dataclass(frozen=True, slots=True)
class Summary:
    """A month as a whole. `differing`: days on which something differs, `by_cause` them by what may explain
    it; `counts`: how many segments (or messages) each cause explains. Costs are None where they are not
    compared on every day.
    """

    ours: int
    unsure: int
    theirs: int
    our_cost: Decimal | None
    their_cost: Decimal | None
    differing: int
    by_cause: Mapping[Why, int]
    counts: Mapping[Why, int]

    @property
    def difference(self) -> int:
        """Segments of the provider's less ours."""
        return self.theirs - self.ours

    def width(self, count: int) -> float:
        """How long a bar of so many segments is, of a thousand."""
        return round(1000 * count / max(1, self.theirs, self.ours + self.unsure), 1)


def summary(days: list[shapes.ReconciledDay]) -> Summary:
    """The sums over days that are compared."""
    causes = [each for day in days for each in day.explanations]
    counts: Counter[Why] = Counter()
    for each in causes:
        counts[each.why] += each.count or 0
    theirs = [day.theirs for day in days if day.theirs is not None]
    has_costs = all(day.cost_difference is not None for day in days)
    return Summary(
        sum(day.ours.segment_count for day in days),
        sum(day.ours.unsure_segment_count for day in days),
        sum(each.segment_count for each in theirs),
        sum((day.ours.cost for day in days), Decimal(0)) if has_costs else None,
        sum((each.cost for each in theirs), Decimal(0)) if has_costs else None,
        sum(not day.agrees for day in days),
        Counter(each.why for each in causes),
        counts,
    )


def months_beside(first: date) -> Mapping[str, str | None]:
    """The months before and after that of a day, for links; None for one that is yet to come."""
    after = (first.replace(day=1) + timedelta(days=32)).replace(day=1)
    has_begun = after <= datetime.now(UTC).date()
    before = first.replace(day=1) - timedelta(days=1)
    return {"before": f"{before:%Y-%m}", "after": f"{after:%Y-%m}" if has_begun else None}


async def show(visit: Visit) -> View:
    """A month of an account, as both have it; one sentence where its provider does not tell it now."""
    name, query = visit.path("name"), visit.query("month")
    found, trouble = None, None
    try:
        async with asyncio.timeout(_PROVIDER_SECONDS):
            found = await visit.recent(
                "getReconciliation", shapes.Reconciliation, path={"name": name}, query=query
            )
    except TimeoutError:
        trouble = _NO_ANSWER
    except Refused as refused:
        if refused.kind is not Kind.PROVIDER_REFUSED:
            raise
        trouble = _REFUSED
    # A month that is none was refused before its provider was asked.
    first = date.fromisoformat(f"{query['month']}-01") if query else datetime.now(UTC).date()
    context = {
        "account": name,
        "first": first,
        "trouble": trouble,
        "month": found,
        "is_compared": found is not None and found.trouble is None,
        "sum": summary(found.days) if found is not None else None,
        **months_beside(first),
    }
    return View("reconciliation.html", context)


PAGES = (Page(PATH, show, Scope.READ, for_all_owners=True),)
