"""The HTTP server for providers' callbacks and health checks. Start it with `campaigns web`.

    server.py        the application, and how it is started and ended
    callbacks.py     GET, POST /callbacks/{account}/{token}
    inbox.py         stores the receipts of many callbacks by one write
    health.py        GET /health
    connections.py   how many connections may be open, and how long one may say nothing
    caller.py        the caller's address, behind proxies

Any number of processes may run behind a load balancer or reverse proxy.
"""
