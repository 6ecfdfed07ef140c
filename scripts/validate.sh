#!/usr/bin/env bash
# Validates what `convert` makes of every fixture, and of every sample in ../shared where that folder
# is: OASIS JSON schemas and best practices (stix2-validator), STIX patterns (stix2-patterns), Sigma
# rules (pySigma) and YARA rules (yara-python), each in the version named here.
#
#   scripts/validate.sh [BINARY]     default: that of this project, built now
#
# Needs Python 3 with venv, and PyPI; without them it says so and passes.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

readonly PACKAGES=(stix2-validator==3.3.2 stix2-patterns==2.1.2 pySigma==2.0.1 yara-python==4.5.4)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! python_packages "$work" 100 "${PACKAGES[@]}" >"$work/install.log" 2>&1; then
    tail -n 3 "$work/install.log"
    skipped "${PACKAGES[*]} cannot be installed here; bundles are not validated"
    exit 0
fi

[[ -n ${1:-} ]] || cargo build --locked --quiet
binary=$(realpath "${1:-$(target_folder)/debug/harfanglab-incidents}")
mkdir "$work/bundles"
shopt -s nullglob
converted=0 ignored=0
for file in tests/fixtures/alerts/*.json ../shared/samples/*.json; do
    bundle=$work/bundles/$(basename "$file")
    # As one set by itself, so that no configuration of this machine plays a part.
    if (cd "$work" && env -i HARFANGLAB_INCIDENTS_ATTACH_RAW=note "$binary" convert \
        --file "$OLDPWD/$file") >"$bundle" 2>"$work/complaint"; then
        converted=$((converted + 1))
    elif grep -qE 'telemetry|connection test|neither an alert nor a threat|not one JSON value' \
        "$work/complaint"; then
        rm "$bundle"
        ignored=$((ignored + 1))
    else
        echo "$file cannot be converted:" >&2
        cat "$work/complaint" >&2
        exit 1
    fi
done
echo "$converted converted, $ignored are no alert or threat"
"$work/venv/bin/python" scripts/validate.py "$work/bundles"
