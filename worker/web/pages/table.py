"""The table of pages: what is not here has no route. Its order is that of the menu."""

from worker.web.pages import campaign, campaigns, overview
from worker.web.pages.frame import Page

PAGES: tuple[Page, ...] = (*overview.PAGES, *campaigns.PAGES, *campaign.PAGES)
