"""The settings of an account, for every provider."""

import json
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from campaigns.domain.errors import CampaignError
from campaigns.providers.loyalty_lt.settings import LoyaltyLtAccount
from campaigns.providers.registry import PROVIDERS
from campaigns.providers.seven.settings import SevenAccount
from tests.unit.settings.loading import MAIN, load, problems
from worker.settings.model import Settings
from worker.settings.reading import SettingsError, load_settings

# --- defaults and reading ---------------------------------------------------------------------------


NEEDED: dict[str, dict[str, str]] = {
    provider: {
        name.upper(): f"{name}-of-the-account"
        for name, field in description.settings.model_fields.items()
        if field.is_required() and name != "provider"
    }
    for provider, description in PROVIDERS.items()
}
# An address and a file that can be read, and the credentials that the file speaks of.
NEEDED["http"] |= PROVIDERS["http"].demo.settings | {"BASE_URL": "https://sms.example"}
"""What each provider's account cannot do without."""


def account_of(provider: str, **more: str) -> Any:
    """The account `it` at a provider, read from the variables it needs and `more`."""
    values = {"PROVIDER": provider} | NEEDED[provider] | more
    environment = {f"CAMPAIGNS_ACCOUNTS__IT__{name}": value for name, value in values.items()}
    return load_settings(environment, None).account("it")


@pytest.mark.parametrize("provider", NEEDED)
def test_the_rest_of_an_account_has_its_defaults(provider: str) -> None:
    needed = {name.lower(): value for name, value in NEEDED[provider].items()}
    assert account_of(provider) == PROVIDERS[provider].settings(provider=provider, **needed)


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
    free = NEEDED[provider].keys() - {"BASE_URL", "MAPPING"}
    for text in ("12345678", "1e5", "true", "null", '{"a"}', "[1]", '"quoted"'):
        account = account_of(provider, **dict.fromkeys(free, text))
        for name in free:
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
        ("lightsms", "LOCALE", "lt", "is not a setting of an account at lightsms: remove it"),
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


# --- what is refused, and in which words ------------------------------------------------------------


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


@pytest.mark.parametrize("name", ["two words", "ž", "a__b", "end_", ""])
def test_a_name_no_variable_could_have_is_refused(name: str) -> None:
    account = {"provider": "lightsms", "login": "x", "api_key": "y"}
    (problem,) = problems({"CAMPAIGNS_ACCOUNTS": json.dumps({name: account})})
    assert problem.startswith(f"CAMPAIGNS_ACCOUNTS__{name.upper()} must be named otherwise")
    with pytest.raises(ValidationError, match="must be named otherwise"):
        Settings.model_validate({"accounts": {name: account}})
    with pytest.raises(ValidationError, match="must be named otherwise"):
        Settings.model_validate({"accounts": {"MAIN": account}})


def test_an_unknown_account_is_answered_with_those_that_exist() -> None:
    spare = {name.replace("MAIN", "SPARE"): value for name, value in MAIN.items()}
    with pytest.raises(CampaignError, match=r"The accounts are: main, spare\.$") as caught:
        load(spare).account("+37060012345")
    assert "37060012345" not in str(caught.value)
    with pytest.raises(
        CampaignError, match="No account is set up yet: set CAMPAIGNS_ACCOUNTS__MAIN__PROVIDER"
    ):
        Settings().account("main")
