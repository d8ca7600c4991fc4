"""Where settings are read from: variables, JSON, the file, and which one wins."""

import json
import os
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from campaigns.domain.backoff import Backoff
from campaigns.domain.described_fields import described_fields
from campaigns.providers.registry import PROVIDERS
from tests.unit.settings.loading import env_file, load
from worker.settings.model import PollSettings, RetrySettings, Settings
from worker.settings.reading import load_settings


def test_nothing_set_is_an_embedded_installation_without_accounts() -> None:
    settings = load_settings({}, None)
    assert settings == Settings()
    assert (settings.database_url, settings.redis_url, settings.data_dir) == (None, None, Path(".campaigns"))
    assert dict(settings.accounts) == {}
    assert (settings.public_url, settings.callback_secret) == (None, None)


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
        for name, field in described_fields(model).items():
            assert field.description, f"{model.__name__}.{name}"
