# shellcheck shell=bash
# What several scripts need; they read it with `.` and nobody runs it.

# cargo-deny, as it is installed where it is missing.
# shellcheck disable=SC2034
readonly CARGO_DENY_VERSION=0.20.2

# A port of 127.0.0.1 that nobody listens at, below the range that outgoing connections take from.
free_port() {
    local port
    for _ in {1..200}; do
        port=$((15000 + RANDOM % 16000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    echo "no free port on 127.0.0.1 between 15000 and 31000" >&2
    return 1
}

# Says what is not tested here, and why; also in the file that scripts/test.sh prints at its end.
skipped() {
    echo "SKIPPED: $1"
    [[ -z ${HARFANGLAB_INCIDENTS_TEST_SKIPPED:-} ]] || echo "$1" >>"$HARFANGLAB_INCIDENTS_TEST_SKIPPED"
}

# Installs Python packages in the virtual environment `$1/venv`, within `$2` seconds.
python_packages() {
    local folder=$1 seconds=$2
    shift 2
    python3 -m venv "$folder/venv" &&
        timeout "$seconds" "$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
            --retries 1 "$@"
}

# Where cargo builds for the project in this folder, which its settings decide.
target_folder() {
    cargo metadata --locked --no-deps --format-version 1 |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}
