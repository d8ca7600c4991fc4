"""What a queue may hold: a task as we take it, or a sentence."""

import base64
import bz2
import json
import lzma
import pickle
import resource
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.submission import MAX_TASK_RECIPIENTS
from worker.broker.envelope import MOST_BYTES, MOST_RECIPIENTS, Refusal, examined
from worker.queues import POLL_BATCHES, QUEUE_OF, SEND_BATCHES, SUBMIT, TICK

QUEUE = QUEUE_OF[SUBMIT]
GOOD: dict[str, Any] = {
    "account": "main",
    "text": "Labas SECRETWORD",
    "recipients": [{"phone": "+37060000111"}],
}
BODY: Any = [[], GOOD, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def message(
    body: Any = BODY,
    *,
    raw_body: bytes | None = None,
    task: Any = SUBMIT,
    headers: dict[str, Any] | None = None,
    properties: dict[str, Any] | None = None,
    queue: str = QUEUE,
    whole: dict[str, Any] | None = None,
) -> bytes:
    """A message as Celery publishes it, but for what is given."""
    data = json.dumps(body).encode() if raw_body is None else raw_body
    made = {
        "body": base64.b64encode(data).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": task, "id": "an-id", "argsrepr": "SECRETWORD", "timelimit": [None, None]}
        | (headers or {}),
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": "tag",
            "delivery_info": {"exchange": "", "routing_key": queue},
        }
        | (properties or {}),
    }
    return json.dumps(made | (whole or {})).encode()


def _taken(raw: bytes, queue: str = QUEUE) -> tuple[dict[str, Any], Any]:
    taken = examined(raw, queue)
    assert isinstance(taken, bytes), taken
    whole = json.loads(taken)
    return whole, json.loads(base64.b64decode(whole["body"]))


PROTOCOL_1 = {"task": SUBMIT, "id": "an-id", "args": [], "kwargs": GOOD}


@pytest.mark.parametrize(
    "raw",
    [
        message(),
        message(
            raw_body=zlib.compress(json.dumps(BODY).encode()), headers={"compression": "application/x-gzip"}
        ),
        message(raw_body=bz2.compress(json.dumps(BODY).encode()), headers={"compression": "bzip2"}),
        message(raw_body=lzma.compress(json.dumps(BODY).encode()), headers={"compression": "xz"}),
        message(whole={"body": json.dumps(BODY)}, properties={"body_encoding": None}),
        message([[], GOOD, None]),
        message([[], GOOD, {"callbacks": [{"task": "theirs"}]}], headers={"stamped_headers": 7, "group": []}),
        message(PROTOCOL_1, headers={}, task=None, whole={"headers": None}),
        message(properties={"delivery_tag": None, "delivery_info": 7, "priority": "x"}),
        message(headers={"timelimit": 7, "retries": "x", "shadow": {}, "origin": []}),
        message(headers={"traceparent": "SECRETWORD"}),
    ],
    ids=lambda _: "",
)
def test_a_submission_is_taken_however_it_was_written(raw: bytes) -> None:
    """And no header of its sender's is left, where texts and numbers stand for Celery to log."""
    whole, (args, kwargs, extras) = _taken(raw)
    assert (args, kwargs) == ([], GOOD)
    assert not any((extras or {}).values())
    assert (whole["headers"]["task"], whole["headers"]["id"]) == (SUBMIT, "an-id")
    assert "SECRETWORD" not in json.dumps(whole["headers"])
    assert whole["properties"]["delivery_info"] == {"exchange": "", "routing_key": QUEUE}


def test_the_span_that_asks_for_it_is_kept() -> None:
    asked_by = f"00-{'a' * 32}-{'b' * 16}-01"
    whole, _ = _taken(message(headers={"traceparent": asked_by}))
    assert whole["headers"]["traceparent"] == asked_by


def test_what_has_no_id_gets_one_of_its_own() -> None:
    """And a number is one."""
    ids = {_taken(message(headers={"id": None}))[0]["headers"]["id"] for _ in range(3)}
    assert len(ids) == 3
    assert _taken(message(headers={"id": 4711}))[0]["headers"]["id"] == "4711"


def test_when_it_is_to_run_is_kept() -> None:
    """ETA and expiry are the sender's to say."""
    headers = _taken(message(headers={"eta": "2030-01-01T10:00:00+00:00"}))[0]["headers"]
    assert (headers["eta"], headers["expires"]) == ("2030-01-01T10:00:00+00:00", None)


def _bomb(compressor: Any, megabytes: int) -> bytes:
    made = [compressor.compress(b" " * 2**20) for _ in range(megabytes)]
    return b"".join([*made, compressor.compress(b"[[],{},{}]"), compressor.flush()])


REFUSED: dict[str, tuple[bytes, str]] = {
    "two parts": (message([[], GOOD]), "three parts"),
    "null": (message(None), "three parts"),
    "an object": (message({"a": 1}), "three parts"),
    "a word": (message("abc"), "three parts"),
    "args a number": (message([1, GOOD, {}]), "args"),
    "kwargs a list": (message([[], [], {}]), "kwargs"),
    "third part a word": (message([[], GOOD, "x"]), "third part"),
    "no bytes of JSON": (b"\x00\xff", "not JSON"),
    "an array": (b"[]", "no JSON object"),
    "a word alone": (b'"x"', "no JSON object"),
    "nothing": (b"", "not JSON"),
    "no body": (message(whole={"body": None}), "no body"),
    "no task": (message({"args": []}, whole={"headers": {}}), "no task"),
    "task a number": (message(task=7), "no name"),
    "task a list": (message(task=[]), "no name"),
    "headers a list": (message(whole={"headers": [1]}), "headers"),
    "properties a word": (message(whole={"properties": "x"}), "properties"),
    "another program's": (message(task="shop.tasks.invoice"), "another program"),
    "Celery's own": (message([["x"], {}, {}], task="celery.map"), "another program"),
    "pickle": (
        message(raw_body=pickle.dumps(BODY), whole={"content-type": "application/x-python-serialize"}),
        "task_serializer",
    ),
    "pickle as JSON": (message(raw_body=pickle.dumps(BODY)), "not JSON"),
    "yaml": (
        message(raw_body=b"- SECRETWORD", whole={"content-type": "application/x-yaml"}),
        "task_serializer",
    ),
    "no type": (message(whole={"content-type": None}), "application/json"),
    "type with words": (message(whole={"content-type": "SECRETWORD x"}), "application/json"),
    "unknown charset": (message(whole={"content-encoding": "nowhere"}), "utf-8"),
    "unknown body encoding": (message(properties={"body_encoding": "rot13"}), "body_encoding"),
    "no base64": (message(whole={"body": "é"}), "base64"),
    "unknown compression": (message(headers={"compression": "application/zstd"}), "compressed"),
    "not compressed": (message(headers={"compression": "gzip"}), "compressed"),
    "deep": (message(raw_body=b"[[],{},{}," + b"[" * 200_000 + b"]" * 200_000 + b"]"), "deep"),
    "huge number": (message(raw_body=b"[[],{},{" + b"9" * 6000 + b"}]"), "not JSON"),
    "kombu's own types": (message([[], {"text": {"__type__": "uuid", "__value__": 7}}, {}]), "not JSON"),
    "eta": (message(headers={"eta": "SECRETWORD"}), "eta"),
    "eta a number": (message(headers={"eta": 7}), "eta"),
    "expiry of year one": (message(headers={"expires": "0001-01-01T00:00:00"}), "expires"),
    "long id": (message(headers={"id": "i" * 151}), "id"),
    "id a list": (message(headers={"id": []}), "id"),
    "too long": (message([[], GOOD | {"text": "x" * MOST_BYTES}, {}]), "several tasks"),
    "far too long": (b" " * (3 * MOST_BYTES), "several tasks"),
    "too many": (
        message([[], {"recipients": [1] * (MOST_RECIPIENTS + 1)}, {}]),
        "several tasks",
    ),
    "too many, by position": (
        message([["main", "x", [1] * (MOST_RECIPIENTS + 1)], {}, {}]),
        "several tasks",
    ),
    "leases as text": (
        message([[[["1; DROP TABLE message", "x"]]], {}, {}], task=SEND_BATCHES, queue="campaigns.sending"),
        "otherwise",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_task_of_ours_is_refused_in_words_of_ours(case: str) -> None:
    """One sentence that tells what is wrong and holds nothing of it."""
    raw, expected = REFUSED[case]
    refused = examined(raw, QUEUE)
    assert isinstance(refused, Refusal)
    assert expected in refused.reason
    assert "SECRETWORD" not in repr(refused)
    assert "\n" not in refused.reason


def test_a_task_and_a_list_have_one_bound() -> None:
    """What is let in here is not refused by the submission for its length, and the other way round."""
    assert MOST_RECIPIENTS == MAX_TASK_RECIPIENTS


def test_the_name_of_a_strangers_task_is_told_if_it_is_one() -> None:
    """Anything else may be a text."""
    named, odd = examined(message(task="shop.invoice"), QUEUE), examined(message(task="Dear Ona, 1"), QUEUE)
    assert isinstance(named, Refusal)
    assert isinstance(odd, Refusal)
    assert (named.task, named.task_id, odd.task) == ("shop.invoice", "an-id", "")


@pytest.mark.parametrize(
    ("compression", "compressor"),
    [("gzip", zlib.compressobj(9)), ("bzip2", bz2.BZ2Compressor()), ("lzma", lzma.LZMACompressor())],
)
def test_a_bomb_is_refused_before_it_is_unpacked(compression: str, compressor: Any) -> None:
    """60 MB out of a few kilobytes cost no more than a task may have."""
    raw = message(raw_body=_bomb(compressor, 60), headers={"compression": compression})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = examined(raw, QUEUE)
    assert isinstance(refused, Refusal)
    assert "uncompressed" in refused.reason
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KB


@pytest.mark.parametrize(
    ("task", "args"),
    [
        (SEND_BATCHES, [[[10**400, 1]]]),
        (POLL_BATCHES, [[[None, True], 7]]),
        (SEND_BATCHES, []),
        (TICK, [1]),
    ],
)
def test_a_task_that_only_we_make_must_look_like_one(task: str, args: list[Any]) -> None:
    """Leases that are no numbers never reach the database."""
    queue = QUEUE_OF[task]
    refused = examined(message([args, {}, {}], task=task, queue=queue), queue)
    assert isinstance(refused, Refusal)
    assert "arguments" in refused.reason


def test_our_own_tasks_pass_as_they_are() -> None:
    """Byte by byte: they are many."""
    for task, args in ((SEND_BATCHES, [[[1, 2], [3, 4]]]), (TICK, [])):
        raw = message([args, {}, {}], task=task, queue=QUEUE_OF[task])
        assert examined(raw, QUEUE_OF[task]) == raw


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(ANYTHING, ANYTHING, ANYTHING, st.sampled_from([*QUEUE_OF, "other", 7]))
def test_whatever_it_is_it_raises_nothing(body: Any, value: Any, other: Any, task: Any) -> None:
    """In whatever part of the message."""
    headers = {"id": value, "eta": other, "compression": value, "timelimit": other}
    for raw in (
        message(body, task=task, headers=headers),
        message(task=task, headers=headers, properties={"delivery_info": value, "delivery_tag": other}),
        message(task=task, whole={"headers": value, "properties": other}),
        message(task=task, whole={"body": value, "content-type": other}),
        json.dumps(value).encode(),
    ):
        assert isinstance(examined(raw, QUEUE), bytes | Refusal)
