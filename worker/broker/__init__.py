"""What lies in Redis for Celery, and what programs of others put there.

transport    kombu's, with a look at every message before Celery sees it
envelope     what a message may look like
arguments    what a task may be given
consumer     Celery's, which sets aside what Celery would end by
aside_tasks  what was set aside, until somebody says what to do
beat         Celery beat's scheduler, by a clock that nobody sets
"""
