"""Tells webhooks what happened: signed requests to addresses that others chose, none of them ours."""
