#!/usr/bin/env bash
#
# ceph-rgw.sh - a throw-away single-node Ceph cluster with an S3 endpoint.
#
#   ceph-rgw.sh start  DIR     bring up mon + osd + radosgw, state under DIR; print the environment;
#                              a stopped bluestore cluster there is resumed; TLS is offered as well
#                              where openssl is installed
#   ceph-rgw.sh stop   DIR     end exactly the daemons recorded in DIR/pids
#   ceph-rgw.sh env    DIR     print the endpoint and keys as shell assignments
#   ceph-rgw.sh status DIR     one line per recorded daemon
#   ceph-rgw.sh down   DIR     SIGKILL radosgw only
#   ceph-rgw.sh up     DIR     start it again
#   ceph-rgw.sh crash  DIR     both
#   ceph-rgw.sh crashall DIR   SIGKILL all three and resume (bluestore only)
#
# Exits with 77 and "skipped: …" when the packages ceph-mon, ceph-osd, ceph-common and radosgw are not
# installed (apt-get install --no-install-recommends).  Needs no systemd, no root, no ceph-mgr.
# Everything the daemons write goes below DIR, everything listens on 127.0.0.1 only; several clusters
# can run side by side.
#
# Settings (environment):
#   S3_PORT        radosgw's HTTP port; the 42 above it are Ceph's     (default: a free range)
#   S3_ACCESS_KEY  access key of the one S3 user                       (default testaccess)
#   S3_SECRET_KEY  its secret key                                      (default testsecret)
#   S3_BUCKET      bucket to create on start, empty = none             (default test)
#   OSD_STORE      memstore (RAM, nothing survives) or bluestore (file in DIR; default memstore)
#   OSD_BYTES      size of the object store (default 4 GiB); a full one makes writes wait, not fail
#   RGW_DEBUG      radosgw's log level; 1 logs every request           (default 0)
#
# This is a test fixture: one replica, no authentication between the daemons.  Never point it at data
# that matters.

set -euo pipefail

cmd=${1:-}
dir=${2:-}
case "$cmd" in
    start|stop|env|status|down|up|crash|crashall) ;;
    *) sed -n '3,15s/^# \?//p' "$0" >&2; exit 2 ;;
esac
[ -n "$dir" ] || { echo "usage: $0 $cmd DIR" >&2; exit 2; }

PORTS=43 # one for S3, one for the monitor, the last for S3 over TLS, the rest for the osd
S3_PORT=${S3_PORT:-}
S3_ACCESS_KEY=${S3_ACCESS_KEY:-testaccess}
S3_SECRET_KEY=${S3_SECRET_KEY:-testsecret}
S3_BUCKET=${S3_BUCKET-test}
OSD_STORE=${OSD_STORE:-memstore}
OSD_BYTES=${OSD_BYTES:-4294967296}
RGW_DEBUG=${RGW_DEBUG:-0}

t0=$(date +%s%3N)
log() {
    local ms=$(($(date +%s%3N) - t0))
    printf '[ceph-rgw %3d.%03d s] %s\n' $((ms / 1000)) $((ms % 1000)) "$*" >&2
}

die() {
    echo "ceph-rgw: $*" >&2
    exit 1
}

# --- process bookkeeping ----------------------------------------------------

# A daemon is remembered as "NAME PID STARTTIME".  The start time (field 22 of /proc/PID/stat, in clock
# ticks since boot) makes sure that a reused PID is never signalled.  A zombie counts as gone: its
# reaper may take seconds.
start_time() {
    sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

alive() { # PID STARTTIME
    [ -n "$1" ] && [ "$(start_time "$1")" = "$2" ]
}

spawn() { # NAME COMMAND...
    local name=$1
    shift
    setsid "$@" </dev/null >"$dir/log/$name.out" 2>&1 &
    local pid=$!
    disown "$pid"
    echo "$name $pid $(start_time "$pid")" >>"$dir/pids"
}

stop_one() { # PID STARTTIME SIGNAL
    alive "$1" "$2" || return 0
    kill "-$3" "$1" 2>/dev/null || return 0
    local _
    for _ in $(seq 100); do
        alive "$1" "$2" || return 0
        sleep 0.05
    done
    kill -KILL "$1" 2>/dev/null || true
}

stop_all() {
    [ -f "$dir/pids" ] || return 0
    # Last started, first stopped: the gateway, then the osd, then the monitor.
    local name pid start
    while read -r name pid start; do
        stop_one "$pid" "$start" TERM
    done < <(tac "$dir/pids")
    rm -f "$dir/pids"
}

wait_for() { # SECONDS WHAT COMMAND...
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || die "no $what in time; see $dir/log"
        sleep 0.05
    done
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

range_free() { # FIRST
    local p
    for ((p = $1; p < $1 + PORTS; p++)); do
        ! port_open "$p" || return 1
    done
}

# Two clusters that start at once must not take the same range: a folder per range is the lock.  It goes
# away with the cluster; one whose owner is gone is taken over.
claim() { # FIRST
    local lock="${TMPDIR:-/tmp}/ceph-rgw-$1.lock" owner
    if ! mkdir "$lock" 2>/dev/null; then
        owner=$(cat "$lock/dir" 2>/dev/null) || return 1
        [ ! -e "$owner/pids" ] && [ ! -d "/proc/$(cat "$lock/pid" 2>/dev/null || echo self)" ] || return 1
    fi
    echo "$dir" >"$lock/dir" && echo $$ >"$lock/pid" && echo "$lock" >"$dir/lock"
}

release() {
    [ -f "$dir/lock" ] && rm -rf "$(cat "$dir/lock")" "$dir/lock"
    return 0
}

# Below 32768, where the kernel takes ports of its own for connections.
pick_ports() {
    [ -z "$S3_PORT" ] || { range_free "$S3_PORT" || die "a port of $S3_PORT to $((S3_PORT + PORTS - 1)) is taken"; return; }
    local _ try
    for _ in $(seq 50); do
        try=$((10000 + RANDOM % 400 * 50))
        if claim "$try"; then
            S3_PORT=$try
            range_free "$try" && return
            release
        fi
    done
    die "found no free range of $PORTS ports"
}

# --- configuration ----------------------------------------------------------

# A certificate of its own for 127.0.0.1, which is also the authority to trust.
make_certificate() {
    command -v openssl >/dev/null || return 0
    openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=ceph-rgw-test \
        -addext "subjectAltName = IP:127.0.0.1, DNS:localhost" \
        -keyout "$dir/tls.key" -out "$dir/tls.pem" 2>"$dir/log/openssl.err" || die "openssl failed; see $dir/log/openssl.err"
}

write_conf() {
    local tls=''
    [ ! -f "$dir/tls.pem" ] ||
        tls=" ssl_endpoint=127.0.0.1:$TLS_PORT ssl_certificate=$dir/tls.pem ssl_private_key=$dir/tls.key"
    cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon host = [v2:127.0.0.1:$MON_PORT]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv4 = true
ms bind ipv6 = false
ms bind port min = $((MON_PORT + 1))
ms bind port max = $((TLS_PORT - 1))

# No authentication between the daemons: all of them are ours and on loopback.
auth cluster required = none
auth service required = none
auth client required = none
# radosgw asks its monitor for encryption, which needs a cephx session key.
ms mon client mode = crc
ms client mode = crc
ms cluster mode = crc

# Keep every path inside DIR.
run dir = $dir/run
admin socket =
log file = $dir/log/\$name.log
log to stderr = false
mon cluster log file = $dir/log/cluster.log
crash dir = $dir/run
keyring = $dir/keyring
mon data = $dir/mon
osd data = $dir/osd
rgw data = $dir/rgw

# One osd, one copy of everything, few placement groups.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon warn on pool no redundancy = false

[mon]
# A pool creation costs a few paxos rounds; by default each waits a second.
paxos propose interval = 0.02
paxos min wait = 0.01
mon data avail crit = 1
mon data avail warn = 1
mon allow pool delete = true

[osd]
osd objectstore = $OSD_STORE
memstore device bytes = $OSD_BYTES
bluestore block size = $OSD_BYTES
bluestore cache autotune = false
bluestore cache size = 268435456
osd memory target = 939524096
osd scrub load threshold = 0
osd mclock skip benchmark = true

[client]
# Without tcp_nodelay every answer sent in two segments waits 40 ms for an ACK.
rgw frontends = beast endpoint=127.0.0.1:$S3_PORT$tls tcp_nodelay=1
rgw enable apis = s3, admin
debug rgw = $RGW_DEBUG
rgw thread pool size = 64
rgw dynamic resharding = false
rgw enable usage log = false
rgw enable ops log = false
rgw enable quota threads = false
rgw enable lc threads = false
rgw run sync thread = false
# Overwritten and deleted data is freed after minutes, not hours.
rgw gc obj min wait = 300
rgw gc processor period = 300
rgw gc processor max time = 300
CONF
}

# --- daemons ----------------------------------------------------------------

start_mon() {
    spawn mon ceph-mon -c "$dir/ceph.conf" -i a -f
    wait_for 30 "monitor port" port_open "$MON_PORT"
    log "monitor up"
}

start_osd() {
    spawn osd ceph-osd -c "$dir/ceph.conf" -i 0 -f
    log "osd started"
}

start_rgw() {
    spawn rgw radosgw -c "$dir/ceph.conf" -n client.rgw -f
    wait_for 60 "radosgw port" port_open "$S3_PORT"
    log "gateway up"
}

load_env() {
    # shellcheck disable=SC1091
    . "$dir/env"
    S3_PORT=${S3_ENDPOINT##*:}
    MON_PORT=$((S3_PORT + 1))
    OSD_STORE=$(sed -n 's/^osd objectstore = //p' "$dir/ceph.conf")
}

resume_cluster() {
    [ "$OSD_STORE" != memstore ] || die "memstore keeps nothing over a stop; use a fresh DIR"
    trap 'stop_all' ERR EXIT
    start_mon
    start_osd
    start_rgw
    trap - ERR EXIT
}

start_cluster() {
    local tool
    for tool in ceph-mon ceph-osd radosgw radosgw-admin monmaptool ceph curl; do
        command -v "$tool" >/dev/null || { echo "skipped: $tool is not installed"; exit 77; }
    done
    mkdir -p "$dir"/{run,log,mon,osd,rgw}
    dir=$(cd "$dir" && pwd)
    trap 'stop_all; release' ERR EXIT
    pick_ports
    MON_PORT=$((S3_PORT + 1))
    TLS_PORT=$((S3_PORT + PORTS - 1))
    make_certificate
    write_conf
    local conf=$dir/ceph.conf fsid osd_uuid
    fsid=$(sed -n 's/^fsid = //p' "$conf")

    monmaptool --create --clobber --fsid "$fsid" \
        --addv a "[v2:127.0.0.1:$MON_PORT]" "$dir/monmap" >/dev/null
    ceph-mon -c "$conf" -i a --mkfs --monmap "$dir/monmap"
    start_mon

    osd_uuid=$(cat /proc/sys/kernel/random/uuid)
    ceph -c "$conf" --connect-timeout 30 osd new "$osd_uuid" 0 >/dev/null
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_uuid" >"$dir/log/osd-mkfs.out" 2>&1
    start_osd

    # The first radosgw-admin call blocks until the osd is up, and creates the realm's system pools on
    # the way.
    timeout 90 radosgw-admin -c "$conf" -n client.rgw user create \
        --uid tester --display-name tester --max-buckets=0 \
        --access-key "$S3_ACCESS_KEY" --secret-key "$S3_SECRET_KEY" \
        >"$dir/log/user.json" 2>"$dir/log/user.err" || die "user create failed; see $dir/log/user.err"
    log "S3 user made"
    start_rgw

    if [ -n "$S3_BUCKET" ]; then
        wait_for 60 "bucket" curl -sf -o /dev/null --noproxy '*' -X PUT \
            --aws-sigv4 "aws:amz:us-east-1:s3" --user "$S3_ACCESS_KEY:$S3_SECRET_KEY" \
            -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" \
            "http://127.0.0.1:$S3_PORT/$S3_BUCKET"
        log "bucket $S3_BUCKET made"
    fi
    trap - ERR EXIT
    print_env >"$dir/env"
}

print_env() {
    cat <<ENV
S3_ENDPOINT=http://127.0.0.1:$S3_PORT
S3_ACCESS_KEY=$S3_ACCESS_KEY
S3_SECRET_KEY=$S3_SECRET_KEY
S3_REGION=us-east-1
S3_BUCKET=$S3_BUCKET
ENV
    [ ! -f "$dir/tls.pem" ] || cat <<ENV
S3_TLS_ENDPOINT=https://127.0.0.1:$TLS_PORT
S3_CA_FILE=$dir/tls.pem
ENV
}

rgw_down() {
    local pid start
    [ -f "$dir/pids" ] || die "not running"
    read -r _ pid start < <(grep '^rgw ' "$dir/pids" | tail -1) || die "the gateway is down already"
    stop_one "$pid" "$start" KILL
    grep -v '^rgw ' "$dir/pids" >"$dir/pids.new"
    mv "$dir/pids.new" "$dir/pids"
}

rgw_up() {
    load_env
    start_rgw
}

# --- commands ---------------------------------------------------------------

[ ! -d "$dir" ] || dir=$(cd "$dir" && pwd)
case "$cmd" in
start)
    [ ! -e "$dir/pids" ] || die "$dir already has a running cluster"
    if [ -f "$dir/env" ]; then
        load_env
        resume_cluster
    else
        start_cluster
    fi
    cat "$dir/env"
    ;;
stop)
    stop_all
    release
    ;;
env)
    cat "$dir/env"
    ;;
status)
    [ -f "$dir/pids" ] || { echo "not running"; exit 1; }
    while read -r name pid start; do
        if alive "$pid" "$start"; then
            echo "$name $pid up $(awk '/VmRSS/{print $2" kB rss"}' "/proc/$pid/status")"
        else
            echo "$name $pid gone"
        fi
    done <"$dir/pids"
    ;;
down)
    rgw_down
    ;;
up)
    rgw_up
    ;;
crash)
    rgw_down
    rgw_up
    ;;
crashall)
    [ -f "$dir/pids" ] || die "not running"
    load_env
    while read -r _ pid start; do
        stop_one "$pid" "$start" KILL
    done <"$dir/pids"
    rm -f "$dir/pids"
    resume_cluster
    ;;
esac
