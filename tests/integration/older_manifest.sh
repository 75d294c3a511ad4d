#!/usr/bin/env bash
# The manifest replaced by an older copy while all nodes run: older_manifest.sh BIN_DIR [file|s3]
exec python3 "$(dirname "$0")/older_manifest.py" "$@"
