#!/usr/bin/env bash
# Requests with IDs and transactions over writers that die: transactions.sh BIN_DIR [ROUNDS [SEED]]
exec python3 "$(dirname "$0")/transactions.py" "$@"
