"""Doubt looked up at Namirial, messages found in its lists, its dates."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.domain.errors import ProviderRefused
from campaigns.domain.provider import Doubtful, PaceUsedUp, Question, Sighting, Sightings
from campaigns.domain.states import MessageState
from campaigns.providers.namirial.adapter import Namirial
from campaigns.providers.namirial.answers import moment, newest_first, read_list
from tests.contract.providers.namirial import member as at_namirial
from tests.contract.providers.namirial.documented import ID, NOW, says
from tests.contract.providers.namirial.member import id_of, status_object
from tests.contract.providers.pace import at_once
from tests.contract.providers.wire_server import Act, WireServer


def listed(*objects: dict[str, object]) -> Act:
    return says({"messages": [{"message": each} for each in objects]})


def doubtful(*refs: str) -> list[Doubtful]:
    return [Doubtful(ref, "+37061200001", NOW, NOW) for ref in refs]


# --- looking doubt up -------------------------------------------------------------------------------


async def test_doubt_is_looked_up_by_our_reference(server: WireServer, make: Callable[..., Namirial]) -> None:
    ref = "0f/a+b %2F-17"
    server.script.append(listed(status_object(ref, "PROVIDER_ACCEPTANCE")))
    sightings = await make().look_up(doubtful(ref), at_once)
    assert sightings == Sightings(
        [
            Sighting(
                id_of(ref),
                MessageState.ACCEPTED,
                "PROVIDER_ACCEPTANCE",
                message_ref=ref,
                segment_count=1,
                accepted_at=datetime(2026, 2, 4, 6, 54, 35, tzinfo=UTC),
                changed_at=datetime(2026, 2, 4, 6, 54, 55, tzinfo=UTC),
                channel="SMS",
                service=at_namirial.SERVICE,
                action=at_namirial.ACTION,
            )
        ],
        [],
    )
    (seen,) = server.seen
    assert seen.target == "/api/messagestatus/reference/0f%2Fa%2Bb%20%252F-17?count=100"
    assert seen.headers["x-api-key"] == at_namirial.API_KEY
    assert seen.headers["content-type"] == "application/json"


async def test_only_an_empty_list_is_absence(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make()
    server.script.append(says({"messages": []}))
    assert await provider.look_up(doubtful("ref-1"), at_once) == Sightings([], ["ref-1"])
    for act in (
        says(b"", 404),  # a wrong address, not a message they do not have
        says(b"", 403),
        says(b"", 500),
        says(b"", 302),
        says(b""),
        says({}),
        says([]),
        says({"messages": None}),
        says({"messages": {}}),
        says({"messages": [None]}),
        says({"messages": [{}]}),
        says({"messages": [status_object()]}),  # not wrapped
        says({"messages": [{"message": {**status_object(), "id": None}}]}),
        says({"messages": [{"message": status_object("another")}]}),
        says({"messages": [{"message": status_object("REF-1")}]}),
        says({"messages": [{"message": status_object(reference={})}]}),
        says(b'{"messages":[],"messages":[]}'),
        says(b"[" * 100_000),
    ):
        server.script.append(act)
        sightings = await provider.look_up(doubtful("ref-1"), at_once)
        assert (list(sightings.seen), list(sightings.absent)) == ([], [])
        assert sightings.trouble


async def test_a_list_with_one_of_ours_among_others(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    """Several of ours are not to be expected; then the one that came furthest counts, else the newest."""
    provider = make()
    sent = status_object("ref-1", "SENT", id=ID, statusChangedAt="2026-02-05T00:00:00Z")
    server.script.append(
        listed(status_object("another"), sent, status_object("ref-1"), status_object("REF-1"))
    )
    (seen,) = (await provider.look_up(doubtful("ref-1"), at_once)).seen
    assert (seen.provider_message_id, seen.evidence) == (id_of("ref-1"), MessageState.DELIVERED)
    server.script.append(
        listed(status_object("ref-1", "SENT"), sent, status_object("ref-1", "ODD", id="odd"))
    )
    (seen,) = (await provider.look_up(doubtful("ref-1"), at_once)).seen
    assert seen.provider_message_id == ID


async def test_many_are_looked_up_and_each_has_its_own_answer(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make(concurrency=3)
    root = "/api/messagestatus/reference/"
    for at in range(1, 10):
        there = [{"message": status_object(f"ref-{at}", "SENT")}] if at % 3 else []
        server.free[f"{root}ref-{at}"] = json.dumps({"messages": there}).encode()
    server.free[f"{root}ref-5"] = b"{}"
    refs = [f"ref-{at}" for at in range(1, 10)]
    sightings = await provider.look_up(doubtful(*refs, "ref-1"), at_once)
    assert [seen.message_ref for seen in sightings.seen] == ["ref-1", "ref-2", "ref-4", "ref-7", "ref-8"]
    assert list(sightings.absent) == ["ref-3", "ref-6", "ref-9"]
    assert sightings.trouble == "Namirial's answer cannot be read"
    assert len(server.seen) == 9


async def test_looking_up_waits_for_the_pace_and_ends_with_trouble(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    async def later() -> None:
        raise PaceUsedUp(4.5)

    assert await make().look_up(doubtful("ref-1"), later) == Sightings([], [], None, 4.5)
    assert await make().look_up([], at_once) == Sightings([], [])
    server.script.append(says(b"", 429, Retry_After="9"))
    assert await make(concurrency=1).look_up(doubtful("a", "b", "c"), at_once) == Sightings(
        [], [], "Namirial answered HTTP 429", 9.0
    )
    assert len(server.seen) == 1
    for odd in ("", ".", "..", "\ud83d"):
        assert (await make().look_up(doubtful(odd), at_once)).trouble
    assert len(server.seen) == 1


# --- finding ----------------------------------------------------------------------------------------


async def test_a_message_is_found_by_its_id(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make()
    server.script.append(says({"message": status_object("ref-1", "UNDELIVERED", sms=None, channel="RCS")}))
    (found,) = await provider.find(Question("id", id_of("ref-1")), at_once)
    assert (found.evidence, found.segment_count, found.phone) == (MessageState.UNDELIVERED, None, None)
    server.script.append(says(b"", 404))
    assert await provider.find(Question("id", ID), at_once) == []
    assert await provider.find(Question("id", "../phonenumber/+37061200001"), at_once) == []
    assert len(server.seen) == 2


async def test_messages_are_found_by_number_newest_first(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    provider = make()
    dates = ["2026-02-04T06:54:55.5Z", "2026-02-04T08:54:56+01:00", "2026-02-04T06:54:55Z", None]
    server.script.append(
        listed(*(status_object(f"ref-{at}", statusChangedAt=said) for at, said in enumerate(dates, 1)))
    )
    found = await provider.find(Question("phone", "+37061200001"), at_once)
    assert [each.message_ref for each in found] == ["ref-2", "ref-1", "ref-3", "ref-4"]
    assert {each.phone for each in found} == {"+37061200001"}
    assert server.seen[-1].target == "/api/messagestatus/phonenumber/%2B37061200001"

    server.script.append(listed(*(status_object(f"ref-{at}") for at in (1, 2, 3))))
    before = datetime(2026, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=2)))
    asked = Question("reference", "a/b", count=2, sent_before=before)
    assert len(await provider.find(asked, at_once)) == 2
    assert server.seen[-1].target == (
        "/api/messagestatus/reference/a%2Fb?count=2&sendDate=2026-12-31T21%3A59%3A59Z"
    )
    server.script.append(says({"messages": []}))
    assert await provider.find(Question("phone", "+37061200002"), at_once) == []


class Archive:
    """A pretended status host with many messages to one number, cut as documented: 100 a page, the latest
    sent before a date, in no order.
    """

    def __init__(self, count: int, every_seconds: float, *, inclusive: bool) -> None:
        self.sent = [NOW - timedelta(seconds=at * every_seconds) for at in range(count)]
        self.inclusive = inclusive
        self.pages = 0

    def __call__(self, seen: Any) -> bytes:
        self.pages += 1
        query = parse_qs(urlsplit(seen.target).query)
        before = datetime.fromisoformat(query["sendDate"][0]) if "sendDate" in query else NOW + timedelta(1)
        size = min(int(query.get("count", ["50"])[0]), 100)
        there = [
            (at, sent)
            for at, sent in enumerate(self.sent)
            if sent < before or (self.inclusive and sent == before)
        ]
        page = sorted(there, key=lambda each: each[1], reverse=True)[:size]
        return json.dumps(
            {
                "messages": [
                    {
                        "message": status_object(
                            f"ref-{at}",
                            providerAcceptanceAt=sent.isoformat(timespec="seconds"),  # cut, as on the page
                            statusChangedAt=sent.isoformat(),
                        )
                    }
                    for at, sent in page[::-1]
                ]
            }
        ).encode()


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("every_seconds", [0.25, 1, 60])
@pytest.mark.parametrize(
    ("there", "count", "expected"),
    [(350, 330, 330), (250, 1000, 250), (200, 1000, 200), (120, 100, 100), (70, None, 50), (30, 100, 30)],
)
async def test_more_than_a_page_is_found_whole_and_nothing_twice(
    server: WireServer,
    make: Callable[..., Namirial],
    there: int,
    count: int | None,
    expected: int,
    every_seconds: float,
    inclusive: bool,
) -> None:
    archive = Archive(there, every_seconds, inclusive=inclusive)
    server.free["/api/messagestatus/phonenumber/%2B37061200001"] = archive
    waits = 0

    async def counted() -> None:
        nonlocal waits
        waits += 1

    found = await make().find(Question("phone", "+37061200001", count=count), counted)
    assert [each.message_ref for each in found] == [f"ref-{at}" for at in range(expected)]
    assert waits == archive.pages <= 6


async def test_pages_that_bring_nothing_new_end_the_search(
    server: WireServer, make: Callable[..., Namirial]
) -> None:
    same = [{"message": status_object(f"ref-{at}")} for at in range(100)]
    server.free["/api/messagestatus/reference/ref"] = json.dumps({"messages": same}).encode()
    assert len(await make().find(Question("reference", "ref", count=500), at_once)) == 100
    assert len(server.seen) == 2
    undated = [{"message": status_object(f"ref-{at}", providerAcceptanceAt=None)} for at in range(100)]
    server.free["/api/messagestatus/reference/ref"] = json.dumps({"messages": undated}).encode()
    assert len(await make().find(Question("reference", "ref", count=500), at_once)) == 100
    assert len(server.seen) == 3


async def test_finding_in_vain_is_a_sentence(server: WireServer, make: Callable[..., Namirial]) -> None:
    provider = make()
    for act, sentence in (
        (says(b"", 403), "Namirial refused the API key (HTTP 403)"),
        (says(b"", 404), "Namirial answered HTTP 404"),
        (says({"messages": [{}]}), "Namirial's answer cannot be read"),
    ):
        server.script.append(act)
        with pytest.raises(ProviderRefused) as refused:
            await provider.find(Question("reference", "ref-1"), at_once)
        assert str(refused.value) == sentence
    for question in (
        Question("phone", ""),
        Question("reference", ".."),
        Question("reference", "\ud83d"),
        Question("phone", "+37061200001", count=0),
    ):
        with pytest.raises(ProviderRefused):
            await provider.find(question, at_once)

    async def later() -> None:
        raise PaceUsedUp(1)

    for by in ("id", "phone", "reference"):
        with pytest.raises(PaceUsedUp):
            await provider.find(Question(by, ID), later)  # type: ignore[arg-type]
    assert len(server.seen) == 3


# --- dates ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2026-02-04T06:54:35Z", datetime(2026, 2, 4, 6, 54, 35, tzinfo=UTC)),
        ("2026-02-04T06:54:35.1Z", datetime(2026, 2, 4, 6, 54, 35, 100_000, tzinfo=UTC)),
        ("2026-02-04T06:54:35.123456789Z", datetime(2026, 2, 4, 6, 54, 35, 123_456, tzinfo=UTC)),
        ("2026-02-04T08:54:35+02:00", datetime(2026, 2, 4, 6, 54, 35, tzinfo=UTC)),
        ("2026-02-04T06:54:35", datetime(2026, 2, 4, 6, 54, 35, tzinfo=UTC)),
        ("0001-01-01T00:00:00+01:00", None),
        ("yesterday", None),
        ("", None),
        ("2026-02-30T00:00:00Z", None),
        ("1770188075", None),
        (None, None),
        ({}, None),
    ],
)
def test_dates_with_and_without_a_fraction(said: object, expected: datetime | None) -> None:
    assert moment(said) == expected


@given(st.lists(st.datetimes(timezones=st.just(UTC)) | st.none(), max_size=8), st.randoms())
def test_the_newest_stands_first_in_every_order(dates: list[datetime | None], random: Any) -> None:
    objects = [
        status_object(f"ref-{at}", statusChangedAt=date and date.isoformat(), providerAcceptanceAt=None)
        for at, date in enumerate(dates)
    ]
    random.shuffle(objects)
    found = read_list(json.dumps({"messages": [{"message": each} for each in objects]}).encode())
    assert found is not None
    sorted_dates = [each.changed_at for each in newest_first(found)]
    known = [date for date in sorted_dates if date is not None]
    assert sorted_dates == [*sorted(known, reverse=True), *[None] * (len(dates) - len(known))]
