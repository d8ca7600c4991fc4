"""What a campaign is.

    submission -> batching -> sending -> provider <-> receipts -> aggregation
                                 ^ rescue brings back what a dead worker left behind

Read the files in that order. `domain` holds the laws (pure), `providers`, `store` and `pacing` the
three things the stages stand on. Nothing here knows Celery, the environment or the command line:
that is `worker`.
"""
