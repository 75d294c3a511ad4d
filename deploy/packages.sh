# Sourced by deploy/local and tests/run: what Debian 12 must have, and how it gets it.
# shellcheck shell=bash
BUILD_PACKAGES=(build-essential cmake ninja-build pkg-config libuv1-dev libcurl4-openssl-dev libssl-dev
    libprotobuf-c-dev protobuf-c-compiler libzstd-dev liblz4-dev libxxhash-dev libmicrohttpd-dev libcmocka-dev
    python3)
TEST_PACKAGES=(git curl procps openssl redis-server redis-tools clang-format-14 clang-tidy-14 ceph-mon ceph-osd ceph-common
    radosgw iproute2 faketime spin libhiredis-dev python3-redis)

missing_packages() {
    local p
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || echo "$p"
    done
}

# Install what is missing of the named packages, as root or by sudo. The first word says whether it must succeed.
install_packages() { # required|optional package...
    local need=$1 missing root=()
    shift
    if ! command -v dpkg-query >/dev/null; then
        echo "This is no Debian; the packages needed are: $*"
        return 0
    fi
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    echo "installing ${missing[*]}"
    if (($(id -u) != 0)); then
        command -v sudo >/dev/null || { echo "not root and no sudo: install them by hand"; [ "$need" = optional ]; return; }
        root=(sudo)
    fi
    "${root[@]}" apt-get -qq -o Acquire::Retries=3 update || true
    if "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install \
        --no-install-recommends "${missing[@]}" >/dev/null; then
        return 0
    fi
    if [ "$need" = required ]; then
        echo "apt-get could not install: ${missing[*]}"
        return 1
    fi
    local p # one that cannot be had must not keep the others away
    for p in "${missing[@]}"; do
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install \
            --no-install-recommends "$p" >/dev/null 2>&1 || echo "not installed: $p (tests that need it are skipped)"
    done
}
