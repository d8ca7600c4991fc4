"""No phone, no text and no secret comes out of the log, however it got in."""

import io
import json
import logging
import re
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import quote

import asyncpg
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.domain.errors import NotFound
from tests.unit.logs.writing import Holder, caused, logging_to, raised
from worker.logs.logger import get_logger

Format = Literal["json", "console"]
FORMATS: tuple[Format, ...] = ("json", "console")
Write = Callable[[structlog.stdlib.BoundLogger, Any], object]
STANDARD = logging.getLogger("some.package")


def noted(error: BaseException, note: str) -> BaseException:
    error.add_note(note)
    return error


ANYWHERE: list[Write] = [
    lambda log, it: log.info("event", x=it),
    lambda log, it: log.info("event", x={"a": [{"b": (it, {it})}]}),
    lambda log, it: log.info("event", x={it: 1}),
    lambda log, it: log.info("event", x=Holder(it)),
    lambda log, it: log.info("event", x=[Holder([it])]),
    lambda log, it: log.info("event", x=str(it).encode()),
    lambda log, it: log.info("event", x=f"a{it}b"),
    lambda log, it: log.info(f"sent {it} now"),
    lambda log, it: log.info(it),
    lambda log, it: log.info("sent %s now", it),
    lambda log, it: log.info("sent %(a)r now", {"a": it}),
    lambda log, it: log.bind(x=it).info("event"),
    lambda log, it: structlog.contextvars.bind_contextvars(x=it) and log.info("event"),
    lambda _, it: STANDARD.info("sent %s now", it),
    lambda _, it: STANDARD.info("sent %r now", it),
    lambda _, it: STANDARD.info("sent %s %d now", it, 5),
    lambda _, it: STANDARD.info("sent %d now", it, it),
    lambda _, it: STANDARD.info("sent %s now", [it, {"a": it}]),
    lambda _, it: STANDARD.info("sent %(a)s now", {"a": it}),
    lambda _, it: STANDARD.info("sent %s now", Holder(it)),
    lambda _, it: STANDARD.info(f"sent {it} now"),
    lambda _, it: STANDARD.info(it),
    lambda _, it: STANDARD.info("event", extra={"held": it}),
]


def by_exception(make: Callable[[Any], BaseException]) -> list[Write]:
    return [
        lambda log, it: raised(make(it), lambda: log.exception("failed")),
        lambda log, it: log.error("failed", exc_info=make(it)),
        lambda log, it: log.error("failed", error=make(it), errors=[make(it)]),
        lambda log, it: log.error(make(it)),
        lambda log, it: log.error("failed: %s", make(it)),
        lambda log, it: log.error("failed: %r", make(it)),
        lambda log, it: log.error("failed", exc_info=noted(make(it), str(it))),
        lambda log, it: log.error("failed", exc_info=caused(OSError("x"), make(it))),
        lambda log, it: log.error("failed", exc_info=BaseExceptionGroup("x", [make(it)])),
        lambda _, it: raised(make(it), lambda: STANDARD.exception("failed")),
        lambda _, it: STANDARD.error("failed: %s", make(it)),
        lambda _, it: STANDARD.error("failed: %r", [make(it)]),
        lambda _, it: STANDARD.error(make(it)),
        lambda _, it: STANDARD.error(f"future: <Task finished exception={make(it)!r}>"),
    ]


SILENT_KINDS = [ValueError, KeyError, RuntimeError, LookupError, AssertionError, Exception, StopIteration]
SILENT = [write for kind in SILENT_KINDS for write in by_exception(kind)]
SPEAKING = [
    write
    for kind in (OSError, TypeError, AttributeError, NotFound, asyncpg.PostgresError)
    for write in by_exception(kind)
]
LABELLED: list[Write] = [
    lambda log, it: log.info("event", text=it),
    lambda log, it: log.info("event", message_text=[it]),
    lambda log, it: log.info("event", x={"api_key": {"a": it}}),
    lambda log, it: log.info("event", x=[{"Authorization": (it,)}]),
    lambda log, it: log.info("event", x=str({"text": it, "n": 1})),
    lambda log, it: log.info("event", x=repr([{"signature": it}])),
    lambda log, it: log.info("event", x=repr(repr({"signature": it}))),
    lambda log, it: log.info("event", x=json.dumps({"message_text": it})),
    lambda log, it: log.info("event", x=f"password={it}"),
    lambda log, it: log.info("event", x=f"Authorization: Bearer {it}"),
    lambda log, it: log.info("event", x=f"https://u@h/send?a=1&text={it}"),
    lambda log, it: log.info("event", x=f"https://h/send?say={quote(it)}&b=1"),
    lambda log, it: log.info("event", x=f"https://h/send#{quote(it)}"),
    lambda log, it: log.info("event", x=f"postgresql://u:{quote(it, safe='')}@h/x"),
    lambda log, it: log.info("GET /send.php?say=%s HTTP/1.1", quote(it)),
    lambda _, it: STANDARD.info("sent text=%s", it),
    lambda _, it: STANDARD.info("sent %(text)s", {"text": it}),
    lambda _, it: STANDARD.info("sent %s", {"secret": it}),
    lambda _, it: STANDARD.info("sent %s", [{"token": it}]),
    lambda _, it: raised(OSError(str({"text": it})), lambda: STANDARD.exception("failed")),
    lambda log, it: log.error("failed", exc_info=OSError(f"https://h/send?say={quote(it)}")),
]


def lines(write: Write, it: Any, form: Format, **more: Any) -> str:
    """Everything one call makes the log write, as it is written and as it reads."""
    stream = io.StringIO()
    with logging_to(stream, form, "debug", **more):
        write(get_logger("campaigns.sending"), it)
    text = stream.getvalue()
    assert text, "nothing was written"
    if form == "json":
        for line in text.splitlines():
            text += json.dumps(json.loads(line), ensure_ascii=False)
    return text


PHONES = st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True)
FORMS: list[Callable[[str], Any]] = [
    lambda digits: f"+{digits}",
    lambda digits: digits,
    int,
    lambda digits: f"+{digits[:3]} {digits[3:6]} {digits[6:]}",
    lambda digits: f"+{digits[:3]}-{digits[3:5]}-{digits[5:]}",
    lambda digits: f"+{digits[0]} ({digits[1:4]}) {digits[4:6]}\u00a0{digits[6:]}",
    lambda digits: quote(f"+{digits[:3]} {digits[3:6]}\u00a0{digits[6:]}"),
    " ".join,
]
AROUND = st.text(max_size=8)


@settings(max_examples=400)
@given(PHONES, st.sampled_from(FORMS), AROUND, AROUND, st.sampled_from(ANYWHERE + SILENT + SPEAKING))
def test_no_phone_comes_out(
    digits: str, spelt: Callable[[str], Any], before: str, after: str, write: Write
) -> None:
    phone = spelt(digits)
    if isinstance(phone, str):
        phone = f"{before}{phone}{after}"
    for form in FORMATS:
        grouping = r"(?<=\d)(?:[ \t\u00a0()\-]|\\+(?:t|xc2|xa0|u00a0)|%20|%C2|%A0){1,3}(?=\d)"
        # The moment of a line is no phone, and its digits side by side may well be somebody's.
        moment = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?"
        text = re.sub(grouping, "", re.sub(moment, "", lines(write, phone, form)))
        assert digits[:-3] not in text
        assert digits[1:-1] not in text


TEXTS = st.text(max_size=30).map(lambda text: f"MARK{text}KRAM")


@settings(max_examples=300)
@given(TEXTS, st.sampled_from(LABELLED + SILENT))
def test_no_text_comes_out_that_is_named_so_or_that_an_exception_carries(text: str, write: Write) -> None:
    for form in FORMATS:
        found = lines(write, text, form)
        assert "MARK" not in found
        assert "KRAM" not in found


SECRETS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=2, max_size=20
).map(lambda text: f"S~{text}~T")


@settings(max_examples=300)
@given(SECRETS, AROUND, AROUND, st.sampled_from(ANYWHERE + LABELLED + SILENT + SPEAKING))
def test_no_known_secret_comes_out(secret: str, before: str, after: str, write: Write) -> None:
    for form in FORMATS:
        found = lines(write, f"{before}{secret}{after}", form, secrets=[secret])
        assert "S~" not in found
        assert "~T" not in found
