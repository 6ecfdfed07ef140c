#!/usr/bin/env bash
# The benchmarks: each measures us beside what we are to be compared with, in turn, and says whether the
# bar is met. Bars are ratios, but where the promise itself is a time or a size: the machine may be busy.
# Exits with 1 when a bar is missed.
#
#   scripts/bench.sh [accept|bodies|convert|sweep|latency|idle|all …] [--rounds N] [--long]
#                    [--json FILE] [--peer DIRECTORY]
#   scripts/bench.sh parts            what single parts cost, by Criterion
#
# Without a name: all. --long takes the largest sizes too. --peer names a checkout of OpenCTI's Python
# connector (the folder that holds src/main.py): `convert` and `sweep` measure it beside us. Its packages
# are those of its folder venv; where there is none they are installed in one for the run.
#
# Uses the broker of HARFANGLAB_INCIDENTS_TEST_AMQP_URL and the PostgreSQL of
# HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL, or private ones. `accept` ends with the opinion of wrk; what
# is not installed is told in the table as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    sed -n '2,18s/^# \{0,1\}//p' "$0"
}

names=()
options=()
peer=
while [[ $# -gt 0 ]]; do
    case $1 in
        accept | bodies | convert | sweep | latency | idle | all | parts) names+=("$1") ;;
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
if [[ -n $peer && ! -f $peer/src/main.py ]]; then
    echo "there is no $peer/src/main.py: --peer names the folder external-import/harfanglab-incidents of a" \
        "checkout of OpenCTI's connectors" >&2
    exit 64
fi

if [[ ${names[*]} == parts ]]; then
    exec cargo bench --locked --bench parts
elif [[ " ${names[*]} " == *" parts "* ]]; then
    echo "parts runs alone" >&2
    exit 64
fi

work=$(mktemp -d)

clean_up() {
    scripts/rabbitmq.sh stop "$work/rabbitmq" || true
    scripts/postgres.sh stop "$work/postgres" || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

is_wanted() {
    [[ " ${names[*]} " == *" $1 "* || " ${names[*]} " == *" all "* ]]
}

# As an operator's: a commit waits for the disk, which those of the tests do not.
start_postgres() {
    # The server does not run as root: whoever it runs as has to get there.
    chmod 755 "$work"
    HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL=$(scripts/postgres.sh start "$work/postgres") || return 1
    export HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL
    printf 'fsync = on\nfull_page_writes = on\n' >>"$work/postgres/data/postgresql.conf"
    kill -HUP "$(head -n 1 "$work/postgres/data/postmaster.pid")"
}

if [[ -n $peer ]]; then
    if [[ ! -x $peer/venv/bin/python ]]; then
        python3 -m venv "$work/venv"
        "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$peer/src/requirements.txt"
        export PATH=$work/venv/bin:$PATH
    fi
    options+=(--peer "$peer")
fi
cargo bench --locked --bench road --no-run
if [[ -z ${HARFANGLAB_INCIDENTS_TEST_AMQP_URL:-} ]]; then
    HARFANGLAB_INCIDENTS_TEST_AMQP_URL=$(scripts/rabbitmq.sh start "$work/rabbitmq")
    export HARFANGLAB_INCIDENTS_TEST_AMQP_URL
fi
if { is_wanted accept || is_wanted bodies; } && [[ -z ${HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL:-} ]]; then
    start_postgres
fi
# The sizes are more than a test waits for.
export HARFANGLAB_INCIDENTS_TEST_LONG=1
cargo bench --locked --quiet --bench road -- "${names[@]}" "${options[@]}"
