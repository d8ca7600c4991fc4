"""Namirial, played: a host that sends, a host that tells statuses, callbacks."""
