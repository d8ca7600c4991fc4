"""The only place that speaks SQL, and only PostgreSQL's.

`tables` says what there is, `migrations` moves it there, `session` opens connections; the other files
hold queries named by what they are for. Whoever changes messages first locks their batch row (many
batches: in order of id), and recounts the batch's tally before the same transaction ends.
"""
