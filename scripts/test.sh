#!/usr/bin/env bash
# Everything that must hold before a change lands, in one command: format, lints, documentation,
# licences, scripts, bundles, the public consumer, tests. Installs and starts what is missing on a
# Debian machine with Rust, and stops what it started. Its last line is the test runner's; before it
# stands what was not tested on this machine.
#
#   scripts/test.sh           at most 25 minutes from cold on 2 cores
#   scripts/test.sh --long    also the large sizes
#
# HARFANGLAB_INCIDENTS_TEST_AMQP_URL, HARFANGLAB_INCIDENTS_TEST_S3_URL and
# HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL, when set, name a broker, an S3 bucket and a PostgreSQL
# database to use instead of private ones.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

usage() {
    sed -n '2,13s/^# \{0,1\}//p' "$0"
}

for argument in "$@"; do
    case $argument in
        --long) export HARFANGLAB_INCIDENTS_TEST_LONG=1 ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            exit 64
            ;;
    esac
done

work=$(mktemp -d)
broker=$work/rabbitmq
s3=$work/s3
postgres=$work/postgres
export HARFANGLAB_INCIDENTS_TEST_SKIPPED=$work/skipped

clean_up() {
    scripts/rabbitmq.sh stop "$broker" || true
    scripts/s3.sh stop "$s3" || true
    scripts/postgres.sh stop "$postgres" || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a step, says how long it took, and stops everything when it fails. Inside a step bash does
# not stop at a failing command by itself: the last one decides.
step() {
    local name=$1 started=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    if ! "$@"; then
        printf '== %s: FAILED after %d s\n' "$name" $((SECONDS - started)) >&2
        exit 1
    fi
    printf '== %s: %d s\n' "$name" $((SECONDS - started))
}

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

# Packages of which all are there afterwards.
install_packages() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@" >>"$work/apt.log" 2>&1
}

# Runs something while no package starts a service of its own when it is installed: ours are private.
without_services() {
    local policy=/usr/sbin/policy-rc.d made_policy=no outcome=0
    if [[ ! -e $policy ]]; then
        made_policy=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    "$@" || outcome=$?
    if [[ $made_policy == yes ]]; then
        as_root rm -f "$policy"
    fi
    return "$outcome"
}

# What the tests need. `kill` is a program here, not the shell's word.
list_missing() {
    if [[ -z ${HARFANGLAB_INCIDENTS_TEST_AMQP_URL:-} && ! -d /usr/lib/rabbitmq ]]; then
        echo rabbitmq-server
    fi
    if [[ -z ${HARFANGLAB_INCIDENTS_TEST_S3_URL:-} ]] &&
        ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        echo python3-venv
    fi
    type -P kill >/dev/null || echo procps
}

# The readers of what lies in deploy/ and of what we send, for scripts/deploy.sh, scripts/consume.sh and
# the tests; without one its checks are skipped.
list_wished() {
    local name
    for name in shellcheck caddy chromium promtool:prometheus openssl systemd-analyze:systemd \
        nginx:nginx-light pgbouncer rsyslogd:rsyslog logger:bsdutils node:nodejs npm; do
        PATH=$PATH:/usr/sbin command -v "${name%:*}" >/dev/null || echo "${name#*:}"
    done
    # rsyslog's TLS is a library of its own, and so is what pycti needs.
    compgen -G '/usr/lib*/*/rsyslog/lmnsd_gtls.so' >/dev/null || echo rsyslog-gnutls
    compgen -G '/usr/lib*/*/libmagic.so.1' >/dev/null || echo libmagic1
}

# What is needed in one go; each wish by itself, so that one that cannot be had spoils no other.
provide_packages() {
    local missing wished name can_install=yes
    mapfile -t missing < <(list_missing)
    mapfile -t wished < <(list_wished)
    if [[ ${#missing[@]} -eq 0 && ${#wished[@]} -eq 0 ]]; then
        echo "nothing is missing"
        return 0
    fi
    if ! command -v apt-get >/dev/null || ! as_root true; then
        echo "cannot install anything here: this needs apt-get, and root or sudo"
        can_install=no
    else
        as_root apt-get update -q >"$work/apt.log" 2>&1
    fi
    if [[ ${#missing[@]} -gt 0 ]]; then
        if [[ $can_install == no ]] || ! without_services install_packages "${missing[@]}"; then
            [[ $can_install == no ]] || tail -n 20 "$work/apt.log" >&2
            echo "install these by hand: ${missing[*]}; instead of rabbitmq-server and python3-venv" \
                "HARFANGLAB_INCIDENTS_TEST_AMQP_URL may name a broker whose queues may be used, and" \
                "HARFANGLAB_INCIDENTS_TEST_S3_URL a bucket" >&2
            return 1
        fi
        echo "installed ${missing[*]}"
    fi
    for name in "${wished[@]}"; do
        if [[ $can_install == yes ]] && without_services install_packages "$name"; then
            echo "installed $name"
        else
            echo "cannot install $name: its checks will be skipped"
        fi
    done
}

provide_cargo_deny() {
    cargo deny --version 2>/dev/null ||
        cargo install cargo-deny --quiet --locked --version "$CARGO_DENY_VERSION"
}

check_dependencies() {
    cargo deny --locked --config .cargo/deny.toml check licenses bans sources
}

check_advisories() {
    if timeout 120 cargo deny --locked --config .cargo/deny.toml fetch db >"$work/db.log" 2>&1; then
        cargo deny --locked --config .cargo/deny.toml check --disable-fetch advisories
    else
        skipped "the advisory database cannot be reached from here"
    fi
}

check_scripts() {
    if command -v shellcheck >/dev/null; then
        shellcheck scripts/*.sh deploy/*.sh .ci/run
    else
        skipped "shellcheck is not installed"
    fi
}

start_broker() {
    if [[ -n ${HARFANGLAB_INCIDENTS_TEST_AMQP_URL:-} ]]; then
        echo "using the broker of HARFANGLAB_INCIDENTS_TEST_AMQP_URL"
        return 0
    fi
    HARFANGLAB_INCIDENTS_TEST_AMQP_URL=$(scripts/rabbitmq.sh start "$broker") || return 1
    export HARFANGLAB_INCIDENTS_TEST_AMQP_URL
    echo "private broker at $HARFANGLAB_INCIDENTS_TEST_AMQP_URL"
}

start_s3() {
    if [[ -n ${HARFANGLAB_INCIDENTS_TEST_S3_URL:-} ]]; then
        echo "using the bucket of HARFANGLAB_INCIDENTS_TEST_S3_URL"
        return 0
    fi
    HARFANGLAB_INCIDENTS_TEST_S3_URL=$(scripts/s3.sh start "$s3") || return 1
    export HARFANGLAB_INCIDENTS_TEST_S3_URL
    echo "private S3 server at ${HARFANGLAB_INCIDENTS_TEST_S3_URL##*@}"
}

start_postgres() {
    if [[ -n ${HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL:-} ]]; then
        echo "using the database of HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL"
        return 0
    fi
    # The server does not run as root: whoever it runs as has to get there.
    chmod 755 "$work"
    HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL=$(scripts/postgres.sh start "$postgres") || return 1
    export HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL
    echo "private PostgreSQL at ${HARFANGLAB_INCIDENTS_TEST_POSTGRES_URL##*@}"
}

# The tests come last and by themselves, so that the runner has the last word.
run_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --locked --no-fail-fast
    else
        cargo test --locked --no-fail-fast --lib --bins --tests
    fi
}

# Lets the last line of what comes in wait until it is said what was not tested: skipped tests pass.
tell_what_was_skipped() {
    local line held=
    while IFS= read -r line; do
        if [[ -z $line ]]; then
            held+=$'\n'
            continue
        fi
        [[ -z $held ]] || printf '%s\n' "$held"
        held=$line
    done
    if [[ -s $HARFANGLAB_INCIDENTS_TEST_SKIPPED ]]; then
        printf '\n== not tested on this machine:\n'
        sort -u "$HARFANGLAB_INCIDENTS_TEST_SKIPPED"
        echo
    fi
    printf '%s\n' "${held%%$'\n'*}"
}

step "packages" provide_packages
step "format" cargo fmt --check
step "scripts" check_scripts
step "lints" cargo clippy --locked --all-targets --quiet -- -D warnings
RUSTDOCFLAGS="-D warnings" step "documentation" \
    cargo doc --locked --no-deps --document-private-items --quiet
step "cargo-deny" provide_cargo_deny
step "licences, bans, sources" check_dependencies
step "advisories" check_advisories
step "bundles" scripts/validate.sh
step "deployment" scripts/deploy.sh
step "broker" start_broker
step "public consumer" scripts/consume.sh
step "S3 server" start_s3
step "PostgreSQL" start_postgres
step "documented examples" cargo test --locked --doc --quiet
printf '\n== tests (all before took %d s)\n' "$SECONDS"
run_tests 2>&1 | tell_what_was_skipped
