#!/usr/bin/env bash
# Less memory than each role wants, by ulimit -v: memory_limit.sh BIN_DIR
exec python3 "$(dirname "$0")/memory_limit.py" "$@"
