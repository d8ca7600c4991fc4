"""The request that hands messages over: its template, where things are in its answer, what the words mean."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, model_validator

from campaigns.providers.account import Seconds
from campaigns.providers.http import templates
from campaigns.providers.http.meanings import Means
from campaigns.providers.http.pointers import Pointer, read_pointer
from campaigns.providers.http.tables import Request, Status, Table, Where, Words


def _pointer(given: object) -> Pointer:
    if isinstance(given, Pointer):
        return given
    if not isinstance(given, str):
        raise ValueError('must be a JSON pointer that begins with /, such as "/messages"')
    return read_pointer(given)


class SendAnswer(Table):
    """Where things are in the answer to a send."""

    id: Where
    """Where the provider's id of the message is: without one nothing counts as taken."""
    messages: Where = ()
    """The list of entries; other pointers then begin at an entry."""
    ref: Where = ()
    """Our reference, repeated: by it an entry finds its message."""
    phone: Where = ()
    """The number: by it an entry finds its message where our reference is not repeated."""
    word: Where = ()
    """The word or code that says taken or not."""
    reason: Where = ()
    """Why not, in words."""
    cost: Where = ()
    """What the message costs."""
    currency: Where = ()
    """In which currency (ISO 4217)."""
    segments: Where = ()
    """How many segments it has."""


class SendWords(Table):
    """What the words at `answer.word` mean, in either case. A word that is not here is in doubt."""

    taken: Words = ()
    refused: Words = ()
    opted_out: Words = ()
    failed: Words = ()
    later: Words = ()
    not_sent: Words = ()
    account: Words = ()
    sender: Words = ()
    text: Words = ()
    in_doubt: Words = ()

    _by_word: dict[str, Means] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _each_once(self) -> "SendWords":
        for means in Means:
            for word in getattr(self, means):
                if self._by_word.setdefault(word.casefold(), means) is not means:
                    raise ValueError(f"names the word {word!r} under two meanings: leave one")
        return self

    def get(self, word: str | None) -> Means | None:
        """What a word means; None where it is not known."""
        return None if word is None else self._by_word.get(word.casefold())


class SendHttp(Table):
    """What an HTTP status means where no word says it. Not named: 2xx is taken, 401, 403, 404, 405 and 410
    the account, 429 later, and all others are in doubt.
    """

    taken: tuple[Annotated[int, Field(ge=200, le=299)], ...] = ()
    refused: tuple[Status, ...] = ()
    failed: tuple[Status, ...] = ()
    later: tuple[Status, ...] = ()
    not_sent: tuple[Status, ...] = ()
    account: tuple[Status, ...] = ()
    in_doubt: tuple[Status, ...] = ()

    _by_status: dict[int, Means] = PrivateAttr(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        return {key: tuple(each) if isinstance(each, list) else each for key, each in given.items()}

    @model_validator(mode="after")
    def _each_once(self) -> "SendHttp":
        for name in type(self).model_fields:
            for status in getattr(self, name):
                if name != "taken" and 200 <= status <= 299:
                    raise ValueError(
                        f"has {status} at {name}: a success may only be at taken, words say more"
                    )
                if self._by_status.setdefault(status, Means(name)) != name:
                    raise ValueError(f"names {status} under two meanings: leave one")
        return self

    def get(self, status: int) -> Means | None:
        """What a status means; None where the mapping does not say."""
        if not self.taken and 200 <= status <= 299:
            return Means.TAKEN
        return self._by_status.get(status)


class Encoding(Table):
    """What {encoding} is."""

    gsm: str
    """Where the GSM alphabet holds the text."""
    unicode: str
    """Where it does not."""


class Validity(Table):
    """Bounds of what {validity_…} may be."""

    least_seconds: Seconds = 1
    """No validity below this is asked for."""
    most_seconds: Seconds = 7 * 86_400
    """Nor above this."""


class Send(Request):
    """The request that hands messages over, and how its answer is read."""

    names: ClassVar[tuple[str, ...]] = templates.MESSAGE

    method: Literal["GET", "POST", "PUT"] = "POST"
    """How it is sent."""
    recipients_per_request: int = Field(default=1, ge=1, le=1000)
    """How many messages one request takes."""
    each: Annotated[Pointer, BeforeValidator(_pointer)] | None = None
    """The list in json whose one element is repeated for each message."""
    separator: str = ","
    """What separates numbers in {phones} and {msisdns}."""
    encoding: Encoding | None = None
    """What {encoding} is."""
    validity: Validity = Validity()
    """Bounds of {validity_…}."""
    answer: SendAnswer
    """Where the id, the word and the cost are in the answer."""
    words: SendWords = SendWords()
    """What the words mean."""
    http: SendHttp = SendHttp()
    """What HTTP statuses mean."""

    @model_validator(mode="after")
    def _is_a_send(self) -> "Send":
        if not self.uses("phone", "msisdn", *templates.OF_SEVERAL):
            raise ValueError(
                "names no recipient: put {phone} (with +) or {msisdn} (without) where it belongs"
            )
        if not self.uses("text"):
            raise ValueError("names no text: put {text} where it belongs")
        if self.uses("encoding") and self.encoding is None:
            raise ValueError("names {encoding} and does not say what it is: set encoding.gsm and .unicode")
        if self.answer.word and not self.words.taken:
            raise ValueError("says nothing for taken: list the words for it in words.taken")
        if not self.answer.word and self.words != SendWords():
            raise ValueError("lists words and does not say where they are: set answer.word")
        if self.recipients_per_request == 1 and (self.each or self.uses(*templates.OF_SEVERAL)):
            raise ValueError("has a list of recipients: set recipients_per_request above 1")
        if self.recipients_per_request > 1:
            self._takes_several()
        return self

    def _takes_several(self) -> None:
        if not self.answer.messages or not (self.answer.ref or self.answer.phone):
            raise ValueError(
                "takes several recipients: set answer.messages, and answer.ref or answer.phone by which an "
                "entry finds its message"
            )
        if not self.each and not self.uses(*templates.OF_SEVERAL):
            raise ValueError("takes several recipients: set each, or name {phones} or {msisdns}")
        if self.each and self.document is None:
            raise ValueError("has each and no json: each leads to a list in json")
        if self.each and self.uses(*templates.OF_SEVERAL):
            raise ValueError("has each and {phones} or {msisdns}: leave one")
        wrong = [name for name in self.shared() if name in templates.OF_ONE]
        if wrong:
            raise ValueError(f"names {{{wrong[0]}}}, which is of one message, where a request holds several")

    def shared(self) -> set[str]:
        """The names that are the same for all messages of a request."""
        if self.each is None:
            return {name for _, name in self.used()}
        around, _ = templates.parts_of(self.document, self.each.parts)
        besides = [(key, name) for key, name in self.used() if not key.startswith("json")]
        return {name for _, name in [*besides, *templates.names_in(around, "json")]}
