#!/bin/sh
# KV.CHANGES: the history replayed is the database.  changes.sh BIN_DIR [ROUNDS [SEED]]
exec python3 "$(dirname "$0")/changes.py" "$@"
