#!/usr/bin/env bash
# Installs the binary as a systemd service: user, folders, unit, a configuration to fill in. Run it
# again to upgrade: what is configured stays as it is.
#
#   cargo build --release --locked && sudo deploy/install.sh [BINARY]
#   sudo deploy/install.sh --remove        journal and configuration stay
#
# DESTDIR, when set, is put before every path, and nothing is started or created outside it.
set -euo pipefail
here=$(dirname "$(realpath "$0")")

readonly NAME=harfanglab-incidents
readonly DESTDIR=${DESTDIR:-}
readonly CONFIGURATION=$DESTDIR/etc/$NAME
readonly PROGRAM=$DESTDIR/usr/local/bin/$NAME
readonly UNIT=$DESTDIR/etc/systemd/system/$NAME.service
readonly USERS=$DESTDIR/etc/sysusers.d/$NAME.conf
readonly DOCUMENTS=$DESTDIR/usr/local/share/doc/$NAME

usage() {
    sed -n '2,8s/^# \{0,1\}//p' "$0"
}

# systemctl, unless this goes into a folder or systemd is not there.
control() {
    if [[ -z $DESTDIR && -d /run/systemd/system ]]; then
        systemctl "$@"
    fi
}

# A file with a secret, empty until somebody fills it in.
secret_file() {
    local path=$CONFIGURATION/$1 group=$2 mode=$3
    [[ -e $path ]] || install -m "$mode" /dev/null "$path"
    chmod "$mode" "$path"
    if [[ -z $DESTDIR ]]; then
        chown "root:$group" "$path"
    fi
}

# The sample with its secrets in their files and the journal in the service's folder, for the commands
# beside the service. The service itself has both from its unit, which wins.
configuration() {
    local folder=/etc/$NAME
    sed -e "/^opencti:/,/^[a-z]/s#^  token:.*#  token_file: \"$folder/opencti-token\"#" \
        -e "/^harfanglab_incidents:/,\$s#^  token:.*#  token_file: \"$folder/console-token\"#" \
        -e "s#^  webhook_secret:.*#  webhook_secret_file: \"$folder/webhook-secret\"#" \
        -e "s#^  journal_url:.*#  journal_url: \"sqlite:/var/lib/$NAME/journal.db\"#" \
        "$here/config.yml.sample"
}

remove() {
    control disable --now "$NAME.service" || true
    rm -f "$UNIT" "$USERS" "$PROGRAM"
    rm -rf "$DOCUMENTS"
    control daemon-reload
    echo "removed; $CONFIGURATION and $DESTDIR/var/lib/$NAME stay"
}

put() {
    local binary=$1
    install -D -m 0755 "$binary" "$PROGRAM.new"
    mv "$PROGRAM.new" "$PROGRAM"
    install -D -m 0644 "$here/systemd/$NAME.sysusers" "$USERS"
    install -D -m 0644 "$here/systemd/$NAME.service" "$UNIT"
    install -d -m 0755 "$DOCUMENTS"
    install -m 0644 "$here"/*.md "$DOCUMENTS"
    if [[ -z $DESTDIR ]]; then
        systemd-sysusers "$USERS"
        install -d -m 0750 -g "$NAME" "$CONFIGURATION"
    else
        install -d -m 0750 "$CONFIGURATION"
    fi
    if [[ ! -e $CONFIGURATION/config.yml ]]; then
        configuration >"$CONFIGURATION/config.yml"
        chmod 0640 "$CONFIGURATION/config.yml"
    fi
    if [[ -z $DESTDIR ]]; then
        chgrp "$NAME" "$CONFIGURATION/config.yml"
    fi
    secret_file opencti-token root 0600
    secret_file console-token root 0600
    secret_file webhook-secret "$NAME" 0640
    control daemon-reload
    control try-restart "$NAME.service"
}

case ${1:-} in
    -h | --help)
        usage
        exit 0
        ;;
    --remove)
        remove
        exit 0
        ;;
    -*)
        usage >&2
        exit 64
        ;;
esac

binary=${1:-$here/../target/release/$NAME}
if [[ ! -x $binary ]]; then
    echo "there is no binary at $binary: build it (cargo build --release --locked) or name it" >&2
    exit 1
fi
put "$binary"
cat <<END
installed $("$binary" --version)
1. Fill in    $CONFIGURATION/config.yml
              $CONFIGURATION/opencti-token, console-token, webhook-secret
2. Start it   systemctl enable --now $NAME
3. Look       systemctl status $NAME
              sudo $NAME --config $CONFIGURATION/config.yml check
END
