#!/usr/bin/env bash
# What can be wrong with an S3 store, and a store that goes away: bad_input_s3.sh BIN_DIR
exec python3 "$(dirname "$0")/bad_input_s3.py" "$@"
