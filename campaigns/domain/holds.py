"""Holds: nothing is handed over through a held account, or of a held campaign, until the hold is lifted."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

DOWN = "down"
"""The code of a hold that is not the account's fault: the provider takes nothing."""

WENT_BACK = "went_back"
"""The code of a hold on every account: the database may have forgotten what was sent. A person lifts it."""


def resumes_by_itself(code: str) -> bool:
    """Whether a probe lifts a hold of this code; else only a person does."""
    return code != WENT_BACK


@dataclass(frozen=True, slots=True)
class Hold:
    """An account on hold, since when and why."""

    account: str
    since: datetime
    code: str
    reason: str

    @property
    def resumes_by_itself(self) -> bool:
        """Whether a probe lifts it; else only a person does."""
        return resumes_by_itself(self.code)


@dataclass(frozen=True, slots=True)
class CampaignHold:
    """A campaign on hold, since when and why. `about`: sender or text."""

    campaign_id: UUID
    since: datetime
    about: str
    code: str
    reason: str
