"""One word for one thing: identifiers and file names keep to the house's words."""

import re
import tokenize

import pytest

from tests.guards.test_house import PRODUCT, sources, tokens

NEVER: dict[str, str] = {
    "blacklist": "suppression",
    "blast": "campaign",
    "blocklist": "suppression",
    "broadcast": "campaign",
    "chunk": "batch",
    "gateway": "provider",
    "msgout": "message",
    "subscriber": "recipient",
    "ttl": "validity",
    "vendor": "provider",
    **dict.fromkeys(("place", "places", "placed"), "slot, position, address"),
    **dict.fromkeys(("round", "rounds"), "group, sweep"),
    **dict.fromkeys(("turn", "turns"), "pace, slot"),
    **dict.fromkeys(("word", "words"), "status_word, decision, name"),
    **dict.fromkeys(("written", "writings"), "outcome row, text"),
    **dict.fromkeys(("way", "ways"), "path, how"),
    "hands": "hand_over, or what is handed over",
    "gathering": "grouping",
    "warming": "what is warmed",
    "puppet": "gated provider",
    "copyist": "redelivery",
}
"""Words for which the house has another. Identifiers of libraries and of wires are not ours to choose."""

_A_MAPPING = "campaigns/providers/http/"
LEFT: dict[str, tuple[str, str]] = {
    "UnknownWordFault": ("simulator/", "the fault is called unknown_word on the simulator's wire"),
    "_ROUND_TRIP_SECONDS": ("campaigns/", "a round trip is the network's own word"),
    "round": ("", "Python's own"),
    "forbidden_words": ("simulator/", "a public option of the simulator"),
    **dict.fromkeys(
        ("LONGEST_STATUS_WORD", "_STATUS_WORD", "_STATUS_WORDS", "_status_word", "kept_status_word"),
        ("", "the house's word"),
    ),
    **dict.fromkeys(("status_word", "status_words", "status_word_at"), ("", "the house's word")),
    **dict.fromkeys(
        ("StatusWords", "SendWords", "Words", "_by_word", "_words"), (_A_MAPPING, "values of `words`, a key")
    ),
    **dict.fromkeys(("word", "words"), (_A_MAPPING, "keys of a mapping file, and what stands there")),
}
"""Of the words that are gone: what is left of them, below which folder (empty: anywhere), and why."""

NOT_OURS: dict[tuple[str, str], str] = {
    ("campaigns/domain/recipients.py", "chunk"): "a piece of a file's bytes: nothing of a campaign",
    ("campaigns/domain/recipients.py", "chunks"): "the same",
    ("worker/web/api/forms.py", "read_chunk"): "aiohttp calls it so",
    ("campaigns/providers/wire.py", "on_request_chunk_sent"): "aiohttp calls it so",
    ("campaigns/domain/schedule.py", "words"): "what a hash is made over",
    ("campaigns/submission.py", "words"): "the same",
    ("campaigns/store/tables/decisions.py", "word"): "a column of the table resolution",
}

PROVIDERS_CALL = ("campaigns/providers", "campaigns/domain", "campaigns/store/receipts", "simulator")


def _words(identifier: str) -> set[str]:
    words = {word.lower() for word in re.split(r"_+|(?<=[a-z0-9])(?=[A-Z])", identifier)}
    return words | {word.removesuffix("s") for word in words}


def test_things_are_called_by_their_one_word() -> None:
    found = {
        (path, name)
        for path, text in sources(*PRODUCT)
        for _, name in tokens(text, tokenize.NAME)
        if _words(name) & NEVER.keys()
    }
    ours = {(path, name) for path, name in found if name not in LEFT or not path.startswith(LEFT[name][0])}
    assert ours - NOT_OURS.keys() == set(), f"say instead: {NEVER}"
    assert NOT_OURS.keys() - found == set(), "no longer there: take them off NOT_OURS"
    assert LEFT.keys() - {name for _, name in found} == set(), "no longer there: take them off LEFT"


def test_what_a_provider_calls_is_a_callback() -> None:
    """A webhook is one that we call: the outgoing ones of the outbox."""
    found = {
        (path, name)
        for path, text in sources(*PROVIDERS_CALL)
        for _, name in tokens(text, tokenize.NAME)
        if "webhook" in _words(name)
    }
    assert found == set()


def test_no_file_is_called_by_a_word_that_is_gone() -> None:
    named = {
        path: _words(re.sub(r"[/.]", "_", path)) & NEVER.keys() for path, _ in sources(*PRODUCT, "tests")
    }
    assert {path: words for path, words in named.items() if words} == {}


@pytest.mark.parametrize("name", ["Places", "by_place", "_A_ROUND", "waitTurn", "ChunkSize", "hands"])
def test_the_guard_of_words_sees_them(name: str) -> None:
    assert _words(name) & NEVER.keys()
