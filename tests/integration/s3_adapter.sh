#!/usr/bin/env bash
# The S3 adapter against a Ceph gateway of its own.
#   s3_adapter.sh BIN_DIR
set -euo pipefail
bin=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
finish() {
    local rc=$?
    "$here/ceph-rgw.sh" stop "$work/ceph"
    rm -rf "$work"
    exit "$rc"
}
trap finish EXIT
OSD_BYTES=1073741824 "$here/ceph-rgw.sh" start "$work/ceph" >"$work/out" || { rc=$?; cat "$work/out"; exit "$rc"; }
set -a
# shellcheck disable=SC1091
. "$work/ceph/env"
set +a
export HOME=$work
"$bin/s3_adapter_test"
[ -z "${S3_TLS_ENDPOINT:-}" ] || S3_ENDPOINT=$S3_TLS_ENDPOINT AWS_CA_BUNDLE=$S3_CA_FILE "$bin/s3_adapter_test"
