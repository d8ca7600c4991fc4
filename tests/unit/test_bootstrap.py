"""What a process is built of: an adapter for each kind of account, and where its provider may call."""

from typing import Any

import pytest

from campaigns.domain.callbacks import CallbackUrls
from campaigns.domain.errors import NotFound, SubmissionError
from campaigns.submission import Submission, completed, sender_of
from worker.bootstrap import open_parts
from worker.settings.model import Settings

ACCOUNTS = {
    "lightsms": {"provider": "lightsms", "login": "shop", "api_key": "k"},
    "loyalty_lt": {"provider": "loyalty_lt", "api_key": "k", "api_secret": "s", "concurrency": 7},
    "seven": {"provider": "seven", "api_key": "k", "signing_key": "s", "concurrency": 3},
    "namirial": {
        "provider": "namirial",
        "username": "u",
        "password": "p",
        "api_key": "k",
        "reference_service": "MARKETING",
        "concurrency": 5,
    },
}
CALLED = {"public_url": "https://sms.shop.test", "callback_secret": "0123456789abcdef"}


def settings(*names: str, **more: object) -> Settings:
    """Settings with an account at each of these providers, called like it."""
    return Settings.model_validate({"accounts": {name: ACCOUNTS[name] for name in names}, **more})


@pytest.mark.parametrize(
    ("provider", "concurrency"), [("lightsms", 1), ("loyalty_lt", 7), ("seven", 3), ("namirial", 5)]
)
async def test_each_kind_of_account_gets_its_adapter(provider: str, concurrency: int) -> None:
    urls = {"database_url": "postgresql://127.0.0.1:1/x", "redis_url": "redis://127.0.0.1:1/0"}
    async with open_parts(settings(provider, **urls, **CALLED)) as parts:
        account = parts.desk.accounts[provider]
        assert account.provider.name == provider
        assert account.provider.traits.timeout_seconds == 20
        assert account.provider.traits.concurrency == concurrency
        assert (account.callbacks is None) == (provider == "lightsms")


def test_a_provider_may_call_where_it_calls_and_somebody_hears_it() -> None:
    called = settings(*ACCOUNTS, **CALLED)
    assert called.callback_urls("lightsms") is None  # LightSMS calls nobody back
    for name in ("loyalty_lt", "seven", "namirial"):
        expected = CallbackUrls(name, "https://sms.shop.test", "0123456789abcdef")
        assert called.callback_urls(name) == expected
        assert settings(*ACCOUNTS).callback_urls(name) is None
    with pytest.raises(NotFound):
        called.callback_urls("nobody")


def test_a_campaign_must_say_who_it_is_from_except_where_nobody_asks() -> None:
    known = settings(*ACCOUNTS)
    for name in ("lightsms", "loyalty_lt", "seven"):
        assert sender_of(known.terms(name), "Shop") == "Shop"
        with pytest.raises(SubmissionError, match=f"set CAMPAIGNS_ACCOUNTS__{name.upper()}__SENDER_ID"):
            sender_of(known.terms(name), None)
    assert sender_of(known.terms("namirial"), None) is None
    assert sender_of(known.terms("namirial"), "Shop") == "Shop"
    own = Settings.model_validate({"accounts": {"main": ACCOUNTS["seven"] | {"sender_id": "Own"}}})
    assert sender_of(own.terms("MAIN"), None) == "Own"
    assert sender_of(own.terms("main"), "Shop") == "Shop"


def test_what_the_provider_s_documents_rule_out_is_refused_before_anything_is_stored() -> None:
    seven = settings(*ACCOUNTS).terms("seven")

    def made(text: Any, sender_id: Any = "Shop") -> Submission:
        return completed(Submission(seven, text, sender_id, "test"))

    with pytest.raises(SubmissionError, match=r"seven\.io takes at most 11"):
        made("a", "A name of many words")
    with pytest.raises(SubmissionError, match=r"1521 characters; seven\.io takes at most 1520"):
        made("a" * 1521)
    assert made("{a}" * 1521).text == "{a}" * 1521
    for other in (7, None, ["a"]):  # of another program's making
        with pytest.raises(SubmissionError, match="the text is no text"):
            made(other)
    with pytest.raises(SubmissionError, match="the sender id is no text"):
        made("a", 7)
