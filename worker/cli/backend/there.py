"""Commands by the API of another machine, as a key: `CAMPAIGNS_API_URL` and `CAMPAIGNS_API_KEY`."""

import asyncio
import csv
import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from itertools import chain
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Literal
from uuid import UUID, uuid4

from campaigns import suppression
from campaigns.domain.blocks import Block
from campaigns.domain.errors import CampaignError, NotFound, no_such_campaign
from campaigns.domain.following import CONFIRMATION
from campaigns.domain.schedule import Schedule
from campaigns.domain.states import CampaignState
from campaigns.reading import By
from campaigns.store.reading.messages import MessageRow
from campaigns.store.reading.overviews import Overview
from campaigns.store.rescue.resolution import Decision
from campaigns.store.submission import TakenIn
from worker import shapes
from worker.cli.backend import answers
from worker.cli.backend.accounts import Accounts, AccountsThere
from worker.cli.backend.aside import Aside, AsideThere
from worker.cli.backend.backend import Heard, Lines, Told, ToldFollowUp
from worker.cli.backend.client import Client
from worker.cli.backend.keys import Keys, KeysThere
from worker.cli.backend.webhooks import Webhooks, WebhooksThere
from worker.cli.operator import refuse_operator

_PIECE_BYTES = 65_536  # sent at once
_PHONES_AT_ONCE = 1_000
_NAMES: Mapping[By, str] = {"id": "provider_message_id", "phone": "phone", "reference": "reference"}


class There:
    """Keeps `Backend`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.accounts: Accounts = AccountsThere(client)
        self.aside: Aside = AsideThere(client)
        self.keys: Keys = KeysThere(client)
        self.webhooks: Webhooks = WebhooksThere(client)

    async def _of(self, campaign_id: UUID, path: str = "", body: object = None, method: str = "POST") -> Any:
        try:
            return await self._client.ask(method, f"/v1/campaigns/{campaign_id}{path}", body)
        except NotFound:
            raise no_such_campaign(campaign_id) from None

    async def status(self, campaign_id: UUID) -> Overview:
        """See `Backend`."""
        return answers.overview(await self._of(campaign_id, method="GET"))

    async def newest(self, limit: int, *, is_open: bool = False) -> Sequence[Overview]:
        """See `Backend`."""
        path = "/v1/campaigns?open=true" if is_open else "/v1/campaigns"
        return [answers.overview(each) for each in await self._client.items(path, limit)]

    async def working(self) -> shapes.Working:
        """See `Backend`."""
        return shapes.Working.model_validate(await self._client.ask("GET", "/v1/working"), extra="ignore")

    async def submit(self, told: Told, rows: Iterable[Block], hear: Heard) -> TakenIn:
        """See `Backend`."""
        # Under a key of its own it is no repeat of anything.
        key = str(uuid4()) if told.again else told.submission_key
        said, status = await self._upload("/v1/campaigns", told, key, _lines(rows, hear), "application/json")
        return answers.taken_in(json.loads(said), created=status == 201)

    async def check(
        self,
        told: Told,
        rows: Iterable[Block],
        hear: Heard,
        mend: Callable[[bytes], None] | None,
    ) -> shapes.Check:
        """See `Backend`."""
        path, key = "/v1/campaigns/check", str(uuid4()) if told.again else told.submission_key
        if mend is None:
            said, _ = await self._upload(path, told, key, _lines(rows, hear), "application/json")
            return shapes.Check.model_validate_json(said, extra="ignore")
        # One answer is the check, another the refused rows: sent twice, for standard input is read once.
        with TemporaryFile() as copy:
            said, _ = await self._upload(
                path, told, key, _copied(_lines(rows, hear), copy), "application/json"
            )
            copy.seek(0)
            refused, _ = await self._upload(
                path, told, key, iter(lambda: copy.read(_PIECE_BYTES), b""), "text/csv", mend
            )
            mend(refused)
        return shapes.Check.model_validate_json(said, extra="ignore")

    async def _upload(
        self,
        path: str,
        told: Told,
        key: str | None,
        pieces: Iterator[bytes],
        accept: str,
        take: Callable[[bytes], None] | None = None,
    ) -> tuple[bytes, int]:
        """Send a form whose file is `pieces`, as they are made. Gives the answer (what `take` was not given
        of it) and its status.
        """
        boundary = secrets.token_hex(16)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Accept": accept,
            **({} if key is None else {"Idempotency-Key": _quoted(key)}),
        }
        file = _File(pieces)
        data = _form(boundary, _fields(told), file)
        try:
            async with self._client.answered(
                "POST", path, headers=headers, data=data, expect100=True
            ) as response:
                held = b""
                async for part in response.content.iter_any():
                    if take is None:
                        held += part
                    else:
                        take(part)
                return held, response.status
        except CampaignError:
            if file.trouble is not None:  # the connection broke because the file did
                raise file.trouble from None
            raise

    async def follow_up(self, told: ToldFollowUp) -> TakenIn:
        """See `Backend`."""
        key = str(uuid4()) if told.again else told.submission_key
        wanted = {
            "states": list(told.states),
            "in_doubt": told.in_doubt,
            "text": told.text,
            "name": told.name,
            "sender_id": told.sender_id,
            "on_doubt": told.on_doubt,
            "send_at": _text(told.schedule.send_at),
            "not_after": _text(told.schedule.not_after),
            "literal": told.literal,
        }
        headers = {} if key is None else {"Idempotency-Key": _quoted(key)}
        path = f"/v1/campaigns/{told.campaign_id}/follow-up"
        try:
            async with self._client.answered("POST", path, json=wanted, headers=headers) as response:
                said = await response.json()
                return answers.taken_in(said, created=response.status == 201)
        except NotFound:
            raise no_such_campaign(told.campaign_id) from None

    async def refusals(self, campaign_id: UUID, limit: int) -> Sequence[tuple[int, str, str | None]]:
        """See `Backend`."""
        found = await self._client.items(f"/v1/campaigns/{campaign_id}/refused", limit)
        return [(each["row"], each["reason"], each["column"]) for each in found]

    async def export(
        self, campaign_id: UUID, file_format: Literal["csv", "jsonl"], *, refused: bool
    ) -> tuple[Sequence[str], Lines]:
        """See `Backend`."""
        await self.status(campaign_id)  # raises NotFound before anything is printed
        path = f"/v1/campaigns/{campaign_id}/{'refused' if refused else 'export'}"
        if file_format == "jsonl" and not refused:
            return [], _objects(self._client.text_lines(path, "application/jsonl", format="jsonl"))
        query = {} if refused else {"format": "csv", "raw": "true"}
        columns, lines = await _cells(self._client.text_lines(path, "text/csv", **query))
        return columns, _with_row_numbers(lines) if refused else lines

    async def change_state(self, campaign_id: UUID, target: CampaignState, action: str) -> bool:
        """See `Backend`."""
        before = await self.status(campaign_id)
        await self._of(campaign_id, f"/{action}")
        return before.state is not target

    async def resume(self, campaign_id: UUID, operator: str | None, sender_id: str | None) -> bool:
        """See `Backend`."""
        refuse_operator(operator)
        before = await self.status(campaign_id)
        await self._of(campaign_id, "/resume", None if sender_id is None else {"sender_id": sender_id})
        return before.state is CampaignState.PAUSED or before.hold is not None

    async def reschedule(self, campaign_id: UUID, schedule: Schedule) -> int:
        """See `Backend`."""
        wanted = {"send_at": _text(schedule.send_at), "not_after": _text(schedule.not_after)}
        return int((await self._of(campaign_id, "/reschedule", wanted))["count"])

    async def resolve(
        self,
        campaign_id: UUID,
        decision: Decision,
        phone: str | None,
        region: str | None,
        operator: str | None,
    ) -> int:
        """See `Backend`."""
        refuse_operator(operator)
        wanted = {"decision": decision, "phone": phone, "region": region}
        if decision == "resend":
            wanted["confirm"] = CONFIRMATION
        return int((await self._of(campaign_id, "/resolve", wanted))["count"])

    async def messages(self, by: By, value: str, account: str | None, limit: int) -> Sequence[MessageRow]:
        """See `Backend`."""
        wanted = {_NAMES[by]: value, "account": account}
        found = await self._client.items("/v1/messages/search", limit, search=wanted)
        return [answers.message(each) for each in found]

    async def suppress(self, phones: Sequence[str], region: str | None, reason: str) -> int:
        """See `Backend`."""
        return await self._listed("/v1/suppression", phones, region, {"reason": reason})

    async def unsuppress(self, phones: Sequence[str], region: str | None) -> int:
        """See `Backend`."""
        return await self._listed("/v1/suppression/remove", phones, region, {})

    async def _listed(
        self, path: str, raw_phones: Sequence[str], region: str | None, more: Mapping[str, str]
    ) -> int:
        phones = suppression.read_phones(raw_phones, region)  # none of a list with a wrong one
        count = 0
        for start in range(0, len(phones), _PHONES_AT_ONCE):
            some = {"phones": phones[start : start + _PHONES_AT_ONCE], **more}
            count += int((await self._client.ask("POST", path, some))["count"])
        return count

    async def erase(self, phones: Sequence[str]) -> shapes.Erased:
        """See `Backend`."""
        erased_count = open_count = 0
        for start in range(0, len(phones), _PHONES_AT_ONCE):
            some = {"phones": phones[start : start + _PHONES_AT_ONCE]}
            said = await self._client.ask("POST", "/v1/erasures", some)
            erased_count += int(said["erased_count"])
            open_count += int(said["open_count"])
        return shapes.Erased(erased_count=erased_count, open_count=open_count)

    async def suppressed(self) -> Sequence[tuple[str, str, datetime]]:
        """See `Backend`."""
        found = await self._client.items("/v1/suppression")
        rows = [(each["phone"], each["reason"], datetime.fromisoformat(each["since"])) for each in found]
        return sorted(rows, key=lambda row: (row[2], row[0]))


def _quoted(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _fields(told: Told) -> list[tuple[str, str]]:
    given: list[tuple[str, str | None]] = [
        ("account", told.account),
        ("text", told.text),
        ("name", told.name),
        ("sender_id", told.sender_id),
        ("phone_column", told.phone_column),
        ("region", told.region),
        ("on_doubt", told.on_doubt),
        ("send_at", _text(told.schedule.send_at)),
        ("not_after", _text(told.schedule.not_after)),
        *(("allow_kinds", kind) for kind in told.allow_kinds),
        ("mobile_only", str(told.mobile_only).lower()),
        ("literal", str(told.literal).lower()),
    ]
    return [(name, value) for name, value in given if value is not None]


class _File:
    """Pieces that are made in a thread: a file may be slow, and a person may be typing it. `trouble`: what
    ended them.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.trouble: CampaignError | None = None

    def next(self) -> bytes:
        """The next, b"" at the end."""
        try:
            return next(self._pieces, b"")
        except CampaignError as trouble:
            self.trouble = trouble
            raise


async def _form(boundary: str, fields: Sequence[tuple[str, str]], file: _File) -> AsyncIterator[bytes]:
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="recipients"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    yield head.encode()
    loop = asyncio.get_running_loop()
    while piece := await loop.run_in_executor(None, file.next):
        yield piece
    yield f"\r\n--{boundary}--\r\n".encode()


def _lines(rows: Iterable[Block], hear: Heard) -> Iterator[bytes]:
    """Rows as JSON lines, each on the line of its own number: the API then names rows as the file does."""
    held = bytearray()
    line_number = 1
    for count, (row, fields) in enumerate(chain.from_iterable(rows), 1):
        held += b"\n" * (row - line_number)
        held += json.dumps(fields, ensure_ascii=False).encode() + b"\n"
        line_number = row + 1
        if len(held) >= _PIECE_BYTES:
            hear(count)
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _copied(pieces: Iterator[bytes], copy: BinaryIO) -> Iterator[bytes]:
    for piece in pieces:
        copy.write(piece)
        yield piece


async def _objects(lines: AsyncGenerator[str, None]) -> Lines:
    async with aclosing(lines):
        async for line in lines:
            yield json.loads(line)


async def _cells(lines: AsyncGenerator[str, None]) -> tuple[list[str], Lines]:
    """The columns of a CSV, and its lines."""
    records = _records(lines)
    columns: list[str] = await anext(records, [])

    async def read() -> Lines:
        async with aclosing(records):
            async for cells in records:
                yield dict(zip(columns, cells, strict=True))

    return columns, read()


async def _with_row_numbers(lines: Lines) -> Lines:
    async with aclosing(lines):
        async for line in lines:
            yield line | {"row": int(line["row"])}


async def _records(lines: AsyncGenerator[str, None]) -> AsyncGenerator[list[str], None]:
    async with aclosing(lines):
        held = ""
        async for line in lines:
            held += line
            # A quoted cell may hold line ends: its quotes are even in number once it is whole.
            if held.count('"') % 2 == 0:
                (cells,) = csv.reader([held], strict=True)
                yield cells
                held = ""
        if held:
            raise CampaignError("the export ended in the middle of a row")
