"""seven.io's journal, read: the messages it took, as rows. Pure: no wire, no clock.

Source: DOCS logbook, JS JournalOutbound. A row holds `id`, `to`, `foreign_id`, `dlr` (a status word or
null), `dlr_timestamp`, `timestamp`, `price` (text). The order of rows is not documented.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from campaigns.domain.message_ref import key_of
from campaigns.domain.provider import Doubtful, Sighting
from campaigns.domain.states import MessageState
from campaigns.providers.documents import amount_of, field_of, is_message_id, shown
from campaigns.providers.seven.answers import digits, load, moment_of, state_of, top_code

PAGE_ROWS = 100
"""The most one question gives (DOCS logbook: `limit` 1 to 100)."""

REFERENCE = re.compile(r"[A-Za-z0-9.\-_@]{1,64}")
"""What a `foreign_id` may be (DOCS sms, OPENAPI)."""

_NUMBER = re.compile(r"\+?[0-9]{5,20}")


@dataclass(frozen=True, slots=True)
class Row:
    """One message of the journal."""

    phone: str  # digits
    foreign_id: str | None
    sighting: Sighting

    def is_of(self, reference: str) -> bool:
        """Whether it bears that reference, or one of which that is the shared part."""
        return self.foreign_id is not None and reference in (self.foreign_id, shared_part(self.foreign_id))


@dataclass(frozen=True, slots=True)
class Page:
    """One answer. `is_clear`: every row of it could be read, so that what is not in it is not there."""

    rows: Sequence[Row]
    row_count: int
    is_clear: bool

    @property
    def is_last(self) -> bool:
        """Whether nothing follows it."""
        return self.row_count < PAGE_ROWS


def read_page(body: bytes) -> Page | str | None:
    """Read one answer of the journal. Gives a code where it is one, None where it cannot be read. Pure."""
    document = load(body)
    if not isinstance(document, list):
        return top_code(document)
    rows = [row for row in map(_read_row, document) if row is not None]
    return Page(rows, len(document), len(rows) == len(document))


def _read_row(row: object) -> Row | None:
    named, phone, foreign_id = field_of(row, "id"), field_of(row, "to"), field_of(row, "foreign_id")
    if not isinstance(row, dict) or not isinstance(named, str) or not is_message_id(named):
        return None
    # Without the digits of the number, or the field itself, a row cannot be told from one of ours.
    if not isinstance(phone, str) or not _NUMBER.fullmatch(phone) or "foreign_id" not in row:
        return None
    if foreign_id is not None and not isinstance(foreign_id, str):
        return None
    said = field_of(row, "dlr")
    status_word = said if isinstance(said, str) else ""
    sighting = Sighting(
        named,
        # It is in the journal, so it was taken, whatever its status word, or without one.
        state_of(status_word) or MessageState.ACCEPTED,
        shown(status_word),
        message_ref=whole_reference(foreign_id),
        phone="+" + digits(phone),
        cost=amount_of(field_of(row, "price")),
        accepted_at=moment_of(field_of(row, "timestamp")),
        changed_at=moment_of(field_of(row, "dlr_timestamp")),
    )
    return Row(digits(phone), foreign_id, sighting)


def shared_part(message_ref: str) -> str:
    """The part of our reference that all messages of a batch share: all before the last '-'."""
    return message_ref.rpartition("-")[0] or message_ref


def foreign_id_of(message_refs: Sequence[str]) -> str | None:
    """The `foreign_id` of one request: a message alone gives its own reference, several the part they share.

    None where they share none, or seven.io would not take it.
    """
    shared = {shared_part(message_ref) for message_ref in message_refs}
    if len(shared) != 1:
        return None
    chosen = message_refs[0] if len(message_refs) == 1 else shared.pop()
    return chosen if REFERENCE.fullmatch(chosen) else None


def whole_reference(foreign_id: object) -> str | None:
    """A `foreign_id` as our reference of one message; None where it is a batch's part of one, or not ours."""
    return foreign_id if isinstance(foreign_id, str) and key_of(foreign_id) is not None else None


class Wanted:
    """The messages in doubt that are looked for, and what was found. One look-up makes one.

    A message is known by its number together with its reference, or with the part of it that its batch
    shares where it travelled with others. Where two in doubt share both, such a row is neither's.
    """

    def __init__(self, doubtful: Iterable[Doubtful]) -> None:
        self._open: dict[str, dict[str, Doubtful]] = {}  # by number, then by reference
        self.seen: dict[str, Sighting] = {}  # by our reference
        self.absent: list[str] = []
        for each in doubtful:
            # Handed over with no `foreign_id` it could be found by: it never leaves so, but nor is it absent.
            if REFERENCE.fullmatch(each.message_ref):
                self._open.setdefault(digits(each.phone), {})[each.message_ref] = each

    @property
    def phones(self) -> list[str]:
        """The numbers (digits) that are still looked for."""
        return list(self._open)

    @property
    def refs(self) -> list[str]:
        """Our references that are still looked for."""
        return [ref for group in self._open.values() for ref in group]

    def is_open(self, phone: str) -> bool:
        """Whether that number (digits) is still looked for."""
        return phone in self._open

    def days(self, phone: str | None = None) -> tuple[str, str]:
        """The first and the last day to ask for, of one number or of all that are still looked for."""
        groups = [self._open[phone]] if phone is not None else self._open.values()
        each_of = [each for group in groups for each in group.values()]
        return day_range(
            min(each.handed_over_after for each in each_of), max(each.handed_over_before for each in each_of)
        )

    def take(self, page: Page) -> int:
        """Note whom the rows show; how many were found of those still looked for."""
        found: dict[str, Sighting] = {}
        for row in page.rows:
            group = self._open.get(row.phone, {})
            exact = group.get(row.foreign_id or "")
            sharing = [each for each in group.values() if shared_part(each.message_ref) == row.foreign_id]
            of = exact or (sharing[0] if len(sharing) == 1 else None)
            if of is not None:
                sighting = replace(row.sighting, message_ref=of.message_ref)
                before = found.get(of.message_ref)
                found[of.message_ref] = sighting if before is None else _higher(before, sighting)
            elif sharing:
                for each in sharing:  # whose it is nobody can say: none of them is absent
                    group.pop(each.message_ref)
        for group in self._open.values():
            for message_ref in found.keys() & group.keys():
                del group[message_ref]
        self.seen |= found
        self._open = {phone: group for phone, group in self._open.items() if group}
        return len(found)

    def give_up(self, phone: str | None = None, *, are_absent: bool) -> None:
        """Look no further for one number, or for any: absent, or not to be said."""
        for each in [phone] if phone is not None else self.phones:
            group = self._open.pop(each, {})
            self.absent += group if are_absent else ()


def _higher(one: Sighting, other: Sighting) -> Sighting:
    """Of two rows of one message, the one that says more."""
    return max(one, other, key=lambda sighting: sighting.evidence.rank if sighting.evidence else -1)


def day_range(first: datetime, last: datetime) -> tuple[str, str]:
    """`date_from` and `date_to` around two moments. They count days in Berlin, and do not say whether the
    last one is included: a day and two more than needed hold it in any case.
    """
    before, after = first.astimezone(UTC) - timedelta(days=1), last.astimezone(UTC) + timedelta(days=2)
    return before.date().isoformat(), after.date().isoformat()
