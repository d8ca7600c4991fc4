"""Addresses as people write them elsewhere: what we take as it is, and what to do instead of the rest."""

import pytest

from worker.settings.addresses import Postgres, Redis, broker_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@h1:5432,h2:5432/d?target_session_attrs=read-write",
        "postgresql://h1,h2/d",
        "postgresql:///d?host=h1,h2",
        "redis://h1:6379,h2:6379/0",
        "sentinel://h1:26379,h2:26379",
    ],
)
def test_several_hosts_are_told_to_use_one_name(url: str) -> None:
    read = Postgres.read if url.startswith("postgresql") else Redis.read
    with pytest.raises(ValueError, match=r"must name one host: .*HAProxy.* leads to the primary"):
        read(url)


@pytest.mark.parametrize("scheme", ["sentinel", "redis+sentinel", "rediss+sentinel", "redis+cluster"])
def test_sentinels_and_clusters_are_told_to_use_a_proxy(scheme: str) -> None:
    with pytest.raises(ValueError, match=r"may not begin with .* proxy \(HAProxy\)"):
        Redis.read(f"{scheme}://h:26379/mymaster/0")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("options=-csearch_path%3Dapp", "ALTER ROLE … SET"),
        ("search_path=app", "ALTER ROLE … IN DATABASE … SET search_path"),
        ("sslrootcert=/ca.pem", "PGSSLROOTCERT"),
        ("user=u", "user:password@host"),
        ("application_name=x", "leave it out"),
    ],
)
def test_an_option_that_is_not_taken_says_where_it_goes(option: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Postgres.read(f"postgresql://h/d?{option}")


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("valkey://u:p@h:6380/2", "redis://u:p@h:6380/2"),
        ("valkeys://h:6380/2", "rediss://h:6380/2?ssl_cert_reqs=required"),
        ("valkey+socket:///run/valkey.sock?db=1", "redis+socket:///run/valkey.sock?virtual_host=1"),
    ],
)
def test_valkey_is_a_redis(url: str, broker: str) -> None:
    assert broker_url(url) == broker


def test_a_comma_in_a_password_is_no_second_host() -> None:
    assert Postgres.read("postgresql://u:a,b@h/d").server == "u:a%2Cb@h/d"
    with pytest.raises(ValueError, match="write / as %2F"):
        Postgres.read("postgresql://u:a,b/c@h/d")
