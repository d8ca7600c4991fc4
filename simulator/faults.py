"""What can go wrong on request, and which fault a request draws.

A fault is posted as JSON: `endpoint` (one, or `*`), `kind`, `times` (hits; null: until removed), `skip`
(requests let through first), `probability`, and the kind's own fields. It is looked at in the order of
posting, as a request arrives and whether or not that request is valid:

* of the kinds that decide the whole answer (`ENDINGS`) a request draws at most one, the first that matches;
* of every other kind it draws the first that matches, and these add up. With an ending that comes
  before acceptance only `latency` is drawn: nothing else could be seen.
"""

import random
from collections.abc import Callable
from typing import Annotated, ClassVar, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from simulator.options import ErrorForm

Endpoint = Literal[
    "send",
    "status",
    "stat_by_month",
    "timestamp",
    "balance",
    "pricing",
    "find_on_stop",
    "journal",
    "hooks",
    "delete",
    "phone_number",
    "reference",
    "health",
    "callback",
]
"""What can be asked of some provider; `callback` is what a provider asks of us."""

_CALLBACK: Final = frozenset({"callback"})
_SEND: Final = frozenset({"send"})
_STATUS: Final = frozenset({"status"})
_STATUSES: Final = frozenset({"status", "phone_number", "reference"})
_NUMBERS: Final = frozenset({"send", "status", "stat_by_month", "balance"})


def _as_code(value: object) -> object:
    """A code may be posted as a number; 000 only as text."""
    return str(value) if isinstance(value, int) else value


_Code = Annotated[str, BeforeValidator(_as_code), Field(pattern=r"^(000|[1-9][0-9]{0,4})$")]
_Count = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Fault(BaseModel):
    """What every fault has. Its own random generator is made of the seed and its id, so runs replay."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # The endpoints it can show at. None: every one. Empty: all of them at once, posted for `*` alone.
    concerns: ClassVar[frozenset[str] | None] = None

    endpoint: Endpoint | Literal["*"]
    kind: str
    times: _Count | None = None
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    skip: Annotated[int, Field(ge=0)] = 0

    _id: int = PrivateAttr(default=0)
    _seen: int = PrivateAttr(default=0)
    _hits: int = PrivateAttr(default=0)
    _dice: random.Random = PrivateAttr(default_factory=random.Random)

    @model_validator(mode="after")
    def _shows_there(self) -> "Fault":
        if self.endpoint != "*" and self.concerns is not None and self.endpoint not in self.concerns:
            takes = ", ".join(sorted(self.concerns)) or "* alone"
            raise ValueError(f"{self.kind} does not show at {self.endpoint}, it takes {takes}")
        return self

    def open(self, fault_id: int, seed: int) -> None:
        """Give it its id, and its own random generator."""
        self._id = fault_id
        self._dice = random.Random(f"{seed}:{fault_id}")  # noqa: S311  seeded so that a run can be replayed

    def strikes(self, endpoint: str) -> bool:
        """Whether it hits this request; counts it if so."""
        if self.endpoint not in (endpoint, "*") or (self.times is not None and self._hits >= self.times):
            return False
        if self.endpoint == "*" and self.concerns and endpoint not in self.concerns:
            return False
        self._seen += 1
        if self._seen <= self.skip or (self.probability < 1 and self._dice.random() >= self.probability):
            return False
        self._hits += 1
        return True

    def as_json(self) -> dict[str, object]:
        """The fault as it was posted, with its id, how many requests it considered and how many it hit."""
        return {"id": self._id, **self.model_dump(by_alias=True), "seen": self._seen, "hits": self._hits}


class StatusFault(Fault):
    """An HTTP error status, before or after acceptance."""

    kind: Literal["status", "status_after"]
    code: Annotated[int, Field(ge=400, le=599)]
    body: str | None = None
    retry_after: Annotated[int, Field(ge=0)] | str | None = None  # seconds, or an HTTP date


class CutFault(Fault):
    """The connection ends. `refuse` resets it; the others close it properly."""

    kind: Literal["refuse", "cut_before", "cut_after", "cut_half"]


class NonsenseFault(Fault):
    """HTTP 200 with a body that is not an answer."""

    kind: Literal["nonsense", "nonsense_before"]
    body: str | None = None


class HangFault(Fault):
    """No answer for so long (or until the client leaves), then the connection is closed."""

    kind: Literal["hang", "hang_after"]
    seconds: _Seconds


class RedirectFault(Fault):
    """A redirect that asks for the same request again; without `to`, at the same address."""

    kind: Literal["redirect", "redirect_after"]
    status: Literal[307, 308] = 307
    to: str | None = None


class CodeFault(Fault):
    """An error that concerns the whole request: nothing is accepted."""

    kind: Literal["code"]
    code: _Code
    form: ErrorForm | None = None  # None: as the provider itself writes it there


class Code18Fault(Fault):
    """Code 18 for a whole status request that has more than one id, or that contains a chosen id."""

    concerns = _STATUS
    kind: Literal["code18"]
    poison: str | None = None  # an id, or `unknown`: any id whose status is not known


class PhoneCodeFault(Fault):
    """The first `count` numbers of a request are refused with `code`, the others are not touched."""

    concerns = _SEND
    kind: Literal["phone_code"]
    code: _Code
    count: _Count = 1


class OmitFault(Fault):
    """All are accepted, the last `count` recipients are left out of the answer."""

    concerns = _SEND
    kind: Literal["omit"]
    count: _Count = 1


class ClockFault(Fault):
    """The provider's clock is off: for timestamp.php and for the check of every request."""

    concerns = frozenset()
    kind: Literal["clock"]
    offset_seconds: Annotated[float, Field(allow_inf_nan=False)]


class UnknownWordFault(Fault):
    """Every status in the answer is this word."""

    concerns = _STATUSES
    kind: Literal["unknown_word"]
    status_word: str = Field(alias="word")


class ObjectFormFault(Fault):
    """Every status in the answer is an object, and delivered is `deliver`."""

    concerns = _STATUS
    kind: Literal["object_form"]


class MissingIdsFault(Fault):
    """The first `count` ids are left out of the status answer."""

    concerns = _STATUSES
    kind: Literal["missing_ids"]
    count: _Count = 1


class IntCodesFault(Fault):
    """Codes, costs and counts are written as numbers. Ids stay text."""

    concerns = _NUMBERS
    kind: Literal["int_codes"]


class ExtraKeysFault(Fault):
    """Accepted entries of a send answer carry `sender`, `network` and `ported` as well."""

    concerns = _SEND
    kind: Literal["extra_keys"]


class LatencyFault(Fault):
    """The answer comes later; what it says happened at once."""

    kind: Literal["latency"]
    seconds: _Seconds


class DripFault(Fault):
    """The body comes byte by byte and takes `seconds` in all."""

    kind: Literal["drip"]
    seconds: _Seconds


class KeepaliveCutFault(Fault):
    """A good answer; the next request on that connection is carried out, then cut without a byte."""

    kind: Literal["keepalive_cut"]


class LostFault(Fault):
    """A callback that never arrives: not sent, and not tried again."""

    concerns = _CALLBACK
    kind: Literal["lost"]


class DoubledFault(Fault):
    """A callback that comes twice."""

    concerns = _CALLBACK
    kind: Literal["doubled"]


class DelayedFault(Fault):
    """A callback that comes up to `seconds` later, each by a different time, so that their order changes."""

    concerns = _CALLBACK
    kind: Literal["delayed"]
    seconds: _Seconds


Ending = StatusFault | CutFault | NonsenseFault | HangFault | RedirectFault | CodeFault | Code18Fault
Colour = (
    PhoneCodeFault
    | OmitFault
    | ClockFault
    | UnknownWordFault
    | ObjectFormFault
    | MissingIdsFault
    | IntCodesFault
    | ExtraKeysFault
    | LatencyFault
    | DripFault
    | KeepaliveCutFault
    | LostFault
    | DoubledFault
    | DelayedFault
)
AnyFault = Ending | Colour

ENDINGS: Final = (StatusFault, CutFault, NonsenseFault, HangFault, RedirectFault, CodeFault, Code18Fault)
"""Kinds that decide the whole answer; a request draws at most one."""

BEFORE: Final = frozenset(
    {"status", "refuse", "cut_before", "nonsense_before", "hang", "redirect", "code", "code18"}
)
"""Endings with which nothing is accepted."""

_POSTED: TypeAdapter[AnyFault] = TypeAdapter(Annotated[AnyFault, Field(discriminator="kind")])
_F = TypeVar("_F", bound=Fault)


class FaultRefused(ValueError):
    """A posted fault that cannot be read; its text is one sentence."""


class Drawn:
    """The faults that one request drew."""

    __slots__ = ("_colours", "ending")

    def __init__(self, ending: Ending | None = None, colours: dict[type[Fault], Fault] | None = None) -> None:
        self.ending = ending
        self._colours = colours or {}

    def get(self, kind: type[_F]) -> _F | None:
        """The drawn fault of that kind (a kind that adds up)."""
        fault = self._colours.get(kind)
        return fault if isinstance(fault, kind) else None


NOTHING: Final = Drawn()


def anything(_fault: Code18Fault) -> bool:
    """The condition of endpoints that have none: every fault concerns the request."""
    return True


class Faults:
    """The posted faults, in order."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._next_id = 1
        self._faults: dict[int, AnyFault] = {}

    def add(self, body: bytes) -> int:
        """Post one fault from JSON; give its id. Raises FaultRefused."""
        try:
            fault = _POSTED.validate_json(body)
        except ValidationError as error:
            raise FaultRefused(_sentence(error)) from None
        fault_id, self._next_id = self._next_id, self._next_id + 1
        fault.open(fault_id, self._seed)
        self._faults[fault_id] = fault
        return fault_id

    def listed(self) -> list[dict[str, object]]:
        """Every fault, in order, with how often it was hit."""
        return [fault.as_json() for fault in self._faults.values()]

    def remove(self, fault_id: int) -> bool:
        """Take one away; whether there was one."""
        return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Take all away. Ids go on counting."""
        self._faults.clear()

    def draw(self, endpoint: Endpoint, poisons: Callable[[Code18Fault], bool] = anything) -> Drawn:
        """What one request at `endpoint` gets. `poisons` says whether a code18 fault concerns it."""
        if not self._faults:
            return NOTHING
        ending: Ending | None = None
        for fault in self._faults.values():
            if not isinstance(fault, ENDINGS) or (isinstance(fault, Code18Fault) and not poisons(fault)):
                continue
            if fault.strikes(endpoint):
                ending = fault
                break
        in_the_bud = ending is not None and ending.kind in BEFORE
        colours: dict[type[Fault], Fault] = {}
        for fault in self._faults.values():
            kind = type(fault)
            if isinstance(fault, ENDINGS) or kind in colours or (in_the_bud and kind is not LatencyFault):
                continue
            if fault.strikes(endpoint):
                colours[kind] = fault
        return Drawn(ending, colours)


def _sentence(error: ValidationError) -> str:
    """The first complaint, as one sentence without what was posted."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    # The first part is the kind itself wherever the kind could be read.
    where = ".".join(str(part) for part in first["loc"][1:]) or "fault"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"
