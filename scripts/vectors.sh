#!/usr/bin/env bash
# Writes the project's own reference vectors, as OpenCTI's Python client makes them:
#   tests/vectors/ids.json       deterministic ids (pycti, stix2) for inputs of our own choosing
#   tests/vectors/splitter.json  bundles in, one-object bundles out, as pycti splits them
# Needs Python 3.9 or newer with venv, and PyPI. Runs again at any time; the output only changes
# when the pinned versions or the inputs below do.
set -euo pipefail

readonly pycti_version=7.260817.0
readonly stix2_version=3.0.2

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  "pycti==$pycti_version" "stix2==$stix2_version"
mkdir -p "$root/tests/vectors"

cat >"$work/common.py" <<'PYTHON'
import json
import sys
from importlib.metadata import version


def write(path, list_name, items):
    made_with = {name: version(name) for name in ["pycti", "stix2"]}
    lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"generated_by": "scripts/vectors.sh",\n')
        file.write(f'"made_with": {json.dumps(made_with)},\n"{list_name}": [\n{lines}\n]}}\n')
    print(f"{path}: {len(items)} {list_name}", file=sys.stderr)
PYTHON

cat >"$work/ids.py" <<'PYTHON'
import sys
from datetime import datetime, timezone

import pycti
import stix2
from common import write

NAMES = [
    "Suspicious PowerShell Download on WS-FRONTDESK-07",
    "  blanks outside, Blanks  Inside  ",
    "ÉVÉNEMENT Œuvre Straße ΣΊΣΥΦΟΣ",
    "İSTANBUL ışık",
    "подозрительный процесс на Сервере",
    "疑わしいスクリプト on 端末",
    "نص عربي مع أرقام ٣",
    "emoji 🧨 and combining e\u0301",
    "quote \" apostrophe ' backslash \\ slash / tab\tline\nend",
    "del \u007f separator \u2028 private \ue000",
]
MOMENTS = [
    datetime(2026, 1, 1, 0, 30, 24, 31000, tzinfo=timezone.utc),
    datetime(2026, 11, 22, 19, 25, 18, tzinfo=timezone.utc),
    datetime(2025, 2, 28, 23, 59, 59, 999999, tzinfo=timezone.utc),
    datetime(2024, 2, 29, 12, 0, 0, 7, tzinfo=timezone.utc),
]
TEXT_DATE = "2026-01-01T00:30:24.031Z"
REFS = {
    "indicator": "indicator--1d4f6c0a-0000-4000-8000-0000000000a1",
    "incident": "incident--1d4f6c0a-0000-4000-8000-0000000000b2",
    "system": "identity--1d4f6c0a-0000-4000-8000-0000000000c3",
    "author": "identity--1d4f6c0a-0000-4000-8000-0000000000d4",
    "source": "ipv4-addr--1d4f6c0a-0000-4000-8000-0000000000e5",
    "target": "ipv6-addr--1d4f6c0a-0000-4000-8000-0000000000f6",
}
vectors = []


def plain(value):
    return {"datetime": value.isoformat()} if isinstance(value, datetime) else value


def generated(kind, function, **inputs):
    given = {key: plain(value) for key, value in inputs.items()}
    vectors.append({"type": kind, "input": given, "id": function(**inputs)})


def observable(kind, build, **inputs):
    vectors.append({"type": kind, "input": inputs, "id": build(**inputs)["id"]})


for kind, entity in [("incident", pycti.Incident), ("case-incident", pycti.CaseIncident)]:
    for name in NAMES:
        generated(kind, entity.generate_id, name=name, created=MOMENTS[0])
    for created in [*MOMENTS[1:], TEXT_DATE]:
        generated(kind, entity.generate_id, name=NAMES[0], created=created)
for name in NAMES:
    for identity_class in ["system", "organization"]:
        generated("identity", pycti.Identity.generate_id, name=name, identity_class=identity_class)
for pattern in [
    "[file:hashes.'SHA-256' = '" + "0f" * 32 + "']",
    "[file:hashes.MD5 = '" + "0f" * 16 + "']",
    "[file:parent_directory_ref.path = 'C:\\\\Users\\\\O\\'Neil' AND file:name = 'a.exe']",
    "  [domain-name:value = 'bücher.example']\n",
    "title: Étrange\nlogsource:\n  product: windows\ndetection:\n  condition: selection\n",
    'rule a { strings: $a = "\\x41 \\"q\\"" condition: $a }',
]:
    generated("indicator", pycti.Indicator.generate_id, pattern=pattern)
for name, x_mitre_id in [
    ("PowerShell", "T1059.001"),
    ("PowerShell", " t1059.001 "),
    ("Sans Numéro", None),
    ("Sans Numéro", ""),
]:
    generated(
        "attack-pattern", pycti.AttackPattern.generate_id, name=name, x_mitre_id=x_mitre_id
    )
for created, content, abstract in [
    (MOMENTS[0], "Vu avec l'équipe.\n\n- étape 1", "Linked to brave-otter-17"),
    (MOMENTS[1], "  Text \t", "  "),
    (TEXT_DATE, "Text", None),
    (None, "Text", "Title"),
]:
    generated("note", pycti.Note.generate_id, created=created, content=content, abstract=abstract)
for kind, source, target in [
    ("indicates", "indicator", "incident"),
    ("based-on", "indicator", "source"),
    ("targets", "incident", "system"),
    ("related-to", "source", "incident"),
    ("resolves-to", "source", "target"),
]:
    ends = {"source_ref": REFS[source], "target_ref": REFS[target]}
    relationship = pycti.StixCoreRelationship.generate_id
    generated("relationship", relationship, relationship_type=kind, **ends)
for start, stop in [(TEXT_DATE, None), (TEXT_DATE, TEXT_DATE), (None, TEXT_DATE), (MOMENTS[2], None)]:
    generated(
        "relationship",
        pycti.StixCoreRelationship.generate_id,
        relationship_type="related-to",
        source_ref=REFS["source"],
        target_ref=REFS["incident"],
        start_time=start,
        stop_time=stop,
    )
for places, first_seen, last_seen in [
    (["system"], TEXT_DATE, "2026-01-01T00:31:00.000Z"),
    (["author"], TEXT_DATE, None),
    (["author", "system"], None, None),
    (["system"], None, TEXT_DATE),
    (["system"], MOMENTS[3], MOMENTS[1]),
]:
    generated(
        "sighting",
        pycti.StixSightingRelationship.generate_id,
        sighting_of_ref=REFS["indicator"],
        where_sighted_refs=[REFS[place] for place in places],
        first_seen=first_seen,
        last_seen=last_seen,
    )
for definition in ["CLEAR", "WHITE", "GREEN", "AMBER", "AMBER+STRICT", "RED"]:
    generated(
        "marking-definition",
        pycti.MarkingDefinition.generate_id,
        definition_type="TLP",
        definition="TLP:" + definition,
    )
generated(
    "marking-definition",
    pycti.MarkingDefinition.generate_id,
    definition_type="PAP",
    definition="PAP:GREEN",
)
for url, source_name, external_id in [
    ("https://console.example:8443/security-event/AbC/summary", "HarfangLab", "AbC"),
    (None, "mitre-attack", "T1059.001"),
    (None, "HarfangLab", None),
]:
    generated(
        "external-reference",
        pycti.ExternalReference.generate_id,
        url=url,
        source_name=source_name,
        external_id=external_id,
    )
for phase in ["defense-evasion", "Command And Control"]:
    generated(
        "kill-chain-phase",
        pycti.KillChainPhase.generate_id,
        phase_name=phase,
        kill_chain_name="mitre-attack",
    )
generated("label", pycti.Label.generate_id, value="hurukaiav")
generated("vocabulary", pycti.Vocabulary.generate_id, name=" Élevé ", category="case_severity_ov")

for value in ["198.51.100.7", "203.0.113.255"]:
    observable("ipv4-addr", stix2.IPv4Address, value=value)
for value in ["2001:db8::ab", "fe80::1"]:
    observable("ipv6-addr", stix2.IPv6Address, value=value)
for value in ["c2.example.org", "bücher.example", "xn--bcher-kva.example"]:
    observable("domain-name", stix2.DomainName, value=value)
for value in ["https://c2.example.org/a?b=c&d='e'#é", 'http://[2001:db8::1]:8080/"x"\\y']:
    observable("url", stix2.URL, value=value)
for path in ["C:\\Users\\Zoë\\AppData", "/opt/données/été", "\\\\server\\share$", "/"]:
    observable("directory", stix2.Directory, path=path)
for value in ["WS-FRONTDESK-07", "ws-frontdesk-07", "db01.corp.example"]:
    observable("hostname", pycti.CustomObservableHostname, value=value)
for account in [
    {"account_login": "CORP\\zoë"},
    {"account_login": "root"},
    {"account_login": "NT AUTHORITY\\SYSTEM", "user_id": "S-1-5-18"},
    {"account_login": "bob", "account_type": "windows-domain", "display_name": "Bob"},
]:
    observable("user-account", stix2.UserAccount, **account)
for name in ["dropper \U0001f9e8.exe", "été.sh", "a'b\"c.dll"]:
    observable("file", stix2.File, name=name)
for hashes in [
    {"SHA-512": "ab" * 64},
    {"SHA-512": "ab" * 64, "SHA-256": "cd" * 32},
    {"SHA-1": "ef" * 20, "SHA-256": "cd" * 32},
    {"SHA-256": "cd" * 32, "MD5": "12" * 16, "SHA-1": "ef" * 20},
]:
    observable("file", stix2.File, hashes=hashes)
for traffic in [
    {"src_ref": REFS["source"], "dst_ref": REFS["target"], "dst_port": 443, "protocols": ["tcp"]},
    {"src_ref": REFS["source"], "src_port": 53111, "protocols": ["ipv4", "udp", "dns"]},
]:
    observable("network-traffic", stix2.NetworkTraffic, **traffic)
for key in [
    {"key": "HKEY_CURRENT_USER\\Software\\Été"},
    {"key": "HKEY_LOCAL_MACHINE\\Software\\Run", "values": [{"name": "x", "data": '"a" \\ b'}]},
]:
    observable("windows-registry-key", stix2.WindowsRegistryKey, **key)
observable("mac-addr", stix2.MACAddress, value="0a:1b:2c:3d:4e:5f")
observable("software", stix2.Software, name="Agent", vendor="Éditeur", version="5.12.1")
observable("mutex", stix2.Mutex, name="Local\\été")
observable("autonomous-system", stix2.AutonomousSystem, number=64500)

write(sys.argv[1], "vectors", vectors)
PYTHON

cat >"$work/splitter.py" <<'PYTHON'
import copy
import sys

from common import write
from pycti import OpenCTIStix2Splitter

OPENCTI = "extension-definition--ea279b3e-5c71-4632-ac08-831c66a786ba"
cases = []


def ref(kind, number):
    return f"{kind}--1d4f6c0a-0000-4000-8000-{number:012x}"


def thing(kind, number, **properties):
    return {"type": kind, "id": ref(kind, number), **properties}


def case(name, *objects):
    given = {"type": "bundle", "id": ref("bundle", 0xB0), "objects": list(objects)}
    # The splitter changes what it is given, and the cases share objects.
    bundle = copy.deepcopy(given)
    count, incompatible, bundles = OpenCTIStix2Splitter().split_bundle_with_expectations(
        bundle, use_json=False, cleanup_inconsistent_bundle=False
    )
    cases.append(
        {
            "name": name,
            "bundle": given,
            "expectations": count,
            "incompatible": [item["id"] for item in copy.deepcopy(incompatible)],
            "bundles": copy.deepcopy(bundles),
        }
    )


author = thing("identity", 1, name="Author", identity_class="organization")
system = thing("identity", 2, name="HOST-1", identity_class="system", created_by_ref=author["id"])
marking = thing("marking-definition", 3, definition_type="TLP", definition="TLP:GREEN")
common = {"created_by_ref": author["id"], "object_marking_refs": [marking["id"]]}
incident = thing("incident", 4, name="Incident", **common)
indicator = thing("indicator", 5, name="a", pattern="[file:name = 'a']", pattern_type="stix", **common)
file = thing("file", 6, name="a", object_marking_refs=[marking["id"]])
sighting = thing(
    "sighting",
    7,
    sighting_of_ref=indicator["id"],
    where_sighted_refs=[system["id"]],
    first_seen="2026-01-01T00:00:00.000Z",
    **common,
)
based_on = thing(
    "relationship",
    8,
    relationship_type="based-on",
    source_ref=indicator["id"],
    target_ref=file["id"],
    **common,
)
everything = [author, marking, incident, system, file, indicator, based_on, sighting]

case("an alert's bundle in its natural order", *everything)
case("an alert's bundle backwards: dependencies are found ahead", *everything[::-1])
case("one object alone", file)
case("no objects")
case(
    "a diamond counts the shared dependency once per path",
    thing("case-incident", 20, name="Case", object_refs=[incident["id"], indicator["id"]], **common),
    incident,
    indicator,
    marking,
    author,
)
case(
    "a case over everything, named first",
    thing("case-incident", 21, name="Case", object_refs=[item["id"] for item in everything], **common),
    *everything,
)
case(
    "two directories that contain each other: the first visited keeps its reference",
    thing("directory", 22, path="/a", contains_refs=[ref("directory", 23)]),
    thing("directory", 23, path="/a/b", contains_refs=[ref("directory", 22)]),
)
case(
    "a ring of three processes",
    thing("process", 24, command_line="a", child_refs=[ref("process", 25)]),
    thing("process", 25, command_line="b", child_refs=[ref("process", 26)]),
    thing("process", 26, command_line="c", child_refs=[ref("process", 24)]),
)
case("an object that refers to itself", thing("process", 27, command_line="a", child_refs=[ref("process", 27)]))
case(
    "dangling entries of a list",
    thing("note", 28, content="note", object_refs=[ref("incident", 99), incident["id"]]),
    incident,
    author,
    marking,
)
case("a dangling author and marking", incident)
case("a relationship whose target is elsewhere", indicator, author, marking, based_on)
case("a sighting seen by someone elsewhere", indicator, author, marking, sighting)
case(
    "a sighting without a place",
    author,
    marking,
    indicator,
    {key: value for key, value in sighting.items() if key != "where_sighted_refs"},
)
case(
    "a sighting seen in three places, one named twice",
    author,
    marking,
    system,
    indicator,
    {**sighting, "where_sighted_refs": [system["id"], author["id"], system["id"]]},
)
case(
    "a note over a sighting: references nest three deep",
    thing("note", 29, content="note", object_refs=[sighting["id"], based_on["id"]], **common),
    *everything,
)
case(
    "null references and null lists",
    thing("file", 30, name="b", parent_directory_ref=None, object_marking_refs=None),
    thing("incident", 31, name="nulls", external_references=None, kill_chain_phases=None),
)
case("an empty list of references stays", thing("directory", 32, path="/", contains_refs=[]))
case(
    "kill-chain phases are kept once each",
    thing(
        "indicator",
        33,
        name="k",
        pattern="[file:name = 'k']",
        pattern_type="stix",
        kill_chain_phases=[
            {"kill_chain_name": "mitre-attack", "phase_name": "execution"},
            {"kill_chain_name": "mitre-attack", "phase_name": "Execution"},
            {"phase_name": "execution", "kill_chain_name": "mitre-attack", "x": 1},
        ],
    ),
)
case(
    "external references are kept once each, those without identity dropped",
    thing(
        "incident",
        34,
        name="e",
        external_references=[
            {"source_name": "console", "url": "https://console.example/1"},
            {"source_name": "other", "url": "https://console.example/1"},
            {"source_name": "console", "external_id": "1"},
            {"source_name": "console", "external_id": "1", "description": "again"},
            {"source_name": "console", "external_id": "2"},
            {"source_name": "only a name"},
        ],
    ),
)
case(
    "the same id twice: the later one is sent, in the earlier one's place",
    thing("identity", 1, name="Author as first written", identity_class="organization"),
    file,
    marking,
    author,
)
case(
    "types the platform does not take, and references to them",
    thing("x-custom-thing", 35, name="x"),
    thing("note", 36, content="note", object_refs=[ref("x-custom-thing", 35), file["id"]]),
    thing("file", 37, name="c", parent_directory_ref=ref("x-custom-thing", 35)),
    file,
    marking,
)
case(
    "a type name with a prefix that is taken",
    thing("x-opencti-case-incident", 38, name="Case", object_refs=[incident["id"]]),
    incident,
    author,
    marking,
)
case(
    "found by the platform's internal id",
    thing("identity", 39, name="Internal", x_opencti_id="6f1d7a52-1111-4000-8000-000000000001"),
    thing("identity", 40, name="Extended", extensions={OPENCTI: {"id": "6f1d7a52-1111-4000-8000-000000000002"}}),
    thing(
        "note",
        41,
        content="note",
        object_refs=["6f1d7a52-1111-4000-8000-000000000002"],
        created_by_ref="6f1d7a52-1111-4000-8000-000000000001",
    ),
)

write(sys.argv[1], "cases", cases)
PYTHON

cd "$work"
"$work/venv/bin/python" ids.py "$root/tests/vectors/ids.json"
"$work/venv/bin/python" splitter.py "$root/tests/vectors/splitter.json"
