#!/usr/bin/env bash
# Standbys that take over from a writer killed, stopped and frozen: failover.sh BIN_DIR [file|s3] [--strict]
exec python3 "$(dirname "$0")/failover.py" "$@"
