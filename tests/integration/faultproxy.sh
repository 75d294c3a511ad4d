#!/usr/bin/env bash
# The proxy that tests and benchmarks rely on does what it is told to.
#   faultproxy.sh BIN_DIR
set -euo pipefail
proxy=$1/faultproxy
for p in curl python3; do
    command -v "$p" >/dev/null || { echo "skipped: $p is not installed"; exit 77; }
done
work=$(mktemp -d)
pids=()
finish() {
    local rc=$?
    ((${#pids[@]} == 0)) || kill "${pids[@]}" 2>/dev/null || true
    rm -rf "$work"
    exit "$rc"
}
trap finish EXIT

# Waits until a file has a line, and prints what stands behind its last blank.
word_of() { # FILE PATTERN
    local _
    for _ in $(seq 200); do
        grep -q "$2" "$1" 2>/dev/null && { sed -n "s#.*$2.* ##p" "$1" | tail -n 1; return; }
        sleep 0.05
    done
    echo "no \"$2\" in $1" >&2
    return 1
}

# A store: notes each request when its body has come, and answers with ten bytes, in chunks for /chunked.
cat >"$work/store.py" <<'PY'
import http.server, sys
class Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with open(sys.argv[1], "a") as f:
            f.write(f"{self.command} {self.path} {len(body)}\n")
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n")
        else:
            self.send_header("Content-Length", "10")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(b"0123456789")
    do_GET = do_HEAD = do_PUT = do_DELETE = serve
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
print("store at", server.server_address[1], flush=True)
server.serve_forever()
PY
touch "$work/seen"
python3 "$work/store.py" "$work/seen" >"$work/store.out" 2>"$work/store.err" &
pids+=($!)
store=$(word_of "$work/store.out" "store at")

start() { # options... : sets url and pid
    "$proxy" --listen 127.0.0.1:0 --to "127.0.0.1:$store" "$@" >"$work/proxy.out" &
    pid=$!
    pids+=("$pid")
    url=http://$(word_of "$work/proxy.out" "listening on")
}
end() { # prints the counts
    kill "$pid"
    word_of "$work/proxy.out" " requests, " >/dev/null
    tail -n 1 "$work/proxy.out"
}
# Exit status of curl, HTTP status, body.
ask() { curl -sS --noproxy '*' -H 'Expect:' -m 10 -w ' %{http_code}' "$@" 2>/dev/null && echo " 0" || echo " $?"; }
expect() { # about what, what came, what is wanted
    [ "$2" = "$3" ] || { echo "$1: got \"$2\", wanted \"$3\""; exit 1; }
}

head -c 3000000 /dev/zero >"$work/big"
start --put-delay-ms 150 --get-delay-ms 0-5
expect "get" "$(ask "$url/a")" "0123456789 200 0"
expect "chunks" "$(ask "$url/chunked")" "0123456789 200 0"
expect "head" "$(ask -I -o /dev/null "$url/a")" " 200 0"
expect "two on one connection" "$(ask "$url/a" "$url/b")" "0123456789 2000123456789 200 0"
t0=$(date +%s%3N)
expect "put" "$(ask -T "$work/big" "$url/big")" "0123456789 200 0"
took=$(($(date +%s%3N) - t0))
((took >= 150)) || { echo "a PUT took $took ms in spite of the delay"; exit 1; }
grep -q "^PUT /big 3000000$" "$work/seen" || { echo "the PUT did not arrive whole"; exit 1; }
kill -USR1 "$pid"
word_of "$work/proxy.out" "outage begins" >/dev/null
case "$(ask "$url/a")" in
" 000 52" | " 000 56") ;; # an empty reply, or a reset
*) echo "a request was answered in an outage"; exit 1 ;;
esac
kill -USR1 "$pid"
word_of "$work/proxy.out" "outage ends" >/dev/null
expect "after the outage" "$(ask "$url/a")" "0123456789 200 0"
end >/dev/null

start --drop-reply-percent 100 --cut-percent 100 --match /faulty
expect "no match" "$(ask -T "$work/big" "$url/fine")" "0123456789 200 0"
expect "dropped reply" "$(ask -T "$work/big" "$url/faulty/1")" " 000 52"
grep -q "^PUT /faulty/1 3000000$" "$work/seen" || { echo "the PUT without a reply did not arrive"; exit 1; }
expect "cut body" "$(ask "$url/faulty/2")" "01234 200 18"
expect "counts" "$(end)" "faultproxy: 3 requests, 1 replies dropped, 0 errors, 1 cut, 0 held, 0 refused, 0 halves, 0 heads"

start --error-percent 100 --deny DELETE
expect "slow down" "$(ask -T "$work/big" "$url/no")" \
    '<?xml version="1.0"?><Error><Code>SlowDown</Code></Error> 503 0'
expect "denied" "$(ask -X DELETE "$url/no")" \
    '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error> 403 0'
! grep -q " /no " "$work/seen" || { echo "a refused request was passed on"; exit 1; }
end >/dev/null

start --hold-percent 100 --hold-ms 600
expect "held" "$(ask -m 0.2 -T "$work/big" "$url/late")" " 000 28"
! grep -q "/late" "$work/seen" || { echo "a held PUT was passed on at once"; exit 1; }
word_of "$work/seen" "PUT /late" >/dev/null
end >/dev/null
echo "faultproxy: all as told"
