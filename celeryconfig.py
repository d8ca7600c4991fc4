"""Celery's configuration: data only. Broker URL and beat's interval come from the environment, through
worker/app.py. Celery is the executor; PostgreSQL is the queue of record, so whatever the broker loses,
repeats or delays costs time and nothing else.
"""

from kombu import Queue

from worker.queues import QUEUE_OF, QUEUES, TICK

# --- what a message is -----------------------------------------------------------------------------
# JSON only: whoever can write to the broker must not be able to run code (pickle can).
task_serializer = "json"
accept_content = ["json"]
result_accept_content = ["json"]
# Results are in the database; storing them in Redis too would be two more writes a task.
task_ignore_result = True
result_backend = None

# --- queues ----------------------------------------------------------------------------------------
# Direct queues only (a fanout or topic exchange forgets its bindings when Redis is flushed). A worker
# without -Q serves all of them.
task_queues = [Queue(name, routing_key=name) for name in QUEUES]
task_routes = {task: {"queue": queue} for task, queue in QUEUE_OF.items()}
task_default_queue = QUEUE_OF[TICK]
task_create_missing_queues = False  # a misspelt queue is an error, not a place where work waits for ever

# --- acknowledging -----------------------------------------------------------------------------------
# Early acks: on Redis, late acks start a second copy of a running task at every connection blip
# (measured: 0.6 s after a CLIENT KILL) and recover nothing that leases do not recover sooner. The one
# exception is `campaigns.submit`, whose message is all there is (see worker/tasks.py).
task_acks_late = False
task_reject_on_worker_lost = False
worker_cancel_long_running_tasks_on_connection_loss = False  # a broker blip must not cut a paid request

# --- the broker link -----------------------------------------------------------------------------------
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # wait for Redis for ever
broker_connection_timeout = 4
broker_pool_limit = 32  # threads that publish at once
broker_transport_options = {
    # Without socket timeouts a half-open link hangs a worker for minutes (measured: > 110 s; with
    # these 13 s).
    "socket_timeout": 5,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": False,
    "max_connections": 100,  # more than concurrency, else acks fail and messages come twice
    "visibility_timeout": 3600,
}
# A publish whose reply is lost would be repeated (measured: two copies AND an error). The next tick is
# the retry.
task_publish_retry = False

# --- the pool --------------------------------------------------------------------------------------------
# Threads, each waiting on the process's one event loop: 16 batches with providers for 55 MB. Those, and as
# many that are being written down, are what a killed process can leave in doubt, so it stays small; scale
# by processes.
worker_pool = "threads"
worker_concurrency = 16
worker_prefetch_multiplier = 1  # a worker takes what it can do now; the rest is for the others
# The threads pool ignores time limits; every await stands under a timeout of its own instead.
worker_enable_remote_control = False  # else anyone with broker access can stop the workers
worker_send_task_events = False
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_consumer = "worker.broker.consumer:Consumer"  # sets aside what Celery would end by

# --- beat ------------------------------------------------------------------------------------------------
# No schedule file to be corrupted: the one entry is an interval, and a tick is harmless twice.
# By a monotonic clock, and never stuck in a broker that is away.
beat_scheduler = "worker.broker.beat:Scheduler"
beat_max_loop_interval = 1
enable_utc = True
timezone = "UTC"
