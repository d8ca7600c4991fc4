"""What the outside speaks to: providers that call us back, and whoever asks whether we are well.

    inbox.py       receipts of many callbacks, stored by one write
    callbacks.py   GET, POST /callbacks/{account}/{token}
    health.py      GET /health
    server.py      the application, and how it is started and ended

Start it with `campaigns web`. Any number of them may run, behind anything that passes requests on.
"""
