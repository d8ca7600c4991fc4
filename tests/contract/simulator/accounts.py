"""What a customer of each provider can do, by requests made here and not by anybody's client."""

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlencode

from simulator.options import ProviderName

from .client import PHONE, Reply, Simulator

PLUS_PHONE = f"+{PHONE}"
KEY = "your_api_key"
FORM = "application/x-www-form-urlencoded"
JSON = {"Content-Type": "application/json"}
LOYALTY_LT_ACCESS = {"X-API-Key": KEY, "X-API-Secret": "your_api_secret"}
NAMIRIAL_BASIC = "Basic " + b64encode(b"YourLogin:your_password").decode()
NAMIRIAL_SEND = "/api/Services/send"
NAMIRIAL_STATUS = "/api/messagestatus/"


def raw_post(path: str, headers: dict[str, str], body: str) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\nHost: sms\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()


class Account:
    """One who speaks to a simulator of one provider."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    async def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> Reply:
        # Where a fault cuts the tests use a raw connection: aiohttp repeats a cut GET by itself.
        async with self.simulator.session.request(
            method, self.simulator.url + path, headers=headers, data=body, allow_redirects=False
        ) as response:
            return Reply(response.status, response.content_type, await response.text())


class LightSmsAccount(Account):
    """One who speaks to a simulated LightSMS."""

    async def take(self, phone: str = PHONE, **query: str) -> str:
        """Send; the id."""
        return str((await self.simulator.send(phone, **query)).json()[phone]["id_sms"])

    async def refusal(self, phone: str) -> str:
        return (await self.simulator.send(phone)).code

    async def word(self, message_id: str) -> str | None:
        said = (await self.simulator.ask("status", state=message_id)).json().get(message_id)
        return said["status"] if isinstance(said, dict) else said

    def raw_send(self, phone: str = PHONE) -> bytes:
        """A send as it goes over the wire."""
        return f"GET {self.simulator.send_target(phone)} HTTP/1.1\r\nHost: sms\r\n\r\n".encode()


def loyalty_lt_order(phone: str = PLUS_PHONE, **more: object) -> dict[str, object]:
    return {"source": "Demo", "destination": phone, "message": "Hello", **more}


class LoyaltyLtAccount(Account):
    """What a customer of Loyalty.lt can do, by hand-written requests."""

    async def post(
        self, document: object, access: dict[str, str] | None = None, path: str = "/en/sms/send"
    ) -> Reply:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"Content-Type": "application/json", **(LOYALTY_LT_ACCESS if access is None else access)}
        return await self.request("POST", path, headers, body)

    async def take(self, phone: str = PLUS_PHONE, **more: object) -> str:
        """Send; the id."""
        reply = await self.post(loyalty_lt_order(phone, **more))
        assert reply.status == 200, reply
        return str(reply.json()["data"]["message_id"])

    async def refusal(self, phone: str) -> str:
        """The code, in a form that changes from answer to answer; `none` where it has none."""
        reply = await self.post(loyalty_lt_order(phone))
        assert reply.status == 422, reply
        return str(reply.json().get("code", "none"))

    async def ask(self, message_id: str, access: dict[str, str] | None = None) -> Reply:
        return await self.request(
            "GET", f"/lt/sms/status/{message_id}", LOYALTY_LT_ACCESS if access is None else access
        )

    async def word(self, message_id: str) -> str | None:
        reply = await self.ask(message_id)
        return None if reply.status == 404 else str(reply.json()["data"]["status"])

    def raw_send(self, phone: str = PLUS_PHONE) -> bytes:
        """A send as it goes over the wire."""
        return raw_post("/en/sms/send", {**LOYALTY_LT_ACCESS, **JSON}, json.dumps(loyalty_lt_order(phone)))

    def ask_for(self, url: str) -> dict[str, Any]:
        """What a send says so that callbacks go to `url`."""
        return {"receipt": True, "receiptURL": url}


def namirial_order(
    phone: str = PLUS_PHONE, text: str = "Hello", key: str = "ref-1", **more: object
) -> dict[str, object]:
    reference = {"service": "MARKETING", "action": "CAMPAIGN", "key": key}
    return {"destination": phone, "text": text, "reference": reference, "detailed": True, **more}


class NamirialAccount(Account):
    """What a customer of Namirial can do, by hand-written requests."""

    async def post(self, document: object, **headers: str) -> Reply:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        given = {"Authorization": NAMIRIAL_BASIC, "Content-Type": "application/json"}
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.request("POST", NAMIRIAL_SEND, {**given, **changed}, body)

    async def take(self, phone: str = PLUS_PHONE, **more: Any) -> str:
        """Send; the id."""
        reply = await self.post(namirial_order(phone, **more))
        assert reply.status == 200, reply
        return str(reply.json()["id"])

    async def refusal(self, phone: str) -> str:
        """The code; one comes with a good HTTP status."""
        reply = await self.post(namirial_order(phone))
        if reply.status == 200:
            assert reply.json() == {"message": "12: Error sending", "provider": "PROVIDER1"}
            return "12"
        assert reply.status == 500, reply
        return str(reply.json()["code"])

    async def ask(self, path: str, key: str = KEY) -> Reply:
        # yarl would write %2F and %2B anew: what is asked for goes out as it stands.
        line = await self.simulator.connect()
        try:
            head = f"GET {NAMIRIAL_STATUS}{path} HTTP/1.1\r\nHost: sms\r\nX-Api-Key: {key}\r\n\r\n"
            line.writer.write(head.encode())
            await line.writer.drain()
            answered, body = await line.answer()
        finally:
            await line.close()
        return Reply(int(answered.split()[1]), "", body.decode())

    async def listed(self, path: str) -> list[dict[str, Any]]:
        reply = await self.ask(path)
        assert reply.status == 200, reply
        assert reply.json().keys() == {"messages"}
        assert all(entry.keys() == {"message"} for entry in reply.json()["messages"])
        return [entry["message"] for entry in reply.json()["messages"]]

    async def word(self, message_id: str) -> str | None:
        reply = await self.ask(message_id)
        return None if reply.status == 404 else str(reply.json()["message"]["status"])

    def raw_send(self, phone: str = PLUS_PHONE) -> bytes:
        """A send as it goes over the wire."""
        return raw_post(
            NAMIRIAL_SEND, {"Authorization": NAMIRIAL_BASIC, **JSON}, json.dumps(namirial_order(phone))
        )

    def ask_for(self, url: str) -> dict[str, Any]:
        """What a send says so that callbacks go to `url`."""
        return {"webhook": {"url": url, "authentication": {"type": "NONE"}}}


class SevenAccount(Account):
    """One who speaks to a simulated seven.io."""

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        # A header that is given empty is not sent.
        whole = {"X-Api-Key": KEY, "Accept": "application/json", **headers}
        whole = {name.replace("_", "-"): value for name, value in whole.items() if value}
        return await self.request(method, f"/api/{path}", whole, body or None)

    async def form(self, **fields: str) -> Reply:
        return await self.ask("POST", "sms", urlencode(fields).encode(), Content_Type=FORM)

    async def send(self, to: str = PHONE, **fields: str) -> Reply:
        return await self.form(**{"to": to, "text": "Hello", "from": "Demo", **fields})

    async def accept(self, *phones: str, **fields: str) -> list[str]:
        document = (await self.send(",".join(phones), **fields)).json()
        return [entry["id"] for entry in document["messages"]]

    async def status(self, *ids: str, **headers: str) -> Reply:
        return await self.ask("GET", f"status?msg_id={','.join(ids)}", **headers)

    async def journal(self, **fields: str) -> Any:
        return (await self.ask("GET", f"journal/outbound?{urlencode(fields)}")).json()

    async def take(self, phone: str = PHONE, **fields: str) -> str:
        """Send; the id."""
        return str((await self.accept(phone, **fields))[0])

    async def refusal(self, phone: str) -> str:
        return str((await self.send(phone)).json())

    async def word(self, message_id: str) -> str | None:
        reply = await self.status(message_id)
        if reply.content_type == "text/plain":
            return reply.body.split("\n")[0]
        return None if reply.json() == "901" else reply.json()[0]["status"]

    def raw_send(self, phone: str = PHONE) -> bytes:
        """A send as it goes over the wire."""
        headers = {"X-Api-Key": KEY, "Accept": "application/json", "Content-Type": FORM}
        return raw_post("/api/sms", headers, urlencode({"to": phone, "text": "Hello"}))

    def ask_for(self, _url: str) -> dict[str, Any]:
        """Nothing: the account's own address is called."""
        return {}


class HttpAccount(Account):
    """One who speaks to the simulated gateways, in Twilio's words."""

    path = "/2010-04-01/Accounts/YourLogin/Messages"
    example = "twilio"  # of examples/providers: whose mapping our adapter is given

    headers: ClassVar = {"Authorization": NAMIRIAL_BASIC, "Content-Type": FORM}

    async def send(self, phone: str, **more: str) -> Reply:
        fields = {"To": phone, "From": "Demo", "Body": "Hello", **more}
        return await self.request("POST", f"{self.path}.json", self.headers, urlencode(fields).encode())

    async def take(self, phone: str = PLUS_PHONE, **more: str) -> str:
        """Send; the id."""
        reply = await self.send(phone, **more)
        assert reply.status == 201, reply
        return str(reply.json()["sid"])

    async def refusal(self, phone: str) -> str:
        """In the words of the table of fates, which serves several wires."""
        names = {21610: "stopped", 21211: "no_number", 21408: "not_served"}
        return names[(await self.send(phone)).json()["code"]]

    async def word(self, message_id: str) -> str | None:
        reply = await self.request("GET", f"{self.path}/{message_id}.json", self.headers)
        return None if reply.status == 404 else str(reply.json()["status"])

    def raw_send(self, phone: str = PLUS_PHONE) -> bytes:
        """A send as it goes over the wire."""
        return raw_post(
            f"{self.path}.json", self.headers, urlencode({"To": phone, "From": "Demo", "Body": "Hello"})
        )

    def ask_for(self, url: str) -> dict[str, Any]:
        """What a send says so that callbacks go to `url`."""
        return {"StatusCallback": url}


ACCOUNTS: dict[ProviderName, Callable[[Simulator], Any]] = {
    "lightsms": LightSmsAccount,
    "loyalty_lt": LoyaltyLtAccount,
    "namirial": NamirialAccount,
    "seven": SevenAccount,
    "http": HttpAccount,
}
EXAMPLES = ("vonage", "infobip")
"""The other wires that the simulator of `http` speaks."""
CALLING = [provider for provider in ACCOUNTS if provider != "lightsms"]
"""Those who call back."""
