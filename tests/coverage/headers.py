"""The two headers between the sweep and its server."""

OBSERVE = "x-sweep-observe"  # on a request: say which stores the call changes
CHANGED = "x-sweep-changed"  # on its answer: their modules
