"""What leaves by the log: every record in one form, and no phone, text or secret with it."""

import asyncio
import io
import json
import logging
import re
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import asyncpg
import pytest
import structlog
from celery import Celery, signals
from celery.app.log import Logging
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.domain.errors import NotFound
from worker.logs import logger, masking
from worker.logs.logger import configure_logs, get_logger

Format = Literal["json", "console"]
FORMATS: tuple[Format, ...] = ("json", "console")


@dataclass
class Holder:
    held: Any


def as_imported() -> None:
    """As it is once a module of ours has its logger, and before `configure_logs`."""
    structlog.reset_defaults()
    get_logger("any")


@contextmanager
def logging_to(
    stream: io.StringIO,
    form: Literal["json", "console", "auto"] = "json",
    level: str = "info",
    *,
    alone: bool = True,
    **more: Any,
) -> Iterator[None]:
    """`configure_logs`, and everything as it was afterwards. Alone: without pytest's own handlers, which
    format each record themselves.
    """
    root = logging.getLogger()
    names = [*logger._QUIET, *logger._QUIET_BUT_FOR_DEBUGGING]
    before = root.handlers[:], root.level, [logging.getLogger(name).level for name in names]
    if alone:
        root.handlers.clear()
    with warnings.catch_warnings():
        configure_logs(form, level, stream=stream, **more)
        try:
            yield
        finally:
            logging.captureWarnings(capture=False)
            root.handlers[:], root.level = before[0], before[1]
            for name, number in zip(names, before[2], strict=True):
                logging.getLogger(name).setLevel(number)
            masking._secret_forms.clear()
            structlog.contextvars.clear_contextvars()
            as_imported()


def written(act: Callable[[structlog.stdlib.BoundLogger], object], **how: Any) -> dict[str, Any]:
    """The one JSON line that `act` makes the log write."""
    stream = io.StringIO()
    with logging_to(stream, **how):
        act(get_logger("campaigns.sending"))
    (line,) = stream.getvalue().splitlines()
    result: dict[str, Any] = json.loads(line)
    return result


def value(shown: object) -> object:
    """What becomes of one value under a name that says nothing."""
    return written(lambda log: log.info("event", x=shown))["x"]


# --- form --------------------------------------------------------------------------------------------


def test_a_line_is_one_json_object_with_its_moment_first() -> None:
    line = written(lambda log: log.info("batch handed over", batch_id="b-1", accepted_count=100))
    assert list(line) == ["timestamp", "level", "logger", "event", "batch_id", "accepted_count"]
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert moment.utcoffset() is not None
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert line == {
        "level": "info",
        "logger": "campaigns.sending",
        "event": "batch handed over",
        "batch_id": "b-1",
        "accepted_count": 100,
    }


def test_the_standard_library_goes_the_same_way() -> None:
    line = written(lambda _: logging.getLogger("alembic.runtime").warning("step %d of %s", 2, "three"))
    assert list(line) == ["timestamp", "level", "logger", "event"]
    assert (line["level"], line["logger"], line["event"]) == ("warning", "alembic.runtime", "step 2 of three")


def test_what_a_caller_bound_is_on_every_line_of_its_context() -> None:
    def act(_: object) -> None:
        with structlog.contextvars.bound_contextvars(campaign_id=1_234_567_890, account="main", text="x y"):
            logging.getLogger("asyncpg").warning("slow")

    line = written(act)
    assert (line["campaign_id"], line["account"], line["text"]) == (1_234_567_890, "main", "[hidden]")


def test_on_a_terminal_it_is_for_people_and_elsewhere_for_machines() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, form, is_json, is_coloured in (
        (io.StringIO(), "auto", True, False),
        (Terminal(), "auto", False, True),
        (Terminal(), "json", True, False),
        (io.StringIO(), "console", False, False),
    ):
        with logging_to(stream, form):  # type: ignore[arg-type]  # the table holds plain strings
            get_logger("x").info("hello", count=1)
        text = stream.getvalue()
        assert text.startswith("{") is is_json
        assert ("\x1b[" in text) is is_coloured
        assert "hello" in text


def test_configuring_again_changes_and_repeats_nothing() -> None:
    first, second = io.StringIO(), io.StringIO()
    with logging_to(first, secrets=["first-secret"]):
        log = get_logger("x")
        log.info("one")
        for _ in range(3):
            configure_logs("json", "warning", secrets=["other-secret"], stream=second)
        log.info("below the level")
        log.warning("two first-secret other-secret")
        logging.getLogger("y").warning("three")
    assert first.getvalue().count("\n") == 1
    events = [json.loads(line)["event"] for line in second.getvalue().splitlines()]
    assert events == ["two [hidden] [hidden]", "three"]


def test_a_handler_that_would_print_unprotected_is_taken_down_and_others_stay() -> None:
    root = logging.getLogger()
    printing, keeping = logging.StreamHandler(sys.stderr), logging.StreamHandler(io.StringIO())
    before = root.handlers[:]
    root.handlers[:] = [printing, keeping]
    try:
        with logging_to(io.StringIO(), alone=False):
            assert printing not in root.handlers
            assert keeping in root.handlers
            assert len(root.handlers) == 2
    finally:
        root.handlers[:] = before


def test_a_level_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="must be debug, info, warning, error or critical"):
        configure_logs("json", "loud")


@pytest.mark.parametrize(
    ("level", "quiet", "but_for_debugging"),
    [("debug", "WARNING", "DEBUG"), ("info", "WARNING", "WARNING"), ("error", "ERROR", "ERROR")],
)
def test_noise_is_turned_down(level: str, quiet: str, but_for_debugging: str) -> None:
    with logging_to(io.StringIO(), level=level):
        for names, expected in ((logger._QUIET, quiet), (logger._QUIET_BUT_FOR_DEBUGGING, but_for_debugging)):
            for name in names:
                assert logging.getLevelName(logging.getLogger(name).getEffectiveLevel()) == expected


def test_celery_keeps_its_hands_off_and_its_failures_come_out_clean() -> None:
    stream = io.StringIO()

    def connected(**_: object) -> None:
        configure_logs("json", "info", stream=stream)

    app = Celery("test", broker="memory://", set_as_current=False)

    @app.task(name="fail")
    def fail() -> None:
        raise ValueError("Hello John")

    was_set_up = Logging._setup  # type: ignore[attr-defined]  # the stubs leave it out
    signals.setup_logging.connect(connected)
    try:
        with logging_to(stream):
            Logging._setup = False  # type: ignore[attr-defined]
            app.log.setup(loglevel=logging.INFO)
            assert [type(handler) for handler in logging.getLogger().handlers].count(logger._Handler) == 1
            fail.apply()
    finally:
        signals.setup_logging.disconnect(connected)
        Logging._setup = was_set_up  # type: ignore[attr-defined]
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert line["logger"] == "celery.app.trace"
    assert re.fullmatch(r"Task fail\[[0-9a-f-]{36}\] raised unexpected: ValueError", line["event"])
    assert line["exception"].endswith("ValueError: [hidden]")
    assert 'raise ValueError("Hello John")' in line["exception"]  # the line of code, which is no data


# --- what is hidden, by name -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["phone", "phones", "msisdn", "recipient", "from_phone", "phoneNumber"])
def test_a_phone_keeps_its_last_three_digits(name: str) -> None:
    given = {name: ["+37060012345", 37060012346, 12345, {"to": "nobody"}, None]}
    assert written(lambda log: log.info("event", **given))[name] == [
        "+********345",
        "********346",
        "***",
        {"to": "***"},
        None,
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("text", "message_text", "api_key", "password", "secret", "token", "signature", "authorization"),
        *("texts", "apiKey", "X-Api-Key", "messageText", "bearer_token", "Authorization", "body"),
    ],
)
def test_what_is_hidden_is_hidden_whole(name: str) -> None:
    for hidden in ("Hello", b"Hello", 12, ["Hello"], {"a": "Hello"}, ValueError("Hello")):
        given: dict[str, Any] = {name: hidden, "x": [{name: hidden}]}
        line = written(partial(structlog.stdlib.BoundLogger.info, event="event", **given))
        assert line[name] == "[hidden]"
        assert line["x"] == [{name: "[hidden]"}]
    assert written(lambda log: log.info("event", **{name: None}))[name] is None


def test_a_measure_of_something_hidden_is_shown() -> None:
    given = {"text_length": 160, "recipient_count": 1_000_000, "body_bytes": 12_345_678, "wait_seconds": 0.5}
    line = written(lambda log: log.info("event", **given, text_length_of="Hello"))
    assert given.items() <= line.items()
    assert line["text_length_of"] == "[hidden]"


def test_ids_survive_and_phones_in_their_place_do_not() -> None:
    batch_id = uuid.UUID("12345678-1234-4234-8234-123456789012")
    line = written(
        lambda log: log.info(
            f"batch {batch_id} due 2026-11-21T19:53:00.123456Z, 2026-11-21 19:53:00+02:00 or 2026-11-21",
            campaign_id=12_345_678,
            batch_id=batch_id,
            batch_ids=[12_345_678],
            provider_message_id="4091297100348873330001",
            lease=12_345_678,
            pid=4_194_304,
            message_id="+37060012345",
            task_id="two words 37060012345",
            other=str(batch_id),
            due_at=datetime(2026, 11, 21, 19, 53, tzinfo=UTC),
        )
    )
    assert line["event"] == (
        f"batch {batch_id} due 2026-11-21T19:53:00.123456Z, 2026-11-21 19:53:00+02:00 or 2026-11-21"
    )
    assert (line["campaign_id"], line["batch_id"], line["lease"]) == (12_345_678, str(batch_id), 12_345_678)
    assert (line["batch_ids"], line["pid"]) == ([12_345_678], 4_194_304)
    assert (line["provider_message_id"], line["other"]) == ("4091297100348873330001", str(batch_id))
    assert line["due_at"] == "2026-11-21 19:53:00+00:00"
    assert (line["message_id"], line["task_id"]) == ("+********345", "two words ********345")


# --- what is hidden, by its look ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("to +37060012345.", "to +********345."),
        ("to 370 600 12345!", "to ********345!"),
        ("to +370-600-12345", "to +********345"),
        ("to (370) 600 12\u00a0345", "to (********345"),
        ("id123456 v1.2.3 10.0.0.1:5432", "id123456 v1.2.3 10.0.0.1:5432"),
        ("0012-34-56", "*****456"),
        ("+2026-11-21", "+*****121"),
        (37060012345, "********345"),
        (Decimal("37060012345"), "********345"),
        (1_234_567.5, "****567.5"),
        (123_456, 123_456),
        (float("inf"), "inf"),
        (Decimal("0.0144"), "0.0144"),
        (
            "https://shop:pw@lightsms.test/external/get/send.php?x=1#y",
            "https://***@lightsms.test/external/get/send.php",
        ),
        ("redis://:p?w@cache/0", "redis://[hidden]"),
        ("GET /external/get/send.php?login=x&y=Hello HTTP/1.1", "GET /external/get/send.php HTTP/1.1"),
        (
            "told 'https://sms.shop.test/x/callbacks/main/0a-1-2.Mac_-x?id=1' so",
            "told 'https://sms.shop.test/x/callbacks/main/[hidden] so",
        ),
        ("GET /callbacks/main/0a-1-2.Mac_-x HTTP/1.1", "GET /callbacks/main/[hidden] HTTP/1.1"),
        ("{'text': 'Hello', 'n': 1}", "{'text': [hidden], 'n': 1}"),
        ('{"api_key": "a\\"b", "n": 1}', '{"api_key": [hidden], "n": 1}'),
        ("password=a b c", "password=[hidden]"),
        ("context: free, texture=1", "context: free, texture=1"),
        ("ValueError('Hello')", "ValueError([hidden]"),
        ("lost: builtins.KeyError: Hello", "lost: builtins.KeyError: [hidden]"),
        ("ConnectionResetError(104, 'reset')", "ConnectionResetError(104, 'reset')"),
        ("Traceback (most recent call last):\n  x\nFoo: Hello", "Traceback [hidden]"),
        ("a\x1b[31mb\x00", "a\\x1b[31mb\\x00"),
        (b"Hello +37060012345", "b'Hello +********345'"),
        (Path("/data/37060012345.csv"), "/data/********345.csv"),
        (
            frozenset(["37060012345"]),
            ["********345"],
        ),
        ({"+37060012345": 1, "+37060099345": 2}, {"+********345": 1, "+********345'": 2}),
        (
            Holder({"phone": "+37060012345", "text": "Hello"}),
            "Holder(held={'phone': '+********345', 'text': [hidden]})",
        ),
    ],
)
def test_a_value_is_shown_as_far_as_it_is_safe(given: object, shown: object) -> None:
    assert value(given) == shown


def test_large_and_endless_things_are_cut() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "[too deep]" in str(value(endless))
    assert value(list(range(150))) == [*range(100), "… 150 in all"]
    assert value(dict.fromkeys(map(str, range(150)), 1))["…"] == "150 in all"  # type: ignore[index]
    assert value("x" * 20_000) == "x" * 10_000 + "… [cut]"


def test_the_time_a_line_takes_grows_with_its_length_alone() -> None:
    def seconds(text: str) -> float:
        loop_time = asyncio.new_event_loop()
        try:
            start = loop_time.time()
            masking._scrub(text)
            return loop_time.time() - start
        finally:
            loop_time.close()

    for piece in (
        *("a", "a.", "a_", "text", "text ", "text=", "?a", "1 ", "-1", "https", "x://", "x://@"),
        *("'", "(", "aError", "\\", "2026-11-21 ", "exception="),
    ):
        # Quadratic, a hundred thousand characters would take minutes.
        assert seconds(piece * (100_000 // len(piece))) < 5, piece


# --- what is hidden, by its origin -------------------------------------------------------------------


def failed(error: BaseException) -> str:
    """The exception as it is written."""

    def act(log: structlog.stdlib.BoundLogger) -> None:
        try:
            raise error
        except BaseException:
            log.exception("failed")

    text = written(act)["exception"]
    assert isinstance(text, str)
    return text


def test_an_exception_is_shown_with_its_lines_and_without_its_variables() -> None:
    message_text = "Hello " + "John"
    text = failed(ValueError(message_text))
    assert text.startswith("Traceback (most recent call last):\n  File ")
    assert "    raise error\n" in text
    assert text.endswith("\nValueError: [hidden]")


def test_a_number_in_a_line_of_code_is_masked_too() -> None:
    def act(log: structlog.stdlib.BoundLogger) -> None:
        try:
            raise OSError(int("37060012345"))
        except OSError:
            log.exception("failed")

    text = written(act)["exception"]
    assert 'raise OSError(int("********345"))' in text
    assert "37060012345" not in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotFound("No such account."), "campaigns.domain.errors.NotFound: No such account."),
        (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        (TypeError("no + for 'int' and 'str'"), "TypeError: no + for 'int' and 'str'"),
        (TypeError("no 'Hello John' here"), "TypeError: no [hidden] here"),
        (OSError("https://u:pw@h/x?text=Hello"), "OSError: https://***@h/x"),
        (KeyError("Hello"), "KeyError: [hidden]"),
        (ValueError(), "ValueError"),
        (RuntimeError("Hello"), "RuntimeError: [hidden]"),
    ],
)
def test_words_are_shown_where_they_are_nobody_else_s(error: Exception, words: str) -> None:
    assert failed(error).endswith(f"\n{words}")
    assert value(error) == words


def test_postgresql_s_detail_repeats_the_row_and_is_left_out() -> None:
    error = asyncpg.UniqueViolationError('duplicate key violates "message_pkey"')
    error.detail = "Failing row contains (1, +37060012345, Hello)."
    assert failed(error).endswith('UniqueViolationError: duplicate key violates "message_pkey"')


def test_causes_groups_and_rings_of_causes_are_told() -> None:
    first, second = OSError("first"), OSError("second")
    first.__context__, second.__cause__ = second, first
    text = failed(second)
    assert text.count("OSError: first") == 1
    assert text.index("OSError: first") < text.index("Which directly caused:") < text.index("OSError: second")
    outer = OSError("outer")
    outer.__context__ = OSError("inner")
    assert "OSError: inner\n\nWhile that was handled:\n\n" in failed(outer)
    group = failed(ExceptionGroup("Hello", [OSError("part one"), ValueError("Hello")]))
    assert "ExceptionGroup: [hidden]\n  | OSError: part one\n  | ValueError: [hidden]" in group
    hidden = OSError("shown")
    hidden.__context__, hidden.__suppress_context__ = OSError("suppressed"), True
    assert "suppressed" not in failed(hidden)


def test_warnings_go_the_same_way() -> None:
    def act(_: object) -> None:
        # As the interpreter itself would, past the filter that makes warnings errors here.
        warnings.showwarning("coroutine 'x' was never awaited", RuntimeWarning, "file.py", 3)

    line = written(act)
    assert (line["logger"], line["level"]) == ("py.warnings", "warning")
    assert line["event"].startswith("file.py:3: RuntimeWarning: coroutine 'x' was never awaited")


async def test_asyncio_s_own_complaints_come_out_clean() -> None:
    stream = io.StringIO()
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    future.set_exception(NotFound("kept"))
    other: asyncio.Future[None] = loop.create_future()
    other.set_exception(KeyError("Hello"))
    with logging_to(stream):
        for one in (future, other):
            context = {"message": "never retrieved", "exception": one.exception(), "future": one}
            loop.default_exception_handler(context)
    assert len(stream.getvalue().splitlines()) == 2
    assert "Hello" not in stream.getvalue()
    assert "NotFound: kept" in stream.getvalue()


# --- a log line never raises -------------------------------------------------------------------------


class Unwritable:
    def __repr__(self) -> str:
        raise RuntimeError("Hello +37060012345")


class Changing(dict[str, int]):
    """As a dict that another thread changes meanwhile."""

    def items(self) -> Any:
        raise RuntimeError("dictionary changed size during iteration")


def test_what_cannot_be_written_is_said_so() -> None:
    assert value(Unwritable()) == "<Unwritable that cannot be written: RuntimeError>"
    assert value([Changing(a=1)]) == ["<Changing that cannot be written: RuntimeError>"]
    assert value(10**5000) == "<int that cannot be written: ValueError>"
    assert value("a\udc80b") == "a\\udc80b"
    wrong = "%d of %s"
    for act in (
        lambda log: log.info(wrong, "Hello"),
        lambda _: logging.getLogger("x").info(wrong, "Hello"),
        lambda _: logging.getLogger("x").info(wrong, Unwritable(), "Hello"),
    ):
        line = written(act)
        assert line["event"].startswith("%d of %s (its arguments do not fit: ")
    line = written(lambda _: logging.getLogger("x").info(OSError("gone")))
    assert line["event"] == "OSError: gone"
    line = written(lambda _: logging.getLogger("x").error({"text": "Hello"}))
    assert line["event"] == '{"text": [hidden]}'
    assert written(lambda log: log.info("%(text)s %(n)d", {"text": "Hello", "n": 1}))["event"] == "[hidden] 1"


def test_a_stream_that_fails_loses_the_line_and_shows_nothing_of_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError("no space left")

    with logging_to(Full()):
        get_logger("x").info("Hello", phone="+37060012345")
        logging.getLogger("y").warning("Hello %s", "+37060012345")
    assert capsys.readouterr().err == "A line of the log was lost: OSError\n" * 2


def test_before_it_is_configured_a_logger_is_protected_already(caplog: pytest.LogCaptureFixture) -> None:
    structlog.reset_defaults()
    try:
        get_logger("early").warning("sent to %s", "+37060012345", text="Hello")
    finally:
        as_imported()
    assert "+********345" in caplog.text
    assert "Hello" not in caplog.text
    assert "37060012345" not in caplog.text


# --- the law -----------------------------------------------------------------------------------------

Write = Callable[[structlog.stdlib.BoundLogger, Any], object]
STANDARD = logging.getLogger("some.package")


def raised(error: BaseException, log: Callable[[], object]) -> None:
    try:
        raise error
    except BaseException:
        log()


def noted(error: BaseException, note: str) -> BaseException:
    error.add_note(note)
    return error


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
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


@settings(max_examples=400, deadline=None)
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


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from(LABELLED + SILENT))
def test_no_text_comes_out_that_is_named_so_or_that_an_exception_carries(text: str, write: Write) -> None:
    for form in FORMATS:
        found = lines(write, text, form)
        assert "MARK" not in found
        assert "KRAM" not in found


SECRETS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=2, max_size=20
).map(lambda text: f"S~{text}~T")


@settings(max_examples=300, deadline=None)
@given(SECRETS, AROUND, AROUND, st.sampled_from(ANYWHERE + LABELLED + SILENT + SPEAKING))
def test_no_known_secret_comes_out(secret: str, before: str, after: str, write: Write) -> None:
    for form in FORMATS:
        found = lines(write, f"{before}{secret}{after}", form, secrets=[secret])
        assert "S~" not in found
        assert "~T" not in found
