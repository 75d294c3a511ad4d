#!/bin/sh
# CLIENT TRACKING on the writer and on a reader.  tracking.sh BIN_DIR [ROUNDS [SEED]]
exec python3 "$(dirname "$0")/tracking.py" "$@"
