#!/usr/bin/env bash
# Carries out the Dockerfile's last stage without a container engine: a Debian chroot in the base
# image's place (mmdebstrap), its RUN lines, its variables, its user, its HEALTHCHECK. The build stage
# is left out: it is `cargo build --release --locked`, whose binary is named here.
#
#   sudo scripts/image.sh [BINARY [BASE]]     default: target/release/harfanglab-incidents, and a base
#                                             made anew; BASE is a tar file that mmdebstrap made
#
# Needs root, mmdebstrap, and Debian's archive.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly NAME=harfanglab-incidents
readonly DOCKERFILE=deploy/Dockerfile
binary=$(realpath "${1:-target/release/$NAME}")
work=$(mktemp -d)
root=$work/root
service=

clean_up() {
    [[ -z $service ]] || kill "$service" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

# The last stage, lines continued by a backslash joined, without comments.
stage() {
    sed -n '/^FROM debian/,$p' "$DOCKERFILE" | sed -e '/^#/d' | sed -e ':a' -e '/\\$/N; s/\\\n *//; ta'
}

suite=$(stage | sed -n 's/^FROM debian:\([a-z]*\)-slim$/\1/p')
if [[ -n ${2:-} ]]; then
    mkdir "$root"
    tar -C "$root" -xf "$2"
else
    mmdebstrap --quiet --variant=minbase "$suite" "$root"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"

stage | sed -n 's/^RUN //p' | while read -r command; do
    DEBIAN_FRONTEND=noninteractive chroot "$root" /bin/sh -euc "$command" >"$work/run.log" 2>&1 ||
        { tail -n 20 "$work/run.log" >&2 && exit 1; }
done
install -m 0755 "$binary" "$root/usr/local/bin/$NAME"

# Variables of the image, and what an operator sets; nobody is at the other end.
mapfile -t variables < <(stage | sed -n 's/^ENV //p' | tr -s ' ' '\n')
variables+=(PATH=/usr/local/bin:/usr/bin:/bin OPENCTI_URL=http://127.0.0.1:1
    OPENCTI_TOKEN=nobodys-token CONNECTOR_ID=0b3cf0a8-7a5c-4a0f-9d4f-0d6b6f1f7c11
    HARFANGLAB_INCIDENTS_URL=http://127.0.0.1:1 HARFANGLAB_INCIDENTS_TOKEN=nobodys-token
    HARFANGLAB_INCIDENTS_WEBHOOK_SECRET=a-secret-of-this-trial-only)
user=$(stage | sed -n 's/^USER //p')
# Free ports of this machine in place of the container's own.
variables+=(HARFANGLAB_INCIDENTS_LISTEN=0.0.0.0:18080 HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN=0.0.0.0:19090)
inside() {
    exec chroot --userspec="$user" "$root" /usr/bin/env -i -C "/var/lib/$NAME" "${variables[@]}" "$NAME" "$@"
}

inside serve 2>"$work/log" &
service=$!
for _try in $(seq 100); do
    if (inside healthcheck) >"$work/health" 2>&1; then
        break
    fi
    sleep 0.2
done
cat "$work/health"
grep -qE '^(ready|degraded)' "$work/health" || { cat "$work/log" >&2 && exit 1; }
stat -c 'runs as %u:%g' "/proc/$service"
stat -c '%n %u %a' "$root/var/lib/$NAME/journal.db" | sed "s#$root##"
kill -TERM "$service"
wait "$service" && echo "stopped by SIGTERM with exit code 0"
service=
