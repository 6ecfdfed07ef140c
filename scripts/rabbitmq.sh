#!/usr/bin/env bash
# A RabbitMQ of our own: on loopback, on free ports, with all of its data in one folder, beside any
# other that runs on this machine. Needs the server's programs, not its service, and no root.
#
#   scripts/rabbitmq.sh start FOLDER [--tls | --tls-clients]
#                                       starts it, waits until it takes connections, prints its URL;
#                                       in a folder where it ran before, as it was and where it was
#   scripts/rabbitmq.sh ctl FOLDER …    its own rabbitmqctl
#   scripts/rabbitmq.sh stop FOLDER     stops it, and the port mapper that came with it
#
# With --tls it also listens for TLS, with ca.pem, certificate.pem and key.pem of FOLDER/tls, and
# prints that URL on a second line; with --tls-clients it demands a certificate of ca.pem there.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"

usage() {
    sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
    exit 64
}

# The programs themselves: Debian's wrappers in /usr/sbin insist on another user.
programs() {
    local candidate
    for candidate in /usr/lib/rabbitmq/bin /usr/lib/rabbitmq/lib/*/sbin; do
        if [[ -x $candidate/rabbitmq-server ]]; then
            echo "$candidate"
            return
        fi
    done
    echo "rabbitmq-server is not installed: apt-get install rabbitmq-server" >&2
    return 1
}

# Everything that the server and its control program are told, by environment.
write_environment() {
    local folder=$1 tls=$2 tls_port
    mkdir -p "$folder/mnesia" "$folder/log"
    echo '[].' >"$folder/enabled_plugins"
    tls_port=$(free_port)
    write_configuration "$folder" "$tls" "$tls_port" >"$folder/rabbitmq.conf"
    cat >"$folder/environment" <<END
export HOME='$folder'
export RABBITMQ_NODENAME=harfanglab-incidents-test-$$@localhost
export RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
export RABBITMQ_NODE_PORT=$(free_port)
export RABBITMQ_DIST_PORT=$(free_port)
export RABBITMQ_MNESIA_BASE='$folder/mnesia'
export RABBITMQ_LOG_BASE='$folder/log'
export RABBITMQ_PID_FILE='$folder/pid'
export RABBITMQ_ENABLED_PLUGINS_FILE='$folder/enabled_plugins'
export RABBITMQ_CONFIG_FILE='$folder/rabbitmq'
export RABBITMQ_CONF_ENV_FILE=/dev/null
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
export ERL_EPMD_ADDRESS=127.0.0.1
export ERL_EPMD_PORT=$(free_port)
export TLS_PORT=${tls:+$tls_port}
END
}

# The server's own configuration: empty, or the listener for TLS.
write_configuration() {
    local folder=$1 tls=$2 port=$3 demands_certificate=false
    [[ -n $tls ]] || return 0
    [[ $tls == --tls ]] || demands_certificate=true
    cat <<END
listeners.ssl.1 = 127.0.0.1:$port
ssl_options.cacertfile = $folder/tls/ca.pem
ssl_options.certfile = $folder/tls/certificate.pem
ssl_options.keyfile = $folder/tls/key.pem
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = $demands_certificate
END
}

start() {
    local folder=$1 tls=${2:-} bin
    bin=$(programs)
    mkdir -p "$folder"
    folder=$(cd "$folder" && pwd)
    rm -f "$folder/pid"
    [[ -f $folder/environment ]] || write_environment "$folder" "$tls"
    # shellcheck source=/dev/null
    . "$folder/environment"
    setsid "$bin/rabbitmq-server" >"$folder/server.log" 2>&1 </dev/null &
    if ! "$bin/rabbitmqctl" wait --timeout 120 "$folder/pid" >"$folder/wait.log" 2>&1; then
        echo "RabbitMQ did not start; the end of $folder/server.log:" >&2
        tail -n 20 "$folder/wait.log" "$folder/server.log" >&2
        stop "$folder"
        return 1
    fi
    echo "amqp://guest:guest@127.0.0.1:$RABBITMQ_NODE_PORT/%2f"
    [[ -z $TLS_PORT ]] || echo "amqps://guest:guest@localhost:$TLS_PORT/%2f"
}

control() {
    local folder=$1 bin
    shift
    bin=$(programs)
    # shellcheck source=/dev/null
    . "$folder/environment"
    "$bin/rabbitmqctl" --quiet "$@"
}

stop() {
    local folder=$1 pid
    [[ -f $folder/environment ]] || return 0
    # shellcheck source=/dev/null
    . "$folder/environment"
    pid=$(cat "$folder/pid" 2>/dev/null || true)
    if [[ -n $pid ]] && kill -TERM "$pid" 2>/dev/null; then
        for _ in {1..150}; do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.2
        done
        kill -KILL "$pid" 2>/dev/null || true
    fi
    # The port mapper was started with the server and outlives it; it has a port of its own.
    epmd -port "$ERL_EPMD_PORT" -kill >/dev/null 2>&1 || true
}

[[ $# -ge 2 ]] || usage
case $1,$#,${3:-} in
    start,2, | start,3,--tls | start,3,--tls-clients) start "${@:2}" ;;
    ctl,*) control "${@:2}" ;;
    stop,2,) stop "$2" ;;
    *) usage ;;
esac
