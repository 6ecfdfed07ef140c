#!/usr/bin/env bash
# The crash judge at any size: the real binary with a real RabbitMQ of its own is killed, cut off and
# started again at random while alerts are pushed; at the end everything that was acknowledged must be
# on the queue as it was pushed, and nothing else. Prints what was done and found; the same seed does
# the same again.
#
#   scripts/crash-test.sh [--seed N] [--kills N] [--notifications N]
#
# Without options: a seed by chance, 100 kills, 20,000 notifications.
set -euo pipefail
cd "$(dirname "$0")/.."

export HARFANGLAB_INCIDENTS_TEST_CRASH_KILLS=100 HARFANGLAB_INCIDENTS_TEST_CRASH_NOTIFICATIONS=20000

usage() {
    sed -n '2,9s/^# \{0,1\}//p' "$0"
}

while [[ $# -gt 0 ]]; do
    case $1 in
        --seed) export HARFANGLAB_INCIDENTS_TEST_CRASH_SEED=${2:?} ;;
        --kills) HARFANGLAB_INCIDENTS_TEST_CRASH_KILLS=${2:?} ;;
        --notifications) HARFANGLAB_INCIDENTS_TEST_CRASH_NOTIFICATIONS=${2:?} ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 64
            ;;
    esac
    shift 2
done

work=$(mktemp -d)
trap 'scripts/rabbitmq.sh stop "$work/rabbitmq" || true; rm -rf "$work"' EXIT
url=$(scripts/rabbitmq.sh start "$work/rabbitmq")
export HARFANGLAB_INCIDENTS_TEST_AMQP_URL=$url
cargo test --test it -- crash:: --nocapture
