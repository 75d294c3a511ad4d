#!/usr/bin/env bash
# deploy/local with the real programs: what was written survives kill -9 of each node and of all, and a stop.
#   deploy_local.sh BIN_DIR
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=$1
for p in firn-writer firn-reader firn-compactor; do
    [ -x "$bin/$p" ] || { echo "skipped: $p is not built"; exit 77; }
done
command -v redis-cli >/dev/null || { echo "skipped: redis-cli is not installed"; exit 77; }

work=$(mktemp -d)
local=(./deploy/local --dir "$work/cluster")
finish() {
    local rc=$?
    ((rc == 0)) || "${local[@]}" logs || true
    "${local[@]}" down >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$rc"
}
trap finish EXIT
port=$((20000 + RANDOM % 200 * 100)) # away from what others use by default; HTTP lies 1000 above

say() { echo "-- $*"; }
expect() { # what was got, what is wanted, about what
    [ "$1" = "$2" ] || { echo "$3: got \"$1\", wanted \"$2\""; exit 1; }
}
cli() { timeout 10 redis-cli -p "$@"; }
# A replica may lag by its freshness: ask for the newest state.
read_newest() { printf 'KV.FRESHNESS 0\nGET %s\n' "$2" | cli "$1" | tail -n 1; }

say "up"
"${local[@]}" up --bin "$bin" --base-port "$port" --readers 2
expect "$(cli "$port" set greeting hello)" OK "SET"
expect "$(cli "$port" incr visits)" 1 "INCR"
expect "$(read_newest $((port + 1)) greeting)" hello "the first reader"
expect "$(read_newest $((port + 2)) visits)" 1 "the second reader"

say "the writer is killed: readers serve"
"${local[@]}" kill writer
expect "$(cli $((port + 1)) get greeting)" hello "a reader without a writer"
expect "$("${local[@]}" status | grep -c ' down$')" 1 "nodes that are down"
"${local[@]}" up --bin "$bin" | grep -x "started: writer"
expect "$(cli "$port" incr visits)" 2 "INCR after the writer came back"

say "everything is killed: nothing is lost"
for n in writer reader-1 reader-2 compactor; do "${local[@]}" kill "$n"; done
"${local[@]}" up --bin "$bin" >/dev/null
expect "$(cli "$port" get visits)" 2 "the writer after all were killed"
expect "$(read_newest $((port + 2)) visits)" 2 "a reader after all were killed"

say "down and up: the data stays"
"${local[@]}" down
expect "$("${local[@]}" status | grep -c ' down$')" 4 "nodes that are down"
"${local[@]}" up --bin "$bin" >/dev/null
expect "$(cli "$port" get greeting)" hello "after down and up"
"${local[@]}" up --bin "$bin" | grep -x "started: nothing, all nodes were running"
say "ok"
