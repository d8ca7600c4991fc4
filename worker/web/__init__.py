"""What is served over HTTP: providers' callbacks, the API, the dashboard, health checks. Start it with
`campaigns web`.

    server.py        the application, and how it is started and ended
    callbacks.py     GET, POST /callbacks/{account}/{token}
    inbox.py         stores the receipts of many callbacks by one write
    api/             /v1: one table of operations, which routes, validates and documents
    pages/           the dashboard, which asks those operations; templates/, static/, locale/
    streams.py       one look a second, told to all who watch the same
    uploads.py       how many large submissions are under way
    hosts.py         under which names the API and the dashboard answer
    health.py        GET /health, /livez, /readyz
    connections.py   how many connections may be open, and how long one may say nothing
    caller.py        the caller's address, behind proxies

Any number of processes may run behind a load balancer or reverse proxy.
"""
