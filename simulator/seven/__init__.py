"""seven.io, played: forms and JSON, a code in the body, a journal, hooks, callbacks."""

from simulator.seven.endpoints import Seven

PROVIDER = Seven
