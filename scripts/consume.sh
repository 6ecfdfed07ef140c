#!/usr/bin/env bash
# Lets the public consumer read what we send: a run of 300 alerts of the real binary, delivered to a
# real RabbitMQ, is taken off the queue and imported twice by pycti, OpenCTI's own Python library,
# into a strict stand-in of the platform (scripts/consume_platform.py). Prints the figures.
#
#   scripts/consume.sh            at most two minutes once the tests are built
#   scripts/consume.sh 6.9.28     by another version of pycti
#
# Needs Python 3 with venv, and PyPI; without them it says so and passes. Uses the broker of
# HARFANGLAB_INCIDENTS_TEST_AMQP_URL, or a private one.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

# pika comes with pycti, each version of which takes one version of it.
readonly PACKAGES=("pycti==${1:-7.261026.0}" stix2-patterns==2.1.2 pySigma==2.0.1 yara-python==4.5.4)
readonly NAME=the_public_consumer

work=$(mktemp -d)

clean_up() {
    scripts/rabbitmq.sh stop "$work/rabbitmq" || true
    rm -rf "$work"
}
trap clean_up EXIT

# pycti also needs libmagic, a library of the system.
if ! { python_packages "$work" 200 "${PACKAGES[@]}" &&
    "$work/venv/bin/python" -c "import pycti"; } >"$work/install.log" 2>&1
then
    tail -n 3 "$work/install.log"
    skipped "${PACKAGES[*]} cannot be installed here; no public consumer reads what we send"
    exit 0
fi
export HARFANGLAB_INCIDENTS_TEST_PYCTI=$work/venv/bin/python

if [[ -z ${HARFANGLAB_INCIDENTS_TEST_AMQP_URL:-} ]]; then
    HARFANGLAB_INCIDENTS_TEST_AMQP_URL=$(scripts/rabbitmq.sh start "$work/rabbitmq")
    export HARFANGLAB_INCIDENTS_TEST_AMQP_URL
fi

if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --no-capture "$NAME" >"$work/run.log" 2>&1 || failed=yes
else
    cargo test --locked --test it "$NAME" -- --nocapture >"$work/run.log" 2>&1 || failed=yes
fi
if [[ -n ${failed:-} ]] || ! grep -E '^\{"self_check"|^SKIPPED' "$work/run.log"; then
    cat "$work/run.log" >&2
    exit 1
fi
