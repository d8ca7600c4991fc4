"""`python -m simulator`: the same as `campaigns simulator`, without loading campaigns."""

import sys

from simulator.command import main

if __name__ == "__main__":
    main(sys.argv[1:], prog="python -m simulator")
