#!/usr/bin/env bash
# A whole cluster on a directory: cluster_file.sh BIN_DIR [KEYS]
exec python3 "$(dirname "$0")/cluster.py" "$1" file "${2:-300000}"
