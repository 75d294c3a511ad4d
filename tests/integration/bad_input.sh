#!/usr/bin/env bash
# Wrong words, damaged stores, clients out of bounds, two writers: bad_input.sh BIN_DIR
exec python3 "$(dirname "$0")/bad_input.py" "$@"
