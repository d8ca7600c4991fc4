"""Why rows are not taken in, and what is worth a look, as people call it."""

from collections.abc import Mapping

from worker.web.pages.frame import N_

REASONS: Mapping[str, str] = {
    "empty": N_("without a number"),
    "not_a_number": N_("not a phone number"),
    "letters": N_("a number with letters"),
    "extension": N_("a number with an extension"),
    "several_numbers": N_("several numbers in one cell"),
    "second_line": N_("another line behind the number"),
    "decimal": N_("a number with decimals"),
    "date": N_("turned into a date by the spreadsheet"),
    "spreadsheet_number": N_("shortened by the spreadsheet: its digits are lost"),
    "no_region": N_("without a country code, and no country is chosen"),
    "ambiguous": N_("could be of two people: write it with + and the country code"),
    "doubled_code": N_("the country code is there twice"),
    "unknown_country": N_("no country has this code"),
    "too_short": N_("too few digits"),
    "too_long": N_("too many digits"),
    "invalid_number": N_("no such number can exist"),
    "premium_rate": N_("premium-rate numbers"),
    "shared_cost": N_("shared-cost numbers"),
    "satellite": N_("satellite numbers"),
    "toll_free": N_("toll-free numbers"),
    "personal_number": N_("personal numbers, forwarded at a price"),
    "pager": N_("pagers"),
    "uan": N_("access numbers of companies"),
    "voicemail": N_("voice mailboxes"),
    "not_mobile": N_("no mobile phones"),
    "duplicate": N_("the same number as in an earlier row"),
    "empty_cell": N_("a column that the text uses is empty"),
    "empty_text": N_("the text would be empty"),
    "text_too_long": N_("the text would be too long"),
    "nul_character": N_("a damaged character"),
    "broken_character": N_("half a character"),
    "fixed_line": N_("fixed lines, which mostly get no SMS"),
    "voip": N_("Internet telephones, which may get no SMS"),
    "read_with_plus": N_("read as if they had a + before their country code"),
    "costly_text": N_("need more segments for a few characters"),
}
"""By the codes of `cleaning.REASONS` and `cleaning.NOTES`."""
