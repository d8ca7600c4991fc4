"""What runs: the only place that knows Celery, the environment, signals and servers.

`settings` reads the world, `accounts` and `bootstrap` build the parts, `runtime` owns the loop, `app` and
`tasks` are Celery's, `stack` runs everything in one terminal, `commands` are the operator's, `cli` the door.
"""

import sys
from pathlib import Path

# `celery -A worker.app` puts the working directory before everything: another project's `campaigns` there
# must not be taken for ours. What is imported once stays, with all that is in it.
_HOME = str(Path(__file__).parent.parent)
sys.path.insert(0, _HOME)
try:
    import campaigns as _campaigns
finally:
    sys.path.remove(_HOME)
_found = _campaigns.__file__ or ""
if Path(_found).parent.parent != Path(_HOME):
    raise SystemExit(f"Error: {_found} stands where our own campaigns should be: remove or rename it")
