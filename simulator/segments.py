"""How many segments a text is sent in. A second implementation on purpose: ours has to agree with it.

Source: GSM 03.38 for the alphabet; 3GPP 23.040 for the lengths of concatenated messages.
"""

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("^{}\\[~]|€\f")  # an escape and a character: two septets
_ALL = _BASIC | _EXTENSION


def is_gsm(text: str) -> bool:
    """Whether every character is in the GSM alphabet."""
    return set(text) <= _ALL


def count_segments(text: str) -> int:
    """The parts `text` is sent in, at least 1.

    GSM-7: 160 septets in one part, else 153 a part. Any other character makes it UCS-2: 70 units in one
    part, else 67 a part. What takes two units (extension characters, surrogate pairs) is never split
    over two parts, so a part may end one unit short.
    """
    letters = set(text)
    if letters <= _BASIC:
        widths = None
        whole, part = 160, 153
    elif letters <= _ALL:
        widths = [2 if letter in _EXTENSION else 1 for letter in text]
        whole, part = 160, 153
    else:
        widths = [2 if letter > "\uffff" else 1 for letter in text]
        whole, part = 70, 67
    length = len(text) if widths is None else sum(widths)
    if length <= whole:
        return 1
    if widths is None:
        return -(-length // part)
    parts, room = 1, part
    for width in widths:
        if width > room:
            parts, room = parts + 1, part
        room -= width
    return parts
