"""What is wrong with a setting, in one sentence."""

import json
from pathlib import Path

import pytest

from campaigns.providers.registry import PROVIDERS
from tests.unit.settings.loading import MAIN, env_file, load, problems
from worker.settings.model import Settings
from worker.settings.reading import SettingsError, load_settings


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("POLL__FACTOR", "abc", 'CAMPAIGNS_POLL__FACTOR is "abc": it must be a number ≥ 1'),
        ("POLL__FACTOR", "inf", 'CAMPAIGNS_POLL__FACTOR is "inf": it must be a number ≥ 1'),
        ("POLL__JITTER", "0.6", 'CAMPAIGNS_POLL__JITTER is "0.6": it must be a number from 0 to 0.5'),
        ("RETRY__JITTER", "-1", 'CAMPAIGNS_RETRY__JITTER is "-1": it must be a number from 0 to 0.5'),
        ("TICK_SECONDS", "0", 'CAMPAIGNS_TICK_SECONDS is "0": it must be a number above 0'),
        ("TICK_SECONDS", "nan", 'CAMPAIGNS_TICK_SECONDS is "nan": it must be a number above 0'),
        (
            "IN_FLIGHT_BATCHES",
            "1.5",
            'CAMPAIGNS_IN_FLIGHT_BATCHES is "1.5": it must be a whole number ≥ 1',
        ),
        ("LOG_FORMAT", "xml", 'CAMPAIGNS_LOG_FORMAT is "xml": it must be one of auto, json, console'),
        (
            "ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST",
            "101",
            'CAMPAIGNS_ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST is "101": '
            "it must be a whole number from 1 to 100",
        ),
        (
            "ACCOUNTS__MAIN__REQUESTS_PER_SECOND",
            "0",
            'CAMPAIGNS_ACCOUNTS__MAIN__REQUESTS_PER_SECOND is "0": it must be a number above 0',
        ),
        (
            "ACCOUNTS__MAIN__PROVIDER",
            "twilio",
            f'CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER is "twilio": it must be one of {", ".join(PROVIDERS)}',
        ),
        *(
            (
                "ACCOUNTS__MAIN__CURRENCY",
                code,
                "CAMPAIGNS_ACCOUNTS__MAIN__CURRENCY must be three capital letters of ISO 4217, such as EUR",
            )
            for code in ("euro", "EURO", "EU", "eur")
        ),
        (
            "ACCOUNTS__MAIN__BASE_URL",
            "ftp://lightsms.test",
            "CAMPAIGNS_ACCOUNTS__MAIN__BASE_URL must begin with http:// or https:// and a host",
        ),
        *(
            (
                "ACCOUNTS__MAIN__BASE_URL",
                url,
                "CAMPAIGNS_ACCOUNTS__MAIN__BASE_URL must be only what stands before /external/get/, "
                "without a user and without ?",
            )
            for url in (
                "https://lightsms.test/external/get/",
                "https://shop@lightsms.test",
                "https://lightsms.test/?a=1",
            )
        ),
        (
            "POLL__MAX_SECONDS",
            "9",
            "CAMPAIGNS_POLL__MAX_SECONDS is 9: "
            "it must be at least CAMPAIGNS_POLL__FIRST_SECONDS, which is 10",
        ),
        (
            "RETRY__FIRST_SECONDS",
            "901",
            "CAMPAIGNS_RETRY__MAX_SECONDS is 900: "
            "it must be at least CAMPAIGNS_RETRY__FIRST_SECONDS, which is 901",
        ),
        (
            "POLL__GIVE_UP_SECONDS",
            "10",
            "CAMPAIGNS_POLL__GIVE_UP_SECONDS is 10: "
            "it must be above CAMPAIGNS_POLL__FIRST_SECONDS, which is 10",
        ),
        (
            "LEASE_SECONDS",
            "29.9",
            "CAMPAIGNS_LEASE_SECONDS is 29.9: "
            "it must be at least 30, the longest TIMEOUT_SECONDS of an account and 10 more",
        ),
        (
            "DATABASE_URL",
            "postgresql://db/campaigns",
            "CAMPAIGNS_REDIS_URL is missing: CAMPAIGNS_DATABASE_URL is set, "
            "so set both, or neither of them for embedded servers",
        ),
        (
            "REDIS_URL",
            "redis://cache",
            "CAMPAIGNS_DATABASE_URL is missing: CAMPAIGNS_REDIS_URL is set, "
            "so set both, or neither of them for embedded servers",
        ),
        ("LOG_LEVEL", "", "CAMPAIGNS_LOG_LEVEL is set to nothing: give it a value, or remove it"),
        (
            "POLL",
            "5",
            "CAMPAIGNS_POLL must be one JSON object that names nothing twice, "
            "or left out in favour of variables that begin with CAMPAIGNS_POLL__",
        ),
        (
            "ACCOUNTS",
            '{"main": {"burst": 1, "BURST": 2}}',
            "CAMPAIGNS_ACCOUNTS must be one JSON object that names nothing twice, "
            "or left out in favour of variables that begin with CAMPAIGNS_ACCOUNTS__",
        ),
        ("ACCOUNTS", '{"spare": 5}', "CAMPAIGNS_ACCOUNTS__SPARE must be one JSON object"),
        (
            "CALLBACK_SECRET",
            "0123456789abcde",
            "CAMPAIGNS_CALLBACK_SECRET must be text of at least 16 characters",
        ),
        (
            "PUBLIC_URL",
            "https://sms.shop.test",
            "CAMPAIGNS_CALLBACK_SECRET is missing: CAMPAIGNS_PUBLIC_URL is set, so set it to 16 random "
            "characters or more, the same for every process",
        ),
    ],
)
def test_a_wrong_value_is_one_sentence(name: str, value: str, sentence: str) -> None:
    assert problems({f"CAMPAIGNS_{name}": value}) == [sentence]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sms.shop.test", "must begin with http:// or https:// and a host"),
        ("https://u@sms.shop.test", "must be an address alone, without a user and without ?"),
        ("https://sms.shop.test/?a=1", "must be an address alone, without a user and without ?"),
    ],
)
def test_a_wrong_public_url_is_one_sentence(url: str, sentence: str) -> None:
    given = {"CAMPAIGNS_PUBLIC_URL": url, "CAMPAIGNS_CALLBACK_SECRET": "0123456789abcdef"}
    assert problems(given) == [f"CAMPAIGNS_PUBLIC_URL {sentence}"]


def test_a_poll_after_the_deadline_would_be_none_at_all() -> None:
    short = {"CAMPAIGNS_POLL__GIVE_UP_SECONDS": "120"}
    called = {
        "CAMPAIGNS_PUBLIC_URL": "https://sms.shop.test",
        "CAMPAIGNS_CALLBACK_SECRET": "0123456789abcdef",
    }
    assert load(short).policy().poll_after_callback_seconds == 120  # nobody calls: it is not used
    assert problems(short | called) == [
        "CAMPAIGNS_POLL__AFTER_CALLBACK_SECONDS is 120: "
        "it must be below CAMPAIGNS_POLL__GIVE_UP_SECONDS, which is 120"
    ]
    assert load(short | called | {"CAMPAIGNS_POLL__AFTER_CALLBACK_SECONDS": "119"}).public_url


def test_limits_themselves_are_allowed() -> None:
    settings = load(
        {
            "CAMPAIGNS_LEASE_SECONDS": "30",
            "CAMPAIGNS_POLL__MAX_SECONDS": "10",
            "CAMPAIGNS_POLL__GIVE_UP_SECONDS": "10.5",
        }
    )
    assert (settings.lease_seconds, settings.poll.max_seconds) == (30, 10)
    assert Settings(lease_seconds=1).lease_seconds == 1  # no account, no request to outlast


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ACCOUNTS__MAIN__REQUEST_PER_SECOND", "ACCOUNTS__MAIN__REQUESTS_PER_SECOND"),
        ("ACCOUNTS__MAIN__REQUESTSPERSECOND", "ACCOUNTS__MAIN__REQUESTS_PER_SECOND"),
        ("REQUESTS_PER_SECOND", "ACCOUNTS__MAIN__REQUESTS_PER_SECOND"),
        ("ACCOUNTS_MAIN_BURST", "ACCOUNTS__MAIN__BURST"),
        ("ACCOUNTS__MY__SHOP__LOGIN", "ACCOUNTS__MY_SHOP__LOGIN"),
        ("POLL_FACTOR", "POLL__FACTOR"),
        ("POLL__GIVEUP_SECONDS", "POLL__GIVE_UP_SECONDS"),
        ("RETRY__MAX_SECOND", "RETRY__MAX_SECONDS"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("DATABASE__URL", "DATABASE_URL"),
        ("LEASE__SECONDS__", "LEASE_SECONDS"),
    ],
)
def test_a_misspelt_name_is_refused_and_the_right_one_is_offered(
    typed: str, meant: str, tmp_path: Path
) -> None:
    sentence = f"CAMPAIGNS_{typed} is not a setting: did you mean CAMPAIGNS_{meant}?"
    assert problems({f"CAMPAIGNS_{typed}": "1"}) == [sentence]
    with pytest.raises(SettingsError) as caught:
        load_settings(MAIN, env_file(tmp_path, f"CAMPAIGNS_ACCOUNTS__MAIN__BURST=1\nCAMPAIGNS_{typed}=1\n"))
    assert caught.value.problems == (sentence,)


def test_a_name_like_no_other_is_refused_too() -> None:
    assert problems({"CAMPAIGNS_ZZZ": "1"}) == [
        "CAMPAIGNS_ZZZ is not a setting: no setting has a name like it"
    ]
    given = json.dumps({"main": {"timeout_second": 1, "zzz": 1}})
    assert problems({"CAMPAIGNS_ACCOUNTS": given}) == [
        "CAMPAIGNS_ACCOUNTS__MAIN__TIMEOUT_SECOND is not a setting here: "
        "did you mean CAMPAIGNS_ACCOUNTS__MAIN__TIMEOUT_SECONDS?",
        "CAMPAIGNS_ACCOUNTS__MAIN__ZZZ is not a setting here",
    ]


def test_one_variable_in_two_spellings_is_refused(tmp_path: Path) -> None:
    sentence = "is set twice in one place: remove one of them"
    assert problems({"CAMPAIGNS_TICK_SECONDS": "1", "campaigns_tick_seconds": "2"}) == [
        f"campaigns_tick_seconds {sentence}"
    ]
    with pytest.raises(SettingsError, match=f"CAMPAIGNS_TICK_SECONDS {sentence}"):
        load_settings({}, env_file(tmp_path, "CAMPAIGNS_TICK_SECONDS=1\nCAMPAIGNS_TICK_SECONDS=2\n"))


def test_all_problems_are_told_at_once_and_each_once(tmp_path: Path) -> None:
    path = env_file(
        tmp_path,
        "CAMPAIGNS_TICK_SECONDS 5\n"
        "CAMPAIGNS_LOG_LEVEL\n"
        "NOT OURS\n"
        "CAMPAIGNS_ACCOUNTS__MAIN__API_KEY='never closed\n"
        "CAMPAIGNS_ACCOUNTS__MAIN__LOGIN=\n",
    )
    environment = {
        "CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER": "lightsms",
        "CAMPAIGNS_ACCOUNTS__MAIN__BRST": "1",
        "CAMPAIGNS_POLL__FACTOR": "0.5",
        "CAMPAIGNS_RETRY": "{",
    }
    with pytest.raises(SettingsError) as caught:
        load_settings(environment, path)
    assert caught.value.problems == (
        f"{path}, line 1, cannot be read: write NAME=value, with quotes closed",
        f"{path}, line 4, cannot be read: write NAME=value, with quotes closed",
        "CAMPAIGNS_LOG_LEVEL is set to nothing: give it a value, or remove it",
        "CAMPAIGNS_ACCOUNTS__MAIN__LOGIN is set to nothing: give it a value, or remove it",
        "CAMPAIGNS_ACCOUNTS__MAIN__BRST is not a setting: did you mean CAMPAIGNS_ACCOUNTS__MAIN__BURST?",
        "CAMPAIGNS_RETRY must be one JSON object that names nothing twice, "
        "or left out in favour of variables that begin with CAMPAIGNS_RETRY__",
        "CAMPAIGNS_ACCOUNTS__MAIN__API_KEY is missing: set it to the API key of the account",
        'CAMPAIGNS_POLL__FACTOR is "0.5": it must be a number ≥ 1',
    )


def test_a_file_that_cannot_be_read_is_a_problem_and_an_absent_one_is_not(tmp_path: Path) -> None:
    assert load_settings({}, tmp_path / "absent") == Settings()
    with pytest.raises(SettingsError, match=r"cannot be read \(IsADirectoryError\)"):
        load_settings({}, tmp_path)
    broken = tmp_path / ".env"
    broken.write_bytes(b"CAMPAIGNS_TICK_SECONDS=\xff\n")
    with pytest.raises(SettingsError, match=r"cannot be read \(UnicodeDecodeError\)"):
        load_settings({}, broken)
