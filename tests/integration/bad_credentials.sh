#!/usr/bin/env bash
# The key of all nodes goes bad while they run, and another one is given: bad_credentials.sh BIN_DIR
exec python3 "$(dirname "$0")/bad_credentials.py" "$@"
