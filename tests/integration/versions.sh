#!/usr/bin/env bash
# Programs one format apart over one database: versions.sh BIN_DIR
exec python3 "$(dirname "$0")/versions.py" "$@"
