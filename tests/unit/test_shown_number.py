"""Numbers as a spreadsheet shows them."""

import pytest

from campaigns.domain.shown_number import shown_number


@pytest.mark.parametrize(
    ("value", "number_format", "shown"),
    [
        (37061234567, "General", "37061234567"),
        (37061234567.0, "General", "37061234567"),
        (37061234567, "0", "37061234567"),
        (61234567, "000000000", "061234567"),  # the leading zero is the number's
        (612345678, "0000000000", "0612345678"),
        (2125550100, "(000) 000-0000", "(212) 555-0100"),
        (2125550100, "[<=9999999]###\\-####;\\(###\\)\\ ###\\-####", "(212) 555-0100"),
        (5550100, "[<=9999999]###\\-####;\\(###\\)\\ ###\\-####", "555-0100"),
        (37061234567, '"+"0', "+37061234567"),
        (37061234567, "\\+000\\ 000\\ 00000", "+370 612 34567"),
        (37061234567, "+0", "+37061234567"),
        (37061234567, "#,##0", "37,061,234,567"),
        (37061234567, "#", "37061234567"),
        (37061234567, "0.00", "37061234567.00"),
        (19.5, "0.00", "19.50"),
        (19.5, "General", "19.5"),
        (0.1, "General", "0.1"),
        (19.5, "#,##0.00\\ [$€-2]", "19.50 "),  # a currency of the system is not known here
        (-5, "0", "-5"),
        (-5, "0;(0)", "(5)"),
        (12, "yyyy-mm-dd", "12"),  # not understood: all its digits
        (12, "0%", "12"),
        (0, "", "0"),
        (3.7061234567e16, "0", "3.7E+16"),  # its last digits are lost
        (123456789012345, "0", "123456789012345"),
        (1e300, "General", "1.0E+300"),
    ],
)
def test_a_number_is_read_in_its_format(value: float, number_format: str, shown: str) -> None:
    assert shown_number(value, number_format) == shown
