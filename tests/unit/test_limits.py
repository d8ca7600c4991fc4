"""What the providers' documents rule out is said before anything is stored."""

import pytest

from campaigns.domain.limits import NO_LIMITS, Limits, too_long, wrong_sender
from campaigns.providers.lightsms.settings import LIMITS as LIGHTSMS
from campaigns.providers.loyalty_lt.settings import LIMITS as LOYALTY_LT
from campaigns.providers.namirial.settings import LIMITS as NAMIRIAL
from campaigns.providers.registry import PROVIDERS
from campaigns.providers.seven.settings import LIMITS as SEVEN

_LOYALTY_TAKES = "Loyalty.lt takes at most 11, and letters, digits and blanks alone"
_SEVEN_TAKES = "seven.io takes at most 11, or at most 16 digits"


@pytest.mark.parametrize(
    ("limits", "sender_id"),
    [
        (LOYALTY_LT, "MyBrand"),
        (LOYALTY_LT, "My Brand 24"),
        (LOYALTY_LT, "Žąsis"),
        (SEVEN, "seven.io"),
        (SEVEN, "A" * 11),
        (SEVEN, "+" + "4" * 16),
        (SEVEN, "4" * 16),
        (LIGHTSMS, "whatever they approved of"),
        (NAMIRIAL, "kept, and not sent at all"),
        (NO_LIMITS, "x" * 100),
    ],
)
def test_a_sender_that_may_be_taken_is_taken(limits: Limits, sender_id: str) -> None:
    assert wrong_sender(limits, sender_id) is None


@pytest.mark.parametrize(
    ("limits", "sender_id", "sentence"),
    [
        (
            LOYALTY_LT,
            "MyBrandOfTwenty",
            f"the sender id has 15 characters; {_LOYALTY_TAKES}",
        ),
        (
            LOYALTY_LT,
            "my-brand",
            f"the sender id has 8 characters; {_LOYALTY_TAKES}",
        ),
        (SEVEN, "A" * 12, f"the sender id has 12 characters; {_SEVEN_TAKES}"),
        (SEVEN, "4" * 17, f"the sender id has 17 characters; {_SEVEN_TAKES}"),
        (
            SEVEN,
            "two\nlines",
            f"the sender id has 9 characters; {_SEVEN_TAKES}",
        ),
    ],
)
def test_a_sender_of_a_wrong_form_is_one_sentence(limits: Limits, sender_id: str, sentence: str) -> None:
    assert wrong_sender(limits, sender_id) == sentence


@pytest.mark.parametrize("limits", [SEVEN, LOYALTY_LT, NAMIRIAL])
def test_a_text_may_have_so_many_characters_and_no_more(limits: Limits) -> None:
    most = limits.most_characters
    assert most is not None
    assert too_long(limits, "a" * most) is None
    sentence = f"the text has {most + 1} characters; {limits.provider} takes at most {most}; shorten it"
    assert too_long(limits, "a" * (most + 1)) == sentence


def test_every_provider_says_its_limits_and_who_it_is() -> None:
    limits = [each.settings.limits for each in PROVIDERS.values()]
    assert NO_LIMITS not in limits
    assert len({each.provider for each in limits}) == len(PROVIDERS)
