"""The truth: everything that was ever accepted, at a flat cost.

An acceptance costs eight bytes (its number) and a request some eighty more, so a million acceptances
fit in a few tens of megabytes. Counting by number costs when it is asked for, not when something is sent.
"""

import hashlib
import time
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

_BLOCK_LINES = 2000  # lines in one block of a streamed answer
_DIGEST_BYTES = 32
_REPEATED_SHOWN = 20


class Taken(NamedTuple):
    """One accepted message."""

    phone: int
    due: float  # when its life begins, by `Ledger.clock`


@dataclass(frozen=True, slots=True)
class Row:
    """What one request had accepted."""

    number: int  # the number of the request among those of its endpoint
    at: float
    due: float
    segments: int
    first: int  # the sequence number of its first acceptance; the others follow
    phones: Sequence[int]


@dataclass(slots=True)
class _Book:
    """Columns. Clearing the ledger starts a new book; a reader of the old one keeps it."""

    phones: "array[int]" = field(default_factory=lambda: array("Q"))
    # by request:
    firsts: "array[int]" = field(default_factory=lambda: array("Q"))  # index of its first number in `phones`
    numbers: "array[int]" = field(default_factory=lambda: array("Q"))
    ats: "array[float]" = field(default_factory=lambda: array("d"))
    dues: "array[float]" = field(default_factory=lambda: array("d"))
    segments: "array[int]" = field(default_factory=lambda: array("I"))
    digests: bytearray = field(default_factory=bytearray)
    # by number, counted up to the last question:
    counted: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    most: int = 0
    repeated: dict[int, None] = field(default_factory=dict)  # in the order they first came again

    def count_up(self) -> None:
        """Count the acceptances nobody asked about yet."""
        counts = self.counts
        for phone in self.phones[self.counted :]:
            count = counts.get(phone, 0) + 1
            counts[phone] = count
            self.most = max(self.most, count)
            if count == 2 and len(self.repeated) < _REPEATED_SHOWN:
                self.repeated[phone] = None
        self.counted = len(self.phones)


def digest_of(text: str) -> bytes:
    """What the ledger keeps of a text: its SHA-256."""
    return hashlib.sha256(text.encode()).digest()


class Ledger:
    """What one provider accepted. Takes `name`, which gives a sequence number the provider's form of id.

    Sequence numbers begin at 1 and are never given twice, not even after `clear`.
    """

    def __init__(self, name: Callable[[int], str]) -> None:
        self.requests: Counter[str] = Counter()  # by endpoint, of any outcome
        self._name = name
        self._book = _Book()
        self._base = 1  # the sequence number of the book's first acceptance
        self._wall_at_start = time.time() - time.monotonic()

    def clock(self) -> float:
        """Seconds since 1970 on a clock that never jumps: set by the wall once, then monotonic."""
        return self._wall_at_start + time.monotonic()

    def accept(self, phones: Sequence[int], due: float | None, digest: bytes, segments: int) -> int:
        """Record one request's acceptances; give the first of their consecutive sequence numbers.

        Takes numbers of at most 19 digits, the moment their life begins (None: now), the text's SHA-256.
        The request's number is how many the endpoint `send` has seen.
        """
        book = self._book
        sequence = self._base + len(book.phones)
        if not phones:
            return sequence
        at = self.clock()
        book.firsts.append(len(book.phones))
        book.numbers.append(self.requests["send"])
        book.ats.append(at)
        book.dues.append(at if due is None else due)
        book.segments.append(segments)
        book.digests += digest
        book.phones.extend(phones)
        return sequence

    def find(self, sequence: int) -> Taken | None:
        """The acceptance of that sequence number; None when there is none (or it was cleared)."""
        book, index = self._book, sequence - self._base
        if not 0 <= index < len(book.phones):
            return None
        return Taken(book.phones[index], book.dues[bisect_right(book.firsts, index) - 1])

    def rows(self) -> Iterator[Row]:
        """Every request of which something was accepted, in order, as of now."""
        book, base, ends = self._book, self._base, len(self._book.phones)
        for row in range(len(book.firsts)):
            first = book.firsts[row]
            last = book.firsts[row + 1] if row + 1 < len(book.firsts) else ends
            yield Row(
                number=book.numbers[row],
                at=book.ats[row],
                due=book.dues[row],
                segments=book.segments[row],
                first=base + first,
                phones=book.phones[first:last],
            )

    def summary(self) -> dict[str, object]:
        """What `GET /_ledger` serves."""
        book = self._book
        book.count_up()
        return {
            "accepted": len(book.phones),
            "phones": len(book.counts),
            "most_per_phone": book.most,
            "requests": dict(self.requests),
            "repeated": [str(phone) for phone in book.repeated],
        }

    def full_blocks(self) -> Iterator[bytes]:
        """Every acceptance as one line of JSON, in blocks of lines, as of the first block."""
        book = self._book
        lines: list[str] = []
        for index, row in enumerate(self.rows()):
            digest = bytes(book.digests[index * _DIGEST_BYTES : (index + 1) * _DIGEST_BYTES]).hex()
            at = datetime.fromtimestamp(row.at, UTC).isoformat(timespec="milliseconds")
            # Digits, hexadecimals and a moment: nothing that JSON would have to escape.
            rest = f'"at": "{at}", "request": {row.number}, "text_sha256": "{digest}"'
            size = f'"segments": {row.segments}}}'
            for offset, phone in enumerate(row.phones):
                lines.append(
                    f'{{"phone": "{phone}", "id": "{self._name(row.first + offset)}", {rest}, {size}'
                )
                if len(lines) == _BLOCK_LINES:
                    yield ("\n".join(lines) + "\n").encode()
                    lines.clear()
        if lines:
            yield ("\n".join(lines) + "\n").encode()

    def count_blocks(self) -> Iterator[bytes]:
        """Every number and how often it was accepted, one line of JSON each, in blocks of lines."""
        book = self._book
        book.count_up()
        phones = iter(array("Q", book.counts))  # a copy: sending goes on while the answer streams
        while block := list(islice(phones, _BLOCK_LINES)):
            yield "".join(
                f'{{"phone": "{phone}", "count": {book.counts[phone]}}}\n' for phone in block
            ).encode()

    def clear(self) -> None:
        """Forget every acceptance and every count. Ids given so far are unknown from now on."""
        self._base += len(self._book.phones)
        self._book = _Book()
        self.requests.clear()
