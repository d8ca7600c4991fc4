"""Why a phone number is refused, and the kinds of numbers that are not sent to unasked."""

PHONE_REASONS: dict[str, str] = {
    "empty": "there is no phone number here: fill it in or take the row out",
    "not_a_number": "this is not a phone number: write digits only, such as +37060000000",
    "letters": "a phone number with letters cannot be used: write the digits instead",
    "extension": "an extension cannot get an SMS: write the number without it",
    "several_numbers": "there is more than one number here: put each on a row of its own",
    "second_line": (
        "one or two digits stand apart at the end, such as / 8 or -88 for another line: "
        "write one whole number, and each other on a row of its own"
    ),
    "decimal": (
        "this reads as a number with decimals: set the column to text in the spreadsheet and write the digits"
    ),
    "date": "this reads as a date: set the column to text in the spreadsheet and enter the number again",
    "spreadsheet_number": (
        "a spreadsheet shortened this number to something like 3.7E+10 and its digits are lost: "
        "set the column to text, enter the numbers again and export once more"
    ),
    "no_region": (
        "the number has no country code and no default region is set: "
        "write it with + and the country code, or set a default region"
    ),
    "ambiguous": (
        "the number could be one of the default region or a foreign one without its +, two different people: "
        "write it with + and the country code"
    ),
    "doubled_code": "the country code stands there twice: write it once",
    "unknown_country": "no country has this calling code: check the digits after the +",
    "too_short": "the number has too few digits for its country: check for missing digits or area code",
    "too_long": "the number has too many digits for its country: check for extra digits",
    "invalid_number": "no such number can exist in its country's numbering plan: check the digits",
}
"""Why a number cannot be read -> one sentence on how to mend it."""

REFUSED_KINDS: dict[str, str] = {
    "premium_rate": "a premium-rate number",
    "shared_cost": "a shared-cost number",
    "satellite": "a satellite or international-network number (+870, +881, +882, +883)",
    "toll_free": "a toll-free number",
    "personal_number": "a personal number, which is forwarded at a price",
    "pager": "a pager",
    "uan": "a company's access number (UAN)",
    "voicemail": "a voice mailbox",
}
"""Kinds of numbers that are refused unless a submission allows them -> what each is. No handset of a person
stands behind them, and texts to some cost many times the usual price."""


class InvalidPhone(ValueError):
    """This cannot be made a phone number. `reason` is a key of `PHONE_REASONS`; never holds the number."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return PHONE_REASONS[self.reason]
