#!/usr/bin/env bash
# Compares our gate for the texts of Sigma and YARA rules with the judges that OpenCTI asks, pySigma and
# libyara: over the variants in tests/fixtures/rules, whose recorded verdicts must still be theirs, and over
# every rule in the folders that are named. What they accept and we refuse is an error; what they refuse
# and passes here is listed.
#
#   scripts/rules.sh [--record] [FOLDER…]     --record: write their verdicts on the variants
#
# Needs Python 3 with venv, and PyPI; without them it says so and passes.
set -euo pipefail
folders=() record=()
for argument in "$@"; do
    if [[ $argument == --record ]]; then record=(--record); else folders+=("$(realpath "$argument")"); fi
done
cd "$(dirname "$0")/.."
# shellcheck source=scripts/common.sh
. scripts/common.sh

readonly PACKAGES=(pySigma==2.0.1 yara-python==4.5.4)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! python_packages "$work" 100 "${PACKAGES[@]}" >"$work/install.log" 2>&1; then
    tail -n 3 "$work/install.log"
    skipped "${PACKAGES[*]} cannot be installed here; our gate for rules is not compared"
    exit 0
fi

"$work/venv/bin/python" scripts/rules.py "${record[@]}" --output "$work/rules.jsonl" \
    tests/fixtures/rules "${folders[@]}"
HARFANGLAB_INCIDENTS_TEST_RULES=$work/rules.jsonl cargo test --locked --quiet --test it \
    conversion::rule_texts -- --include-ignored --nocapture
