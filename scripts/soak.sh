#!/usr/bin/env bash
# The soak: the release binary between a simulated console, a strict OpenCTI and a real RabbitMQ of its
# own with a consumer, for minutes at half of the rate that it can keep up with. Prints how memory and
# the journal's file went, and fails when they grow or the log has an error.
#
#   scripts/soak.sh [--minutes N]
#
# Without options: 20 minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

export HARFANGLAB_INCIDENTS_TEST_SOAK_MINUTES=20

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "$0"
}

while [[ $# -gt 0 ]]; do
    case $1 in
        --minutes) HARFANGLAB_INCIDENTS_TEST_SOAK_MINUTES=${2:?} ;;
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

cargo build --locked --release --quiet
HARFANGLAB_INCIDENTS_TEST_BINARY=$(target_folder)/release/harfanglab-incidents
export HARFANGLAB_INCIDENTS_TEST_BINARY
cargo test --locked --test it -- service::soak:: --ignored --nocapture
