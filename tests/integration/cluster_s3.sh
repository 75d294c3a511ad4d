#!/usr/bin/env bash
# A whole cluster on a real S3 server (Ceph's RADOS gateway): cluster_s3.sh BIN_DIR [KEYS]
exec python3 "$(dirname "$0")/cluster.py" "$1" s3 "${2:-1000000}"
