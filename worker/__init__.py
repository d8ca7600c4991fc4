"""What runs: the only place that knows Celery, the environment, signals and servers.

`settings` reads the world, `accounts` and `bootstrap` build the parts, `runtime` owns the loop, `app` and
`tasks` are Celery's, `stack` runs everything in one terminal, `commands` are the operator's, `cli` the door.
"""
