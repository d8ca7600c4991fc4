"""The tree of our errors.

    CampaignError                 one sentence a person can act on; safe to print and to log
    +-- SubmissionError           a submission that cannot be taken in: what, where, how to mend it
    |   +-- SubmissionKeyConflict the key was used before, with other content
    |   +-- OverAllowance         more than its owner or its account may submit
    +-- NotFound                  no such campaign, account, recipient
    +-- NotAllowed                the campaign's state does not allow that
    +-- ProviderRefused           a question outside sending (balance, stats) the provider would not answer
    +-- SchemaMismatch            the database is older or newer than this code
    +-- DatabaseUnavailable       PostgreSQL cannot be reached, or went away in the middle
    |   +-- DatabaseUnfit         it answers, and is not what we need: a pooler, an encoding, rights
    +-- WitnessUnavailable        Redis did not answer whether something had left before

Outcomes of handing over are values (`provider.Outcome`), not errors.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

_LONGEST_SHOWN = 40  # characters of typed text that an error repeats
_LONGEST_LIST_OF_COLUMNS = 10  # names of columns in one sentence
_LONGEST_LIST_CHARACTERS = 150  # what a line in a terminal still shows, with the sentence around it


class CampaignError(Exception):
    """The root. Its text is one sentence without a secret, a full number or a message text."""


class SubmissionError(CampaignError):
    """The submission cannot be taken in; nothing of it was stored."""


class SubmissionKeyConflict(SubmissionError):
    """The submission key belongs to a campaign with other content."""


class NotWhatWasChecked(SubmissionError):
    """Its content is not what a check was made of."""


class OverAllowance(SubmissionError):
    """It is more than its owner or its account may submit just now. `retry_after_seconds`: when there is room
    again; None: it is more than there ever is.
    """

    def __init__(self, sentence: str, *, retry_after_seconds: int | None) -> None:
        super().__init__(sentence)
        self.retry_after_seconds = retry_after_seconds


class NotFound(CampaignError):
    """What was named does not exist."""


def no_such_campaign(campaign_id: UUID) -> NotFound:
    """What is raised where there is no campaign of that id."""
    return NotFound(f"there is no campaign {campaign_id}; see: campaigns list")


class NotAllowed(CampaignError):
    """The state of what it is about does not allow what was asked."""


class ProviderRefused(CampaignError):
    """The provider gave no usable answer to a question that changes nothing."""


class NotOffered(ProviderRefused):
    """This provider has no such thing to ask for; the sentence is ours."""


class SchemaMismatch(CampaignError):
    """The database schema is not the one this code was written for."""


class DatabaseUnavailable(CampaignError):
    """PostgreSQL cannot be reached or went away: whether the last statement took hold is not known."""


class DatabaseUnfit(DatabaseUnavailable):
    """PostgreSQL answers, and is not what we need. Nothing was done."""


class WitnessUnavailable(CampaignError):
    """Redis did not answer: whether what it was told took hold is not known."""


_ROOT = Path(__file__).parents[2]
_OURS = frozenset({"campaigns", "worker", "simulator"})


def origin_of(error: BaseException) -> str:
    """What an error that nobody foresaw is and where in our code it was raised: "KeyError at
    campaigns/sending.py:120", or its type alone. Nothing of what it says: that may hold a text or a number.
    """
    lines = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(_ROOT) and path.relative_to(_ROOT).parts[0] in _OURS:
            lines = f" at {path.relative_to(_ROOT)}:{line}"
    return f"{type(error).__name__}{lines}"


def is_harmless(text: str) -> bool:
    """Whether text somebody gave us (a column's name, a region) may be repeated in a sentence: it is short,
    stays on its line, and cannot be a number. People put numbers, keys and texts where they do not belong.
    """
    return len(text) <= _LONGEST_SHOWN and text.isprintable() and sum(map(str.isdigit, text)) < 4


def shown_column(column: str, position: int) -> str:
    """A column's name for a message, its position (from 1) where the name could be a number or a text: the
    first row of a file without a header is somebody's data.
    """
    return repr(column) if is_harmless(column) else f"number {position}"


def listed_columns(columns: Sequence[str]) -> str:
    """The columns there are, for a message: as many as one line holds."""
    listed = [
        shown_column(column, position)
        for position, column in enumerate(columns[:_LONGEST_LIST_OF_COLUMNS], 1)
    ]
    while sum(map(len, listed)) > _LONGEST_LIST_CHARACTERS:
        listed.pop()
    if len(columns) > len(listed):
        listed.append(f"{len(columns) - len(listed)} more")
    return ", ".join(listed)
