"""No secret of the settings is shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.settings.loading import KEY, MAIN, load, problems
from worker.settings.model import Settings
from worker.settings.reading import SettingsError, load_settings


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
