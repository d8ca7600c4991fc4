"""The providers' wire over real HTTP, written from their documents alone, with faults on request.

It imports nothing of `campaigns` or `worker` (an import contract says so): an adapter and its
simulator read the same documents apart, so they can disagree. The core is shared:

    options.py    what can be set
    server.py     the application, and how it is started and ended
    wire.py       how an answer, or the lack of one, reaches the client
    faults.py     what can go wrong on request, and which fault a request draws
    ledger.py     the truth: everything that was ever accepted
    callbacks.py  what a provider tells us without being asked
    segments.py   how many parts a text is
    fates.py      what becomes of a number, by its last two digits
    provider.py   what every provider has: account, ledger, ids, and how its requests are served
    reading.py    what all do with a request first: decode it, compare secrets
    command.py    the command line

and each provider has a folder: lightsms, loyalty_lt, namirial, seven. `http` plays three gateways that are
spoken to by `provider=http`. In a folder:

    endpoints.py  its paths, and what it decides where its documents are silent
    requests.py   what it reads in a request (where that is more than a few lines)
    answers.py    how it writes its answers and its callbacks
    fates.py      its table of fates

Start it with `campaigns simulator`.
"""
