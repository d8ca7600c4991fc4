"""The first page: what needs somebody, what runs, and who works."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from campaigns.domain.access import Scope
from campaigns.domain.holds import resumes_by_itself
from campaigns.domain.states import SENDABLE, MessageState
from worker import shapes
from worker.state_groups import by_group
from worker.web.pages import charts, pace
from worker.web.pages.accounts import known_balances
from worker.web.pages.frame import N_, Page, View, Visit

_MOST = 50  # open campaigns that are looked at
_NEWEST = 5
_DAYS = 14  # that the small charts show
_DAYS_SECONDS = 60.0  # what is told of days is so old at most
_BY_ITSELF = N_("It resumes by itself when the provider answers well again.")
_BY_A_PERSON = N_("Somebody has to resume it.")


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs somebody: what, why, since when, and what ends it (marked by `N_`)."""

    what: str
    why: str
    since: datetime | None = None
    lifted: str | None = None
    path: str | None = None
    is_bad: bool = True


@dataclass(frozen=True, slots=True)
class Going:
    """A campaign in which something may still happen, and how fast it goes."""

    campaign: shapes.OwnedCampaign
    rate: float | None
    seconds_left: float | None


async def show(visit: Visit) -> View:
    """What is going on, as far as the key may see it."""
    query = {"open": "true", "limit": str(_MOST)}
    found = (await visit.ask("listCampaigns", shapes.CampaignPage, query=query)).items
    accounts = (await visit.recent("listAccounts", shapes.AccountPage)).items
    working = await visit.recent("getWorking", shapes.Working)
    query = {"open": "false", "limit": str(_NEWEST)}
    over = (await visit.recent("listCampaigns", shapes.CampaignPage, query=query)).items
    query = {"count": str(_DAYS)}
    days = await visit.recent("listDays", shapes.TakenInDays, seconds=_DAYS_SECONDS, query=query)
    webhooks: Sequence[shapes.Webhook] = ()
    if visit.may(Scope.ADMIN):
        webhooks = (await visit.recent("listWebhooks", shapes.WebhookPage)).items
    context = {
        "needs": [*_needs(visit, found, accounts, working, webhooks)],
        "open": [await _going(visit, each) for each in found],
        "running": [each for each in found if each.state in SENDABLE],
        "queued": sum(each.totals[MessageState.QUEUED] for each in found),
        "accounts": accounts,
        "balances": known_balances(visit, accounts),
        "working": working,
        "newest": _newest(found, over),
        "lately": _lately(days.items),
    }
    return View("overview.html", context)


def _newest(
    going: Sequence[shapes.OwnedCampaign], over: Sequence[shapes.OwnedCampaign]
) -> list[shapes.OwnedCampaign]:
    """The newest of both, which are asked for apart: the batches of one that goes on are summed each time."""
    by_id = {each.id: each for each in (*going, *over)}
    return sorted(by_id.values(), key=lambda each: each.created_at, reverse=True)[:_NEWEST]


@dataclass(frozen=True, slots=True)
class Lately:
    """The last days as small charts. `costs` and `sums` by currency."""

    messages: charts.Days
    delivered: charts.Days
    costs: Mapping[str | None, charts.Days]
    sums: Mapping[str | None, shapes.Cost]


def _lately(days: Sequence[shapes.TakenInDay]) -> Lately | None:
    """None where nothing was taken in."""
    if not days:
        return None
    today = datetime.now(UTC).date()
    taken: Counter[date] = Counter()
    settled: Counter[date] = Counter()
    delivered: Counter[date] = Counter()
    costs: dict[str | None, dict[date, Decimal]] = defaultdict(dict)
    for each in days:
        groups = by_group(each.totals)
        taken[each.day] += sum(groups.values())
        delivered[each.day] += groups["delivered"]
        settled[each.day] += sum(groups[name] for name in ("delivered", "missed", "unknown"))
        if each.cost.amount:
            costs[each.cost.currency][each.day] = each.cost.amount
    shares = {day: delivered[day] / count for day, count in settled.items() if count}
    return Lately(
        charts.days(taken, today, _DAYS),
        charts.days(shares, today, _DAYS, most=1),
        {
            currency: charts.days({day: float(cost) for day, cost in by_day.items()}, today, _DAYS)
            for currency, by_day in costs.items()
        },
        {
            currency: shapes.Cost(amount=sum(by_day.values(), Decimal(0)), currency=currency)
            for currency, by_day in costs.items()
        },
    )


async def _going(visit: Visit, campaign: shapes.OwnedCampaign) -> Going:
    if campaign.state not in SENDABLE or not campaign.totals[MessageState.QUEUED]:
        return Going(campaign, None, None)
    progress = await visit.recent("listProgress", shapes.Progress, path={"id": str(campaign.id)})
    rate = pace.per_second(campaign, progress.items)
    return Going(campaign, rate, pace.seconds_left(campaign, rate))


def _needs(
    visit: Visit,
    campaigns: Sequence[shapes.OwnedCampaign],
    accounts: Sequence[shapes.Account],
    working: shapes.Working,
    webhooks: Sequence[shapes.Webhook],
) -> Iterator[Need]:
    if working.trouble:
        yield Need(visit.say(N_("No worker is taking what is due:")), working.trouble, working.due_since)
    for account in accounts:
        if hold := account.held:
            lifted = _BY_ITSELF if resumes_by_itself(hold.code) else _BY_A_PERSON
            what = visit.say(N_("Account %(name)s is on hold:")) % {"name": account.name}
            yield Need(what, hold.reason, hold.since, lifted)
    for campaign in campaigns:
        path = f"/campaigns/{campaign.id}"
        if held := campaign.campaign_held:
            what = visit.say(N_("Campaign %(name)s is on hold:")) % {"name": campaign.name}
            yield Need(what, held.reason, held.since, _BY_A_PERSON, path)
        if campaign.needs_approval:
            what = visit.say(N_("Campaign %(name)s waits for approval")) % {"name": campaign.name}
            yield Need(what, "", campaign.created_at, _BY_A_PERSON, path, is_bad=False)
        if campaign.totals[MessageState.IN_DOUBT]:
            what = visit.say(N_("%(name)s has %(count)s in doubt:")) % {
                "count": campaign.totals[MessageState.IN_DOUBT],
                "name": campaign.name,
            }
            why = visit.say(
                N_("handed over, but no answer came. The provider is asked; you can also decide.")
            )
            yield Need(what, why, path=path, is_bad=False)
    for webhook in webhooks:
        if webhook.disabled_at is not None:
            what = visit.say(N_("A webhook is disabled:"))
            yield Need(what, webhook.disabled_reason or "", webhook.disabled_at, path="/webhooks")


PAGES = (Page("/", show, Scope.READ, menu=N_("Overview"), live=show),)
