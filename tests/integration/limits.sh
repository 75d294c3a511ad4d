#!/usr/bin/env bash
# Limits and outcomes from outside: limits.sh BIN_DIR
exec python3 "$(dirname "$0")/limits.py" "$@"
