#!/usr/bin/env bash
# The crash judge at any size: the real binary and a real RabbitMQ of its own are killed, cut off,
# locked out and started again at random while alerts are pushed; at the end everything that was
# acknowledged must be on the queue as it was pushed, and nothing else. Prints what was done and found;
# the same seed does the same again.
#
#   scripts/crash-test.sh [--postgres] [--seed N] [--kills N] [--notifications N]
#
# Without options: a seed by chance, 100 kills, ten of them of RabbitMQ too, 20,000 notifications, the
# journal in its file. With --postgres the journal is in a PostgreSQL of its own, which every second
# strike kills.
set -euo pipefail
cd "$(dirname "$0")/.."

export HARFANGLAB_INCIDENTS_TEST_CRASH_KILLS=100 HARFANGLAB_INCIDENTS_TEST_CRASH_NOTIFICATIONS=20000
# More patience, as the large sizes need it.
export HARFANGLAB_INCIDENTS_TEST_LONG=1

usage() {
    sed -n '2,12s/^# \{0,1\}//p' "$0"
}

judge=service::crash::whatever_is_killed
while [[ $# -gt 0 ]]; do
    case $1 in
        --postgres)
            judge=service::crash::all_that_was_acknowledged_arrives_too
            shift
            continue
            ;;
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

cargo test --locked --test it -- "$judge" --nocapture
