"""What runs: the only package that knows Celery, the environment, signals and servers.

app, tasks, queues    Celery: `celery -A worker.app worker`, `celery -A worker.app beat`
dealer, runtime       when due batches become tasks; the process's one event loop
bootstrap             builds the parts of a process from the settings
broker/               what lies in Redis for Celery, and what other programs put there
spool                 answers that the database could not take yet, on disk
settings/             reads and checks the environment
logs/                 what is logged, and what never is
cli/                  the commands of `campaigns`
web/                  callbacks of providers, the API, the dashboard, and /health
webhooks/             what happened, told to addresses of others
metrics, tracing      Prometheus and OpenTelemetry
stack/                `campaigns up`: child processes, embedded PostgreSQL and Redis
shapes/               everything public as pydantic models
state_groups          groups of states: their signs and colours, on pages and in terminals
csv_cells             rows of CSV that a spreadsheet runs nothing of
"""

import gc
import sys
from pathlib import Path

# Python looks for garbage at every 700 objects that were made and not freed: while modules are loaded, which
# stay, a sixth of the time of every start, and afterwards a fifth of a worker's.
gc.set_threshold(20_000, 20, 50)


def spare_what_is_loaded() -> None:
    """Take what is loaded by now out of every later look for garbage: it lives as long as the process.

    What is made from now on is looked through often, and one time of seven as a whole: else what outlives a
    request would wait for twenty million objects (5 KB a batch). More looks cost more processor time, fewer
    more memory; both are measured in docs/performance.md, step 35.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(15_000, 1, 1)


# `celery -A worker.app` puts the working directory first on the path, and another project's `campaigns` may
# be there. So ours is imported here, before anybody else can: a package that is imported once stays imported.
_HOME = str(Path(__file__).parent.parent)
sys.path.insert(0, _HOME)
try:
    import campaigns as _campaigns
finally:
    sys.path.remove(_HOME)
_found = _campaigns.__file__ or ""
if Path(_found).parent.parent != Path(_HOME):
    raise SystemExit(f"Error: {_found} stands where our own campaigns should be: remove or rename it")
