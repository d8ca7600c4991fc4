"""How LightSMS writes its answers: JSON and XML as its pages show them, else plain text."""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final
from xml.sax.saxutils import quoteattr

from simulator.faults import Drawn, ExtraKeysFault, IntCodesFault
from simulator.options import ErrorForm
from simulator.wire import Answer

COUNTED: Final = {"delivered": "deliver", "not_deliver": "not_deliver", "expired": "expired"}
"""A status, and what the statistics (and statuses in the object form) call it."""

_XML_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'


def sent(
    entries: Sequence[tuple[str, str | None, str]],
    cost: Decimal,
    segments: int,
    sender: str,
    form: str,
    drawn: Drawn,
) -> Answer:
    """The answer to a send. Takes (number as asked, its code or None, its id) in the order asked."""
    if form == "json":
        numbers = drawn.get(IntCodesFault) is not None
        quote = "" if numbers else '"'
        head = f'":{{"error":{quote}0{quote},"id_sms":"'
        tail = f'","cost":{quote}{cost}{quote},"count_sms":{quote}{segments}{quote}'
        if drawn.get(ExtraKeysFault):
            tail += f',"sender":{json.dumps(sender)},"network":"Simulated","ported":0'
        tail += "}"
        # By number, as the provider's own array: one named twice keeps its first position and its last id.
        by_phone = {
            phone: f'"{phone}{head}{message_id}{tail}'  # an accepted number is digits: nothing to escape
            if code is None
            else f'{json.dumps(phone)}:{{"error":{_code(code, numbers)}}}'
            for phone, code, message_id in entries
        }
        return Answer(f"{{{','.join(by_phone.values())}}}".encode())
    if form == "xml":
        lines = (
            f"<phone phone={quoteattr(phone)} "
            + (
                f'error="0" id_sms="{message_id}" cost="{cost}" count_sms="{segments}" />\n'
                if code is None
                else f'error="{code}" />\n'
            )
            for phone, code, message_id in entries
        )
        return _xml(f"<phones>\n{''.join(lines)}</phones>\n")
    return _text(
        f"{phone};0;{message_id};{cost};{segments}" if code is None else f"{phone};{code}"
        for phone, code, message_id in entries
    )


def statuses(found: Mapping[str, tuple[str, bool]], now: str, form: str) -> Answer:
    """The answer to a status question: by id, the word and whether it is served as an object."""
    if form == "json":
        return Answer.of_json(
            {
                message_id: {"status": COUNTED.get(status_word, status_word), "time": now}
                if as_object
                else status_word
                for message_id, (status_word, as_object) in found.items()
            }
        )
    if form == "xml":
        lines = (
            f"<status id_sms={quoteattr(message_id)} status={quoteattr(status_word)} />\n"
            for message_id, (status_word, _) in found.items()
        )
        return _xml(f"<statuses>\n{''.join(lines)}</statuses>\n")
    return _text(f"{message_id};{status_word}" for message_id, (status_word, _) in found.items())


def statistics(parts: Mapping[str, Mapping[str, int]], price: Decimal, form: str, drawn: Drawn) -> Answer:
    """The monthly statistics: the parts by day and status word; each day has all three, as on the page."""
    as_number = drawn.get(IntCodesFault) is not None

    def cost(count: int) -> str:
        return f"{price * count:.3f}"

    def entry(count: int) -> dict[str, object]:
        if as_number:
            return {"cost": float(cost(count)), "parts": count}
        return {"cost": cost(count), "parts": str(count)}

    days = {
        day: [(status_word, counts.get(status_word, 0)) for status_word in COUNTED.values()]
        for day, counts in parts.items()
    }
    if form == "json":
        return Answer.of_json(
            {
                day: {status_word: entry(count) for status_word, count in counts}
                for day, counts in days.items()
            }
        )
    if form == "array":
        return Answer.of_json(
            [
                {
                    "date": day,
                    "stats": [{"status": status_word, **entry(count)} for status_word, count in counts],
                }
                for day, counts in days.items()
            ]
        )
    if form == "xml":
        lines = (
            f'<date date="{day}" '
            + " ".join(
                f'{status_word}_cost="{cost(count)}" {status_word}_parts="{count}"'
                for status_word, count in counts
            )
            + " />\n"
            for day, counts in days.items()
        )
        return _xml(f"<statistics>\n{''.join(lines)}</statistics>\n")
    return _text(
        f"{day};{status_word};{cost(count)};{count}"
        for day, counts in days.items()
        for status_word, count in counts
    )


def balance(money: Decimal, currency: str, form: str, drawn: Drawn) -> Answer:
    """What is left on the account."""
    if form == "json":
        quote = "" if drawn.get(IntCodesFault) else '"'
        return Answer(f'{{"money":{quote}{money:f}{quote},"currency":{json.dumps(currency)}}}'.encode())
    if form == "xml":
        return _xml(f"<money>{money:f}</money>\n<currency>{currency}</currency>\n")
    return _text([f"{money:f};{currency}"])


def stop_list(listed: bool, form: str) -> Answer:
    """Whether a number is on the stop list; an empty answer where it is not."""
    entry = {"time_in": "2024-08-29 11:07:43", "description": "stop"} if listed else {}
    if form == "json":
        return Answer.of_json(entry)
    if form == "xml":
        return _xml("".join(f"<{name}>{value}</{name}>\n" for name, value in entry.items()))
    return _text([";".join(entry.values())] if entry else [])


def refusal(code: str, error_form: ErrorForm, keys: Sequence[str], form: str, drawn: Drawn) -> Answer:
    """An error that concerns the whole request. Takes the keys its keyed form uses; without one, top."""
    if form == "xml":
        return _xml(f"<error>{code}</error>\n")
    if form not in ("json", "array") or error_form == "bare":
        return Answer(code.encode(), "text/plain")
    number = _code(code, as_number=True)
    text = number if drawn.get(IntCodesFault) else json.dumps(code)
    match error_form:
        case "top":
            body = f'{{"error":{number}}}'
        case "empty_key":
            body = f'{{"":{{"error":{number}}}}}'
        case "keyed" if keys:
            entries = (f'{json.dumps(key)}:{{"error":{text}}}' for key in dict.fromkeys(keys))
            body = f"{{{','.join(entries)}}}"
        case _:
            body = f'{{"error":{text}}}'
    return Answer(body.encode())


def _code(code: str, as_number: bool) -> str:
    """A code in JSON. 000 is never a number: JSON has no such number, and 0 would be a success."""
    return code if as_number and code != "000" else json.dumps(code)


def _xml(inner: str) -> Answer:
    return Answer(f"{_XML_HEAD}<response>\n{inner}</response>\n".encode(), "application/xml")


def _text(lines: Iterable[str]) -> Answer:
    return Answer("".join(f"{line}\n" for line in lines).encode(), "text/plain")
