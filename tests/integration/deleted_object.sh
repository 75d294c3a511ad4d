#!/usr/bin/env bash
# Live tables and slots of the log deleted and damaged by hand: deleted_object.sh BIN_DIR [file|s3]
exec python3 "$(dirname "$0")/deleted_object.py" "$@"
