"""What is wrong with what somebody sent, as people at a page read it: the API's sentences are for programs,
name its options, and are English. The commonest are told anew here; the others stay as they are.
"""

import re
from collections.abc import Sequence

from worker.web.pages.frame import N_
from worker.web.pages.languages import Language

_TOLD: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern, re.DOTALL), sentence)
    for pattern, sentence in (
        ("the file is empty", N_("The file is empty. It needs a row for each recipient.")),
        ("there are no recipients", N_("There are no recipients yet: choose a file, or type numbers.")),
        (
            "the file has a header but no rec",
            N_("The file has names of columns and no rows. Add a row for each recipient."),
        ),
        (
            ".*the text is not UTF-",
            N_("This is not a CSV file in UTF-8. In a spreadsheet, save it as “CSV UTF-8”."),
        ),
        (
            r"row \d+ has .* for the phone number \(there is: (?P<columns>.*)\)",
            N_("Choose the column with the number. The file has: %(columns)s."),
        ),
        (
            r"row \d+: the text asks for the columns? (?P<missing>.*), which .*\(there is: (?P<columns>.*)\)",
            N_("The text uses %(missing)s, and the file has only these columns: %(columns)s."),
        ),
        (
            r"(?P<region>.*) is no region",
            N_("%(region)s is not a country. Write its two letters, such as LT."),
        ),
        (
            r"there is no sender id",
            N_("The account has no sender of its own. Fill in who the message is from."),
        ),
        (
            r"not one of the (?P<count>\d+) recipients can be sent to",
            N_("None of the %(count)s rows can be used. The reasons are below."),
        ),
        ("send_at passed", N_("The start has passed more than a day ago. Leave it out to send now.")),
        ("not_after has passed", N_("The end has passed: nothing could be sent.")),
        ("not_after is not later", N_("The end is not after the start: nothing could be sent.")),
    )
)


def told(language: Language, sentence: str) -> str | None:
    """A sentence of the API, or of ours, in the reader's language; None where it is English alone."""
    for pattern, known in _TOLD:
        if found := pattern.match(sentence):
            return language.say(known) % found.groupdict()
    said = language.say(sentence)
    return said if said != sentence else None
