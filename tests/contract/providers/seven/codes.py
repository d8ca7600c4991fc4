"""Every code that seven.io documents, by what it means for what was handed over."""

from typing import Literal

CAMPAIGN: dict[int, Literal["sender", "text"]] = {
    **dict.fromkeys((201, 306), "sender"),
    **dict.fromkeys((302, 303, 305, 401), "text"),
}
ACCOUNT = {300, 301, 308, 400, 500, 802, 900, 901, 902, 903}
FAILED = {304, 307, 801, 803}
ONE_NUMBER = {202, 403}
DOUBT = {600, 700}
TAKEN = {100, 101}
DOCUMENTED = set(CAMPAIGN) | ACCOUNT | FAILED | ONE_NUMBER | DOUBT | TAKEN | {11, 402}
