"""Gateways without an adapter of ours, played: Twilio, Vonage and Infobip, each under its own paths."""

from simulator.http.endpoints import Http

PROVIDER = Http
