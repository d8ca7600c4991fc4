"""What a mapping of `provider=http` may not say, and in which words it is refused."""

import json
from pathlib import Path

import pytest

from campaigns.providers.http import EXAMPLES
from campaigns.providers.http.mapping import load
from worker.settings.reading import SettingsError, load_settings

GOOD = """
name = "Mine"
base_url = "https://sms.test"

[send]
url = "/send"
form = { to = "{phone}", text = "{text}" }

[send.answer]
id = "/id"
"""
STATUS = '\n[status]\nurl = "/s/{id}"\nanswer = { word = "/w" }\nwords = { delivered = ["D"] }\n'
SEVERAL = '[send]\nrecipients_per_request = 5\neach = "/m"\njson = { m = [{ t = "{phone}", x = "{text}" }] }'
ENTRIES = '[send.answer]\nmessages = "/m"\nphone = "/t"'


def mistakes(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    try:
        load(path)
    except ValueError as error:
        return [
            line.removeprefix(f"leads to {path}, ").removeprefix("where ") for line in str(error).split("\n")
        ]
    return []


def test_the_least_mapping_and_the_examples_are_good(tmp_path: Path) -> None:
    assert mistakes(tmp_path, GOOD) == []
    assert mistakes(tmp_path, GOOD + STATUS) == []
    several = GOOD.replace("[send]", SEVERAL, 1).replace("[send.answer]", ENTRIES)
    assert mistakes(tmp_path, several.replace('form = { to = "{phone}", text = "{text}" }\n', "")) == []
    assert len([load(path) for path in EXAMPLES.glob("*.toml")]) == 3


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (
            "{phone}",
            "37",
            "send names no recipient: put {phone} (with +) or {msisdn} (without) where it belongs",
        ),
        ("{text}", "hi", "send names no text: put {text} where it belongs"),
        (
            "{phone}",
            "{phon}",
            "send names {phon} at form.to, which is not known there: did you mean {phone}?",
        ),
        (
            "[send]",
            '[send]\nheaders = { X-Text = "{text}" }',
            "send names {text} at headers.X-Text, which is not known there: it may name {ref}, {username}, "
            "{password}, {api_key}, {api_secret}",
        ),
        (
            '"/send"',
            '"https://other.test/send"',
            "send.url must begin with one / and hold no ?: the host is base_url, the rest is query",
        ),
        ("id =", "idd =", "send.answer.idd is not a key: did you mean id?"),
        (
            '"/id"',
            '"id"',
            'send.answer.id must be a JSON pointer that begins with /, such as "/messages/0/status"',
        ),
        (
            '"/id"',
            '{ regex = "(" }',
            "send.answer.id holds a regular expression that cannot be read: missing ), unterminated "
            "subpattern at position 0",
        ),
        (
            "id =",
            'word = "/w"\nid =',
            "send says nothing for taken: list the words for it in words.taken",
        ),
        (
            "[send.answer]",
            '[send.words]\ntaken = ["ok"]\n[send.answer]',
            "send lists words and does not say where they are: set answer.word",
        ),
        (
            "[send.answer]",
            '[send.words]\ntaken = ["ok"]\nlater = ["OK"]\n[send.answer]',
            "send.words names the word 'OK' under two meanings: leave one",
        ),
        (
            "[send.answer]",
            "[send.http]\nlater = [200]\n[send.answer]",
            "send.http has 200 at later: a success may only be at taken, words say more",
        ),
        (
            "[send.answer]",
            "[send.http]\nlater = [503]\naccount = [503]\n[send.answer]",
            "send.http names 503 under two meanings: leave one",
        ),
        (
            "[send]",
            "[send]\nrecipients_per_request = 5",
            "send takes several recipients: set answer.messages, and answer.ref or answer.phone by which an "
            "entry finds its message",
        ),
        (
            "{ to",
            '{ cb = "{callback_url}", to',
            "the file names {callback_url} and does not say how a callback is read: set [callback]",
        ),
        (
            "https:",
            "http:",
            "base_url must begin with https://; a test address goes into the account's BASE_URL",
        ),
        (
            "[send]",
            'headers = { Authorization = "Bearer s3cret" }\n[send]',
            "the file has a secret of its own in the header Authorization: name it, such as {api_key}",
        ),
        (
            "[send]",
            'basic = "shop:s3cret"\n[send]',
            "the file has a basic that names no secret: write it such as {username}:{password}",
        ),
        ("[send]", '[send]\nmethod = "GET"', "send has a body, and GET takes none: set method, or use query"),
        (
            "[send]",
            '[send]\njson = { a = "{phone}" }',
            "send has a form and a json: leave one",
        ),
        ("[send]", '[send]\nmethod = "PATCH"', "send.method must be 'GET', 'POST' or 'PUT'"),
        ("[send]", "[pace]\nburst = 0\n[send]", "pace.burst must be greater than or equal to 1"),
        (
            "name =",
            "name",
            "which is not TOML: Expected '=' after a key in a key/value pair (at line 2, column 6)",
        ),
    ],
)
def test_each_mistake_is_one_sentence(tmp_path: Path, before: str, after: str, sentence: str) -> None:
    said = mistakes(tmp_path, GOOD.replace(before, after, 1))
    assert sentence in said
    assert "s3cret" not in "".join(said)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("{id}", "7", "status names no message: put {id}, {ids} where it belongs"),
        ('word = "/w"', 'id = "/i"', "status does not say where the status word is: set answer.word"),
        (
            "delivered =",
            "deliverd =",
            "status.words knows no state 'deliverd': it may be one of accepted, buffered, delivered, "
            "expired, failed, read, rejected, sent, undelivered, unknown",
        ),
        ('["D"]', '["D"], failed = ["d"]', "status.words names the word 'd' under two states: leave one"),
        (
            "[status]",
            "[status]\nids_per_request = 9",
            "status asks for several ids: name {ids}, and set answer.messages and answer.id",
        ),
    ],
)
def test_so_is_each_of_a_question(tmp_path: Path, before: str, after: str, sentence: str) -> None:
    assert mistakes(tmp_path, GOOD + STATUS.replace(before, after, 1)) == [sentence]


def test_a_name_that_is_of_one_message_may_not_be_shared(tmp_path: Path) -> None:
    several = GOOD.replace("[send]", SEVERAL.replace("{ m =", '{ r = "{ref}", m ='), 1)
    several = several.replace('form = { to = "{phone}", text = "{text}" }\n', "")
    assert mistakes(tmp_path, several.replace("[send.answer]", ENTRIES)) == [
        "send names {ref}, which is of one message, where a request holds several"
    ]


# --- of the account ---------------------------------------------------------------------------------


def problems(**more: str) -> list[str]:
    given = {"PROVIDER": "http", "MAPPING": str(EXAMPLES / "infobip.toml"), "BASE_URL": "https://x.test"}
    given |= {"API_KEY": "0123456789", **more}
    environment = {f"CAMPAIGNS_ACCOUNTS__MAIN__{name}": value for name, value in given.items() if value}
    try:
        load_settings(environment, env_file=None)
    except SettingsError as error:
        return list(error.problems)
    return []


def test_an_account_lacks_what_its_mapping_names() -> None:
    name = "CAMPAIGNS_ACCOUNTS__MAIN__"
    assert problems() == []
    assert problems(API_KEY="") == [
        f"{name}MAPPING names {{api_key}}, and API_KEY of this account is not set: set it"
    ]
    [missing] = problems(BASE_URL="")
    assert missing.startswith(f"{name}BASE_URL is missing: set it to the address of the provider")
    assert problems(MAPPING="/nowhere/x.toml") == [
        f"{name}MAPPING leads to /nowhere/x.toml, which cannot be read: No such file or directory"
    ]
    assert problems(BASE_URL="http://sms.example") != []


@pytest.mark.parametrize("given", [{"name": "Mine"}, 5, None])
def test_a_mapping_is_named_by_its_path(given: object) -> None:
    accounts = json.dumps({"main": {"provider": "http", "mapping": given}})
    with pytest.raises(SettingsError) as refused:
        load_settings({"CAMPAIGNS_ACCOUNTS": accounts}, env_file=None)
    assert str(refused.value) == "CAMPAIGNS_ACCOUNTS__MAIN__MAPPING must be the path of a TOML file"


def test_the_mapping_speaks_where_the_account_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        GOOD.replace("[send]", 'currency = "EUR"\n[pace]\nburst = 3\n[send]', 1), encoding="utf-8"
    )
    prefix = "CAMPAIGNS_ACCOUNTS__MAIN__"
    given = {f"{prefix}PROVIDER": "http", f"{prefix}MAPPING": str(path)}
    account = load_settings(given, env_file=None).account("main")
    assert (account.burst, account.currency, account.base_url) == (3, "EUR", "https://sms.test")  # type: ignore[attr-defined]
    assert (account.needs_sender_id, account.calls_back, account.limits.takes_sender_id) == (
        False,
        False,
        False,
    )
    own = load_settings({**given, f"{prefix}BURST": "7"}, env_file=None).account("main")
    assert own.burst == 7
