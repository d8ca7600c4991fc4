"""What commands work on: the database of the settings, or the API of another machine.

backend    the contract: what a command may want
here       by the database, as an operator
there      by the API, as a key; `client` speaks HTTP, `answers` reads what comes back
accounts, aside, keys, webhooks    a noun each: its part of the contract, here and there
"""
