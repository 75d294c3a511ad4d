#!/usr/bin/env bash
# Writer and reader within a small `memory`; see memory.py.
exec python3 "$(dirname "$0")/memory.py" "$@"
