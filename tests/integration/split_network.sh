#!/usr/bin/env bash
# A network that splits between nodes, and between nodes and the store: split_network.sh BIN_DIR
exec python3 "$(dirname "$0")/split_network.py" "$@"
