"""When an event is tried again, and what may be a webhook."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.webhooks import (
    CHOOSABLE,
    MOST_ATTEMPTS,
    Attempt,
    EndpointRefused,
    EventType,
    check_url,
    chosen_events,
    endpoint_wait_seconds,
    wait_seconds,
)
from worker.settings.safety import read_networks


def test_the_schedule_ends_after_three_days() -> None:
    waits = [wait_seconds(count, 0.5) for count in range(1, MOST_ATTEMPTS)]
    assert None not in waits
    assert sum(wait or 0 for wait in waits) / 3600 == pytest.approx(75.6, abs=0.01)
    assert wait_seconds(MOST_ATTEMPTS, 0.5) is None
    assert endpoint_wait_seconds(1000, 0.5) == 24 * 3600


@given(st.integers(1, MOST_ATTEMPTS - 1), st.floats(0, 1, exclude_max=True))
def test_waits_differ_by_a_fifth(count: int, random: float) -> None:
    middle, wait = wait_seconds(count, 0.5), wait_seconds(count, random)
    assert middle is not None
    assert wait is not None
    assert 0.8 * middle - 0.001 <= wait <= 1.2 * middle + 0.001


def test_a_receiver_that_asks_for_time_gets_it_up_to_a_day() -> None:
    assert wait_seconds(1, 0.5, 600.0) == 600
    assert wait_seconds(1, 0.5, 1e9) == 24 * 3600
    assert wait_seconds(4, 0.5, 1.0) == 1800, "never sooner than planned"
    assert wait_seconds(1, 0.5, -5.0) == 5


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (302, "failed"),
        (404, "failed"),
        (410, "gone"),
        (500, "failed"),
    ],
)
def test_what_an_answer_means(status: int, verdict: str) -> None:
    attempt = Attempt(status, 3)
    assert attempt.verdict == verdict
    assert (attempt.why is None) is (verdict == "delivered")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://example.com/hook", "must begin with https"),
        ("ftp://example.com/hook", "must begin with https"),
        ("https:///hook", "must begin with https"),
        ("https://user:secret@example.com/hook", "no user and no password"),
        ("https://example.com:25/hook", "the port must be"),
        ("https://campaigns.example.com/hook", "our own"),
        ("https://CAMPAIGNS.example.com./hook", "our own"),
        ("https://10.0.0.8/hook", "not a public one"),
        ("https://127.1/hook", "not a public one"),
        ("https://2130706433/hook", "not a public one"),
        ("https://0x7f.1/hook", "not a public one"),
        ("https://0177.0.0.1/hook", "not a public one"),
        ("https://[::ffff:10.0.0.1]/hook", "not a public one"),
        ("https://example.com:99999/hook", "cannot be read"),
        ("https://example.com/ho ok", "cannot be read"),
    ],
)
def test_an_address_that_no_webhook_may_have(url: str, sentence: str) -> None:
    with pytest.raises(EndpointRefused, match=sentence) as refused:
        check_url(url, allows_plain_http=False, allowed=(), own_url="https://campaigns.example.com/x")
    assert "secret" not in str(refused.value)
    assert "10.0.0" not in str(refused.value)


def test_an_address_that_a_webhook_may_have() -> None:
    for url in (
        "https://example.com/hook?token=a%2Fb",
        "https://example.com:8443",
        "https://[2606:4700::1]/",
    ):
        check_url(url, allows_plain_http=False, allowed=(), own_url=None)
    check_url(
        "http://10.0.0.8:8080/", allows_plain_http=True, allowed=read_networks("10.0.0.0/8"), own_url=None
    )


def test_the_events_that_are_chosen() -> None:
    many = {EventType.MESSAGE_SETTLED, EventType.CAMPAIGN_PROGRESS}
    assert chosen_events([]) == [each for each in CHOOSABLE if each not in many]
    assert chosen_events(["campaign.finished", "campaign.held"]) == [
        EventType.CAMPAIGN_HELD,
        EventType.CAMPAIGN_FINISHED,
    ]
    with pytest.raises(EndpointRefused, match="there are: "):
        chosen_events(["campaign.exploded"])
    with pytest.raises(EndpointRefused):
        chosen_events(["webhook.test"])
