#!/usr/bin/env bash
# The store goes away under load, several times: store_outage.sh BIN_DIR [KILLS [SECONDS]]
exec python3 "$(dirname "$0")/store_outage.py" "$@"
