"""`python -m worker.cli`: the same as `campaigns`."""

from worker.cli.start import main

main()
