#!/usr/bin/env bash
# A PostgreSQL of our own for tests: on loopback, on a free port, with all of its data in one folder,
# beside any other that runs on this machine. Needs the server's programs, not its cluster; installs
# Debian's when they are missing and root or sudo may. The server refuses to run as root, so root
# starts it as the user `nobody`.
#
#   scripts/postgres.sh start FOLDER [--tls | --careless]
#                                       starts it, waits until it takes connections, prints its URL;
#                                       in a folder where it ran before, as it was and where it was
#   scripts/postgres.sh stop FOLDER     stops it; what was committed stays
#   scripts/postgres.sh kill FOLDER     ends all of its processes at once, as a crash does
#
# The URL names a superuser, so that a test can make a database of its own.
#
# With --tls it has ca.pem, certificate.pem and key.pem of FOLDER/tls, takes anybody but the superuser
# by TLS and password only, and the user `certified` with a certificate of ca.pem, too. With --careless
# it writes to the disk, but answers a commit before that unless it is told otherwise: what a crash
# takes then shows who did not tell it.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

usage() {
    sed -n '2,19s/^# \{0,1\}//p' "$0" >&2
    exit 64
}

# The programs themselves: Debian keeps them out of the path, a folder for each version.
programs() {
    local candidate newest=
    for candidate in /usr/lib/postgresql/*/bin; do
        [[ -x $candidate/postgres ]] && newest=$candidate
    done
    [[ -n $newest ]] || return 1
    echo "$newest"
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

# Debian's package makes and starts a cluster of its own unless it is told not to.
install_programs() {
    local folder=$1 settings=/etc/postgresql-common/createcluster.conf
    if ! command -v apt-get >/dev/null || ! as_root true 2>/dev/null; then
        echo "PostgreSQL is not installed: apt-get install postgresql" >&2
        return 1
    fi
    if ! {
        as_root mkdir -p /etc/postgresql-common
        [[ -e $settings ]] || echo 'create_main_cluster = false' | as_root tee "$settings"
        as_root apt-get update -q
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -q --no-install-recommends postgresql
    } >"$folder/install.log" 2>&1; then
        tail -n 20 "$folder/install.log" >&2
        return 1
    fi
}

# Runs a command as whoever the server runs as.
as_server() {
    if [[ $(id -u) -eq 0 ]]; then
        setpriv --reuid nobody --regid nogroup --clear-groups env HOME=/ "$@"
    else
        "$@"
    fi
}

# Everything that the server is told. Tests kill its processes, which loses nothing that they wrote;
# no power fails here, so that no commit need wait for the disk.
write_configuration() {
    local folder=$1 option=$2
    cat >>"$folder/data/postgresql.conf" <<END
listen_addresses = '127.0.0.1'
port = $(free_port)
unix_socket_directories = ''
max_connections = 300
shared_buffers = 64MB
END
    case $option in
        --careless) printf '%s\n' 'synchronous_commit = off' 'wal_writer_delay = 10s' ;;
        *) printf '%s\n' 'fsync = off' 'full_page_writes = off' ;;
    esac >>"$folder/data/postgresql.conf"
    [[ $option != --tls ]] || write_tls "$folder"
}

# The server wants a key that nobody else can read.
write_tls() {
    local folder=$1 data=$1/data file
    for file in ca certificate key; do
        install -m 600 "$folder/tls/$file.pem" "$data/$file.pem"
        [[ $(id -u) -ne 0 ]] || chown nobody:nogroup "$data/$file.pem"
    done
    cat >>"$data/postgresql.conf" <<END
ssl = on
ssl_ca_file = 'ca.pem'
ssl_cert_file = 'certificate.pem'
ssl_key_file = 'key.pem'
END
    cat >"$data/pg_hba.conf" <<END
host all postgres 127.0.0.1/32 trust
hostssl all certified 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostssl all all 127.0.0.1/32 scram-sha-256
END
}

start() {
    local folder=$1 option=${2:-} bin port
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    if ! bin=$(programs); then
        install_programs "$folder"
        bin=$(programs)
    fi
    if [[ ! -f $folder/data/PG_VERSION ]]; then
        mkdir -p "$folder/data"
        if [[ $(id -u) -eq 0 ]]; then
            chown nobody:nogroup "$folder" "$folder/data"
        fi
        (cd / && as_server "$bin/initdb" --pgdata "$folder/data" --username postgres --auth trust \
            --encoding UTF8 --no-locale) >"$folder/initdb.log" 2>&1 || {
            tail -n 20 "$folder/initdb.log" >&2
            return 1
        }
        write_configuration "$folder" "$option"
    fi
    port=$(sed -n 's/^port = //p' "$folder/data/postgresql.conf" | tail -n 1)
    # What a killed server left behind keeps a new one from starting as long as the number is in use.
    if ! (cd / && as_server setsid "$bin/pg_ctl" start --pgdata "$folder/data" --silent --wait \
        --timeout 120 --log "$folder/server.log") >"$folder/start.log" 2>&1 </dev/null; then
        echo "PostgreSQL did not start; the end of $folder/server.log:" >&2
        tail -n 20 "$folder/start.log" "$folder/server.log" >&2
        return 1
    fi
    echo "postgres://postgres@127.0.0.1:$port/postgres"
}

stop() {
    local folder=$1 bin
    [[ -f $folder/data/postmaster.pid ]] || return 0
    bin=$(programs)
    (cd / && as_server "$bin/pg_ctl" stop --pgdata "$folder/data" --mode fast --wait --silent \
        --timeout 60) >"$folder/stop.log" 2>&1 || true
}

# The postmaster and everything that it started, without a word to anybody.
kill_all() {
    local folder=$1 postmaster children
    postmaster=$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null || true)
    [[ -n $postmaster ]] || return 0
    kill -STOP "$postmaster" 2>/dev/null || return 0
    children=$(grep -ls "^PPid:[[:space:]]*$postmaster\$" /proc/[0-9]*/status | cut -d / -f 3 || true)
    # shellcheck disable=SC2086
    kill -KILL $children "$postmaster" 2>/dev/null || true
    for _ in {1..100}; do
        kill -0 "$postmaster" 2>/dev/null || return 0
        sleep 0.05
    done
}

[[ $# -ge 2 ]] || usage
folder=$2
[[ $1 == start || ! -d $folder ]] || folder=$(cd "$folder" && pwd)
case $1,$#,${3:-} in
    start,2, | start,3,--tls | start,3,--careless) start "${@:2}" ;;
    stop,2,) stop "$folder" ;;
    kill,2,) kill_all "$folder" ;;
    *) usage ;;
esac
