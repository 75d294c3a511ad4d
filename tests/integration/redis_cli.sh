#!/usr/bin/env bash
# redis-cli and redis-benchmark against a writer and a reader: redis_cli.sh BIN_DIR
exec python3 "$(dirname "$0")/redis_cli.py" "$@"
