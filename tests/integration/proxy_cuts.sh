#!/usr/bin/env bash
# Connections to the store cut at every point, from each node in turn: proxy_cuts.sh BIN_DIR [SECONDS]
exec python3 "$(dirname "$0")/proxy_cuts.py" "$@"
