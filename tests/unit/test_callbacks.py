"""Tokens of callbacks: made of a secret, read back, and not to be made up."""

import re
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.callbacks import MIN_SECRET_CHARACTERS, CallbackUrls, Resolved

SECRET = "a-secret-of-our-own"
URLS = CallbackUrls("main", "https://sms.shop.test", SECRET)
REF = "0123456789abcdef0123456789abcdef-4711"

ACCOUNTS = st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True)
REFS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=MIN_SECRET_CHARACTERS)


def token_of(url: str) -> str:
    return url.rpartition("/")[2]


def test_an_address_names_the_account_and_ends_with_the_token() -> None:
    assert URLS.url_of_account() == f"https://sms.shop.test/callbacks/main/{URLS.token_of_account()}"
    assert URLS.url_of_message(REF) == f"https://sms.shop.test/callbacks/main/{URLS.token_of_message(REF)}"
    below = CallbackUrls("main", "https://shop.test/sms/", SECRET)
    assert below.url_of_account().startswith("https://shop.test/sms/callbacks/main/")


def test_tokens_are_the_same_in_every_process() -> None:
    """Written down here once: addresses given out before an update must hold after it."""
    assert URLS.token_of_account() == "znuxj9b-RA8VUM0kerTjjpWyP5Tq61s3"
    assert URLS.token_of_message(REF) == f"{REF}.g2OU0oby8omgUxZMtYs4Y_YAxyLLx2Nw"


@given(account=ACCOUNTS, secret=SECRETS, ref=REFS)
def test_what_is_made_is_resolved(account: str, secret: str, ref: str) -> None:
    urls = CallbackUrls(account, "http://127.0.0.1:1", secret)
    assert urls.resolve(token_of(urls.url_of_account())) == Resolved(None)
    assert urls.resolve(token_of(urls.url_of_message(ref))) == Resolved(ref)


@given(account=ACCOUNTS, ref=REFS)
def test_an_address_is_safe_in_a_url_and_holds_128_bits_and_more(account: str, ref: str) -> None:
    urls = CallbackUrls(account, "https://sms.shop.test", SECRET)
    for url in (urls.url_of_account(), urls.url_of_message(ref)):
        path = urlsplit(url).path
        assert quote(path, safe="/") == path
        mac = token_of(url).rpartition(".")[2]
        assert re.fullmatch(r"[A-Za-z0-9_-]{22,}", mac)
        assert len(mac) * 6 >= 128


@given(st.text(max_size=200))
def test_any_other_text_is_nobody_s_token(text: str) -> None:
    genuine = {URLS.token_of_account(), URLS.token_of_message(REF)}
    if text not in genuine:
        assert URLS.resolve(text) is None


@given(data=st.data(), ref=REFS)
def test_one_character_changed_is_another_token(data: st.DataObject, ref: str) -> None:
    for token in (URLS.token_of_account(), URLS.token_of_message(ref)):
        at = data.draw(st.integers(0, len(token) - 1))
        other = data.draw(st.characters(codec="ascii").filter(lambda character: character != token[at]))  # noqa: B023  drawn at once
        assert URLS.resolve(token[:at] + other + token[at + 1 :]) is None
        assert URLS.resolve(token[:at]) is None
        assert URLS.resolve(token + other) is None


@given(first=st.tuples(ACCOUNTS, SECRETS, REFS), second=st.tuples(ACCOUNTS, SECRETS, REFS))
def test_a_token_holds_for_one_account_one_message_and_one_secret(
    first: tuple[str, str, str], second: tuple[str, str, str]
) -> None:
    made, other = (CallbackUrls(account, "", secret) for account, secret, _ in (first, second))
    if first[:2] != second[:2]:
        assert other.resolve(made.token_of_account()) is None
        assert other.resolve(made.token_of_message(first[2])) is None
    if first[2] != second[2]:
        mac = made.token_of_message(first[2]).rpartition(".")[2]
        assert made.resolve(f"{second[2]}.{mac}") is None
    # Nor does one kind serve as the other.
    assert made.resolve(f"{first[2]}.{made.token_of_account()}") is None
    assert made.resolve(made.token_of_message(first[2]).rpartition(".")[2]) is None


@pytest.mark.parametrize("ref", ["", "a.b", "a/b", "a b", "ž", "a\n", "x" * 129])
def test_a_reference_that_is_not_safe_in_a_url_is_refused(ref: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        URLS.url_of_message(ref)


def test_names_and_secrets_that_will_not_do_are_refused_and_not_shown() -> None:
    for account in ("", "Main", "a/b", "a b", "a\nb"):
        with pytest.raises(ValueError, match="small letters"):
            CallbackUrls(account, "https://sms.shop.test", SECRET)
    with pytest.raises(ValueError, match="16 characters") as caught:
        CallbackUrls("main", "https://sms.shop.test", SECRET[:15])
    assert SECRET[:15] not in str(caught.value)
    assert SECRET not in repr(URLS)


def test_a_secret_is_changed_without_losing_the_addresses_of_before() -> None:
    """Signed with the new one, believed with both; without the old one its addresses are nobody's."""
    new = CallbackUrls("main", "https://sms.shop.test", "another-secret-of-ours", SECRET)
    alone = CallbackUrls("main", "https://sms.shop.test", "another-secret-of-ours")
    for token, resolved in (
        (URLS.token_of_message(REF), Resolved(REF)),
        (URLS.token_of_account(), Resolved(None)),
    ):
        assert new.resolve(token) == resolved
        assert alone.resolve(token) is None
    assert new.token_of_account() == alone.token_of_account() != URLS.token_of_account()
    assert SECRET not in repr(new)
