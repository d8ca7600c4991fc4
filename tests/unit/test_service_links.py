"""What Kubernetes writes into a container for its Services never stops a command."""

import pytest

from worker.settings.reading import SettingsError, load_settings

_SERVICES = (
    "campaigns",
    "campaigns-web",
    "campaigns-database",
    "campaigns-redis",
    "campaigns-redis-url",
    "campaigns-worker-2",
    "campaigns-accounts",
    "campaigns-accounts--main",  # two underscores: as our own names lead inside
    "campaigns-poll--first",
    "campaigns-port",
    "campaigns-service",
)


def kubelet(service: str, host: str = "10.0.0.1") -> dict[str, str]:
    """Its variables for a Service with a named port 80 and ports 53 over UDP and 132 over SCTP."""
    name = service.upper().replace("-", "_")
    shown = f"[{host}]" if ":" in host else host
    written = {
        f"{name}_SERVICE_HOST": host,
        f"{name}_SERVICE_PORT": "80",
        f"{name}_SERVICE_PORT_HTTP_METRICS": "80",
        f"{name}_SERVICE_PORT_8026": "8026",
        f"{name}_PORT": f"tcp://{shown}:80",
    }
    for port, protocol in ((80, "tcp"), (53, "udp"), (132, "sctp")):
        link = f"{name}_PORT_{port}_{protocol.upper()}"
        written |= {
            link: f"{protocol}://{shown}:{port}",
            f"{link}_PROTO": protocol,
            f"{link}_PORT": str(port),
            f"{link}_ADDR": host,
        }
    return written


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1"])
@pytest.mark.parametrize("service", _SERVICES)
def test_a_service_of_any_name_stops_nothing(service: str, host: str) -> None:
    """Whatever it is called, and each variable alone."""
    written = kubelet(service, host)
    assert load_settings(written, None) == load_settings({}, None)
    for name, value in written.items():
        assert load_settings({name: value}, None) == load_settings({}, None), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CAMPAIGNS_LEASE_SECOND", "80"),
        ("CAMPAIGNS_DATABASE", "tcp://10.0.0.1:80"),
        ("CAMPAIGNS_WEB_PORT", "8026"),
        ("CAMPAIGNS_WEB_PORT", "tcp://10.0.0.1"),
        ("CAMPAIGNS_WEB_SERVICE_HOST", "web.example"),
        ("CAMPAIGNS_WEB_SERVICE_PORT", "http"),
        ("CAMPAIGNS_REPORT", "tcp://10.0.0.1:80"),
        ("CAMPAIGNS_POLL__FIRST_SECOND", "10"),
    ],
)
def test_a_misspelt_setting_is_still_found_beside_them(name: str, value: str) -> None:
    """Only the pair of such a name and such a value is passed over."""
    with pytest.raises(SettingsError, match=f"{name} is not a setting"):
        load_settings(kubelet("campaigns-web") | {name: value}, None)


def test_a_setting_is_read_beside_them() -> None:
    """An account may be called like a Service."""
    ours = {"CAMPAIGNS_ACCOUNTS__WEB_PORT": '{"provider": "lightsms", "login": "a", "api_key": "b"}'}
    assert list(load_settings(kubelet("campaigns-accounts--web") | ours, None).accounts) == ["web_port"]
