"""Recognises the variables that Kubernetes puts into every container for each Service of its namespace.

A Service called `campaigns-web` gives CAMPAIGNS_WEB_PORT=tcp://10.0.0.1:80 and a dozen more: they begin like
our settings but are none. Docker's old `--link` writes the same names.
Source: kubernetes, pkg/kubelet/envvars/envvars.go.
"""

import ipaddress
import re

# How the names end; before it is the Service's name, in capitals and with _ for -.
_PROTOCOL = "(?:TCP|UDP|SCTP)"
_ADDRESS = re.compile(rf"(?:^|_)PORT(?:_\d{{1,5}}_{_PROTOCOL})?$")
_HOST = re.compile(rf"(?:^|_)(?:SERVICE_HOST|PORT_\d{{1,5}}_{_PROTOCOL}_ADDR)$")
_NUMBER = re.compile(rf"(?:^|_)(?:SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d{{1,5}}_{_PROTOCOL}_PORT)$")
_PROTOCOL_NAME = re.compile(rf"(?:^|_)PORT_\d{{1,5}}_{_PROTOCOL}_PROTO$")

_URL = re.compile(r"(?:tcp|udp|sctp)://\S+:\d{1,5}")


def is_service_link(name: str, value: str) -> bool:
    """Whether both the name and the value of a variable are those of a Service link.

    Takes the name without our prefix, in capitals as it stands in the environment. No setting can have such
    a value under such a name, so a misspelt setting is never taken for one.
    """
    return (
        (_ADDRESS.search(name) is not None and _URL.fullmatch(value) is not None)
        or (_NUMBER.search(name) is not None and re.fullmatch(r"\d{1,5}", value) is not None)
        or (_PROTOCOL_NAME.search(name) is not None and value in {"tcp", "udp", "sctp"})
        or (_HOST.search(name) is not None and _is_ip_address(value))
    )


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
