"""Namirial, played: a host that sends, a host that tells statuses, callbacks."""

from simulator.namirial.endpoints import Namirial

PROVIDER = Namirial
