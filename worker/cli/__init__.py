"""`campaigns`: the operator's commands, one file a noun.

start       the console script: light, so that Ctrl-C works before anything is loaded
app         the list of commands, and what an error becomes: one sentence and an exit code
backend     what they work on: the database, or the API of another machine
terminal    what they share: where they print, and how they reach the servers there are
display     tables of campaigns and messages, and the live view
printable   text of others, fit for a terminal
streams     standard input, output and error that may be closed, full, or have no reader
"""

from worker.cli.start import main

__all__ = ["main"]
