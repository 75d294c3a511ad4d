#!/bin/sh
# Snapshots that outlive what they show, on a reader and on the writer.  snapshot.sh BIN_DIR
exec python3 "$(dirname "$0")/snapshot.py" "$@"
