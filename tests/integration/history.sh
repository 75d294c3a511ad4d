#!/usr/bin/env bash
# Clients record what they do under failover, and the history is checked: history.sh BIN_DIR [file|s3]
exec python3 "$(dirname "$0")/history.py" "$@"
