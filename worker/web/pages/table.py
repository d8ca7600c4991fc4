"""The table of pages: what is not here has no route. Its order is that of the menu."""

from worker.web.pages import (
    accounts,
    audit,
    campaign,
    campaigns,
    key_pages,
    messages,
    new_campaign,
    overview,
    reconciliation,
    suppression,
    webhooks,
)
from worker.web.pages.frame import Page

PAGES: tuple[Page, ...] = (
    *overview.PAGES,
    *campaigns.PAGES,
    *new_campaign.PAGES,
    *campaign.PAGES,
    *messages.PAGES,
    *accounts.PAGES,
    *reconciliation.PAGES,
    *suppression.PAGES,
    *webhooks.PAGES,
    *key_pages.PAGES,
    *audit.PAGES,
)
