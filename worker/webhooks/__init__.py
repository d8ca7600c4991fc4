"""Tells webhooks what happened: signed requests to addresses that others chose, so nothing of ours is reached."""
