#!/usr/bin/env bash
# Full disks, the store's and the nodes' own: disk_full.sh BIN_DIR
exec python3 "$(dirname "$0")/disk_full.py" "$@"
