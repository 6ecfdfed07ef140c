#!/usr/bin/env bash
# An S3-compatible server of our own for tests, which verifies signatures: on loopback, on a free
# port, with everything it needs in one folder. Needs Python 3 with venv, the package registry that
# pip asks, and no root.
#
#   scripts/s3.sh start FOLDER    installs and starts it, waits until it answers, prints its URL
#   scripts/s3.sh stop FOLDER     stops it
#
# The URL holds keys and bucket: http://ACCESS:SECRET@127.0.0.1:PORT/BUCKET
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

readonly MOTO_VERSION=5.2.5
readonly BUCKET=harfanglab-incidents-test
# The only keys that the server knows.
readonly KEYS=test-access:test-secret

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 64
}

# Whether somebody listens at this port of 127.0.0.1.
answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

start() {
    local folder=$1 port pid here
    here=$(cd "$(dirname "$0")" && pwd)
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    if ! { python3 -m venv "$folder/venv" &&
        "$folder/venv/bin/pip" install --quiet "moto[server]==$MOTO_VERSION"; } \
        >"$folder/install.log" 2>&1; then
        tail -n 20 "$folder/install.log" >&2
        return 1
    fi
    port=$(free_port)
    setsid "$folder/venv/bin/python" "$here/s3_server.py" "$port" "$BUCKET" \
        >"$folder/server.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$folder/pid"
    for _ in {1..300}; do
        if answers "$port"; then
            echo "http://$KEYS@127.0.0.1:$port/$BUCKET"
            return
        fi
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.2
    done
    echo "the S3 server did not start; the end of $folder/server.log:" >&2
    tail -n 20 "$folder/server.log" >&2
    stop "$folder"
    return 1
}

stop() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null || true)
    [[ -n $pid ]] && kill -TERM "$pid" 2>/dev/null || return 0
    for _ in {1..50}; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.2
    done
    kill -KILL "$pid" 2>/dev/null || true
}

[[ $# -eq 2 ]] || usage
case $1 in
    start) start "$2" ;;
    stop) stop "$2" ;;
    *) usage ;;
esac
