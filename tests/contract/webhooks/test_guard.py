"""No webhook makes us speak to our own network, whatever trick its address plays (SSRF)."""

import socket
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from campaigns.domain.public_addresses import is_public
from tests.contract.webhooks.receiver import Receiver, receiving
from worker.settings.safety import read_networks
from worker.webhooks.guard import check_name
from worker.webhooks.requests import Requests


class LyingNames(AbstractResolver):
    """A DNS that says what the test wants; `rebind.test` is public at the first look-up, ours at the next."""

    _SAYS: ClassVar = {
        "inner.test": ["10.0.0.8"],
        "meta.test": ["169.254.169.254"],
        "six.test": ["::ffff:127.0.0.1"],
        "nat64.test": ["64:ff9b::7f00:1"],
        "cgnat.test": ["100.64.0.1"],
        "two.test": ["127.0.0.1", "10.1.1.1"],
        "loop.test": ["127.0.0.1"],
    }

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        rebound = ["192.0.2.1" if self.asked.count(host) == 1 else "127.0.0.1"]
        addresses = rebound if host == "rebind.test" else self._SAYS.get(host)
        if addresses is None:
            raise OSError("no such name")
        return [
            ResolveResult(
                hostname=host,
                host=each,
                port=port,
                family=socket.AF_INET6 if ":" in each else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=0,
            )
            for each in addresses
        ]

    async def close(self) -> None:
        self.asked.clear()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


# By the host, with the port of a receiver that would answer.
TRICKS = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "localhost"),  # noqa: S104
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"),
    *("inner.test", "meta.test", "six.test", "nat64.test", "cgnat.test", "two.test", "loop.test"),
]


@pytest.mark.parametrize("host", TRICKS)
async def test_nothing_of_ours_is_reached(receiver: Receiver, host: str) -> None:
    requests = Requests((), most=2, resolver=LyingNames())
    attempt = await requests.post(f"http://{host}:{receiver.port}/", "{}", {})
    await requests.close()
    assert attempt.status is None
    assert attempt.trouble in {
        "its address is not public",
        "its address cannot be read",
        "its name is not known",
    }
    assert receiver.seen == []


async def test_a_name_that_becomes_ours_at_the_next_look_up_reaches_nothing(receiver: Receiver) -> None:
    names = LyingNames()
    requests = Requests((), most=2, resolver=names)
    names.asked.append("rebind.test")  # its first look-up was public: the one at registration
    attempt = await requests.post(f"http://rebind.test:{receiver.port}/", "{}", {})
    await requests.close()
    assert attempt.trouble == "its address is not public"
    assert receiver.seen == []


async def test_an_allowed_network_is_reached_by_number_and_by_name(receiver: Receiver) -> None:
    requests = Requests(read_networks("127.0.0.0/8"), most=2, resolver=LyingNames())
    for host in ("127.0.0.1", "loop.test"):
        attempt = await requests.post(f"http://{host}:{receiver.port}/a?b=%2F", "{}", {})
        assert attempt.status == 200
    await requests.close()
    assert [each.target for each in receiver.seen] == ["/a?b=%2F", "/a?b=%2F"]


async def test_no_proxy_of_the_environment_connects_for_us(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{receiver.port}")
    requests = Requests(read_networks("127.0.0.0/8"), most=2, resolver=LyingNames())
    attempt = await requests.post("http://inner.test/", "{}", {})
    await requests.close()
    assert attempt.trouble == "its address is not public"
    assert receiver.seen == []


async def test_no_redirect_is_followed(receiver: Receiver) -> None:
    receiver.answer = lambda: web.Response(
        status=307, headers={"Location": f"http://127.0.0.1:{receiver.port}/secret"}
    )
    requests = Requests(read_networks("127.0.0.0/8"), most=2)
    attempt = await requests.post(receiver.url, "{}", {})
    await requests.close()
    assert (attempt.status, attempt.verdict) == (307, "failed")
    assert len(receiver.seen) == 1


async def test_a_new_webhook_may_not_have_a_name_that_leads_to_us() -> None:
    with pytest.raises(ValueError, match="not public"):
        await check_name("https://localhost/", ())
    with pytest.raises(ValueError, match="not known"):
        await check_name("https://name.invalid/", ())
    await check_name("https://localhost/", read_networks("127.0.0.0/8,::1"))


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "0.0.0.0"),  # noqa: S104
        *("::", "::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::7f00:1", "2002:7f00:1::"),
        *("64:ff9b::a00:1", "2001:0:5ef5:79fb:0:0:80ff:fffe", "fe80::5efe:7f00:1", "255.255.255.255"),
    ],
)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_public(address: str) -> None:
    assert is_public(address)
