"""The providers' wire over real HTTP, written from their documents alone, with faults on request.

It imports nothing of `campaigns` (an import contract holds that), so that an adapter and its
simulator can disagree. One file a provider; the rest is shared:

    options.py    what can be set
    fates.py      what becomes of a number: one table by its last two digits
    segments.py   how many parts a text is
    ledger.py     the truth: everything that was ever accepted
    faults.py     what can go wrong on request, and which fault a request draws
    wire.py       how an answer, or the lack of one, reaches the client
    callbacks.py  what a provider tells by itself
    lightsms.py   LightSMS
    loyalty_lt.py Loyalty.lt
    namirial.py   Namirial
    seven.py      seven.io
    server.py     the application, and how it is started and ended

Start it with `python -m simulator`.
"""
