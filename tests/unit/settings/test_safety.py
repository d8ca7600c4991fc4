"""Settings that would be unsafe are refused, with a named way to insist where there can be a reason."""

import pytest

from worker.settings.reading import SettingsError, load_settings

LOYALTY = {
    "CAMPAIGNS_ACCOUNTS__L__PROVIDER": "loyalty_lt",
    "CAMPAIGNS_ACCOUNTS__L__API_KEY": "k3y-of-the-account",
    "CAMPAIGNS_ACCOUNTS__L__API_SECRET": "s3cret-of-the-account",
    "CAMPAIGNS_ACCOUNTS__L__SENDER_ID": "Shop",
}
NAMIRIAL = {
    "CAMPAIGNS_ACCOUNTS__N__PROVIDER": "namirial",
    "CAMPAIGNS_ACCOUNTS__N__USERNAME": "user",
    "CAMPAIGNS_ACCOUNTS__N__PASSWORD": "p4ssword-of-it",
    "CAMPAIGNS_ACCOUNTS__N__API_KEY": "k3y-of-the-account",
    "CAMPAIGNS_ACCOUNTS__N__REFERENCE_SERVICE": "SIGN",
}
CALLED = {"CAMPAIGNS_PUBLIC_URL": "https://sms.shop.test", "CAMPAIGNS_CALLBACK_SECRET": "0123456789abcdef"}


def problem(environment: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(environment, env_file=None)
    (said,) = caught.value.problems
    return said


@pytest.mark.parametrize(
    ("settings", "name", "url"),
    [
        (LOYALTY, "ACCOUNTS__L__BASE_URL", "http://api.loyalty.lt"),
        (LOYALTY, "ACCOUNTS__L__BASE_URL", "http://10.0.0.7"),
        (NAMIRIAL, "ACCOUNTS__N__SEND_URL", "http://sms.test"),
        (NAMIRIAL, "ACCOUNTS__N__STATUS_URL", "http://sms.test"),
        (CALLED, "PUBLIC_URL", "http://sms.shop.test"),
    ],
)
def test_plain_http_beyond_this_machine_is_refused_unless_allowed(
    settings: dict[str, str], name: str, url: str
) -> None:
    given = settings | {f"CAMPAIGNS_{name}": url}
    said = problem(given)
    assert said.startswith(f"CAMPAIGNS_{name} must begin with https://")
    assert "CAMPAIGNS_ALLOW_PLAIN_HTTP=yes" in said
    assert url not in said
    load_settings(given | {"CAMPAIGNS_ALLOW_PLAIN_HTTP": "true"}, env_file=None)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8025", "http://[::1]:8025", "http://localhost:8025"])
def test_plain_http_on_this_machine_is_well(url: str) -> None:
    load_settings(LOYALTY | {"CAMPAIGNS_ACCOUNTS__L__BASE_URL": url}, env_file=None)


@pytest.mark.parametrize("url", ["http://169.254.169.254", "https://169.254.169.254", "https://[fe80::1]"])
def test_where_a_cloud_keeps_its_credentials_nothing_is_sent(url: str) -> None:
    given = LOYALTY | {"CAMPAIGNS_ACCOUNTS__L__BASE_URL": url, "CAMPAIGNS_ALLOW_PLAIN_HTTP": "yes"}
    assert "is a link-local address" in problem(given)


@pytest.mark.parametrize("name", ["CALLBACK_SECRET", "CALLBACK_SECRET_BEFORE"])
@pytest.mark.parametrize("secret", ["a" * 16, "changemechangeme", "12341234123412341234"])
def test_a_secret_that_is_guessed_at_once_is_refused(name: str, secret: str) -> None:
    said = problem(CALLED | {f"CAMPAIGNS_{name}": secret})
    assert said.startswith(f"CAMPAIGNS_{name} is easily guessed")
    assert secret not in said


def test_proxies_are_addresses_or_networks() -> None:
    load_settings({"CAMPAIGNS_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,::1"}, env_file=None)
    said = problem({"CAMPAIGNS_TRUSTED_PROXIES": "the-proxy"})
    assert said.startswith("CAMPAIGNS_TRUSTED_PROXIES must be addresses or networks")
