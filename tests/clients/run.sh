#!/usr/bin/env bash
# Programs written against the client libraries that Debian has, where they are installed: run.sh BIN_DIR
set -euo pipefail

local_programs() { # directory for what is compiled; adds to programs
    local here python
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    if cc -O1 -Wall -Wextra -Werror -o "$1/hiredis" "$here/hiredis_client.c" -lhiredis 2>"$1/hiredis.log"; then
        programs+=("$1/hiredis")
    elif [ -e /usr/include/hiredis/hiredis.h ]; then
        cat "$1/hiredis.log"
        return 1
    fi
    for python in /usr/bin/python3 python3; do
        if "$python" -c 'import redis' 2>/dev/null; then
            programs+=("$python $here/redis_py.py")
            break
        fi
    done
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    programs=()
    local_programs "$work"
    python3 "$(dirname "$0")/clients.py" "$1" "${programs[@]}"
fi
