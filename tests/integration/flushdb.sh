#!/bin/sh
# 10,000 FLUSHDBs between writes; see flushdb.py.
exec python3 "$(dirname "$0")/flushdb.py" "$@"
