"""What is hidden in a log line: by its name, by its look, by where it comes from."""

import asyncio
import io
import uuid
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

from campaigns.domain.errors import NotFound
from tests.unit.logs.writing import Holder, failed, logging_to, value, written
from worker.logs import masking

# --- what is hidden, by name ------------------------------------------------------------------------


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


# --- what is hidden, by its look --------------------------------------------------------------------


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


# --- what is hidden, by its origin ------------------------------------------------------------------


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
