#!/usr/bin/env bash
# Expired events and the space of what has expired: expiry.sh BIN_DIR [KEYS [TTL_SECONDS]]
exec python3 "$(dirname "$0")/expiry.py" "$@"
