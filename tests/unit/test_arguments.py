"""Arguments that a task does not take are a sentence."""

from typing import Any, Literal

import pytest

from campaigns.domain.errors import SubmissionError
from worker.broker.arguments import check


def take(
    account: str,
    recipients: list[dict[str, Any]],
    sender_id: str | None = None,
    on_doubt: Literal["hold", "resend"] = "hold",
    limit: float = 1.0,
    is_loud: bool = False,
) -> None:
    """Like a task."""


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ((), {"account": "a"}, "recipients must be given"),
        (("a", [], None, "hold", 1, True, 7), {}, "7 arguments and at most 6"),
        (("a",), {"account": "b", "recipients": []}, "twice"),
        (("a", []), {"senderid": "x"}, "did you mean sender_id?"),
        (("a", []), {"colour": "x"}, "there are: account, recipients"),
        (("a", []), {"Dear Ona, your code": "x"}, "one of the names is not an argument"),
        ((7, []), {}, "account must be text, not a whole number"),
        ((True, []), {}, "not true or false"),
        (("a", {"phone": "x"}), {}, "recipients must be a list, not an object"),
        (("a", []), {"sender_id": 1.5}, "sender_id must be text, not a number"),
        (("a", []), {"on_doubt": None}, '"hold" or "resend", not null'),
        (("a", []), {"limit": "1"}, "limit must be a number, not text"),
    ],
)
def test_what_is_wrong_is_named(args: tuple[Any, ...], kwargs: dict[str, Any], sentence: str) -> None:
    """Without the value."""
    with pytest.raises(SubmissionError) as refused:
        check(take, args, kwargs)
    assert sentence in str(refused.value)
    assert "Ona" not in str(refused.value)


def test_what_fits_is_taken() -> None:
    """By position or by name; a whole number is a number."""
    check(take, ("a", []), {"sender_id": None, "limit": 2, "is_loud": True, "on_doubt": "anything"})
