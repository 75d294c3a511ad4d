#!/usr/bin/env bash
# A writer that is killed at random moments: lifecycle.sh BIN_DIR [ROUNDS [SEED]]
exec python3 "$(dirname "$0")/lifecycle.py" "$@"
