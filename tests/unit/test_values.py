"""Values: equal by content within a class, and nothing beside their fields."""

import pytest

from campaigns.domain.provider import Failed, OutboundMessage, Rejected


def test_values_are_equal_by_content_within_their_class() -> None:
    assert {Rejected("1", "why"), Rejected("1", "why"), Failed("1", "why")} == {
        Failed("1", "why"),
        Rejected("1", "why"),
    }


def test_values_have_no_other_field() -> None:
    with pytest.raises(AttributeError, match="note"):
        setattr(Rejected("1", "why"), "note", "x")  # noqa: B010  mypy would not let it be written plainly


def test_values_show_what_may_be_shown_alone() -> None:
    assert repr(OutboundMessage("ref", "+37061234567", "a debt")) == "OutboundMessage(message_ref='ref')"
