"""LightSMS, played: scripts by GET, signed, answered with HTTP 200 and a code in the body."""

from simulator.lightsms.endpoints import LightSms

PROVIDER = LightSms
