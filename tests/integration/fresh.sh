#!/usr/bin/env bash
# A reader's reads while the writer flushes; see fresh.py.
exec python3 "$(dirname "$0")/fresh.py" "$@"
