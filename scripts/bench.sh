#!/usr/bin/env bash
# The benchmarks: each measures us beside what we are to be compared with, in turn, and says whether the
# bar is met. Nothing is absolute but counts: the machine may be busy.
#
#   scripts/bench.sh [accept|convert|sweep|latency|idle|all …] [--rounds N] [--long]
#                    [--json FILE] [--peer DIRECTORY]
#   scripts/bench.sh parts            what single parts cost, by Criterion
#
# Without a name: all. --long takes the largest sizes too. --peer names a checkout of OpenCTI's Python
# connector (the folder that holds src/main.py); its packages are installed in a virtual environment
# for the run, and `sweep` measures it beside us. Where wrk is installed, `accept` ends with its opinion.
#
# Uses the broker of HARFANGLAB_INCIDENTS_TEST_AMQP_URL, or a private one.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,15s/^# \{0,1\}//p' "$0"
}

names=()
options=()
peer=
while [[ $# -gt 0 ]]; do
    case $1 in
        accept | convert | sweep | latency | idle | all | parts) names+=("$1") ;;
        --long) options+=("$1") ;;
        --rounds | --json)
            options+=("$1" "${2:?$1 needs a value}")
            shift
            ;;
        --peer)
            peer=$(realpath "${2:?--peer needs a folder}")
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 64
            ;;
    esac
    shift
done
if [[ ${#names[@]} -eq 0 ]]; then
    names=(all)
fi

if [[ ${names[*]} == parts ]]; then
    exec cargo bench --locked --bench parts
fi

work=$(mktemp -d)

clean_up() {
    scripts/rabbitmq.sh stop "$work/rabbitmq" || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ -n $peer ]]; then
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$peer/src/requirements.txt"
    export PATH=$work/venv/bin:$PATH
    options+=(--peer "$peer")
fi
cargo bench --locked --bench road --no-run
if [[ -z ${HARFANGLAB_INCIDENTS_TEST_AMQP_URL:-} ]]; then
    HARFANGLAB_INCIDENTS_TEST_AMQP_URL=$(scripts/rabbitmq.sh start "$work/rabbitmq")
    export HARFANGLAB_INCIDENTS_TEST_AMQP_URL
fi
# The sizes are more than a test waits for.
export HARFANGLAB_INCIDENTS_TEST_LONG=1
cargo bench --locked --quiet --bench road -- "${names[@]}" "${options[@]}"
