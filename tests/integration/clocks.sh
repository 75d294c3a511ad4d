#!/usr/bin/env bash
# Wrong and jumping clocks: clocks.sh BIN_DIR [s3]
exec python3 "$(dirname "$0")/clocks.py" "$@"
