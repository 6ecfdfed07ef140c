"""Judges bundles by public validators; run by validate.sh, which installs them.

Each complaint that is no fault of ours stands in EXPECTED: by whose doing it is, why, and how it
reads. Anything else is an error, and so is an entry that no complaint matches any more.
"""

import collections
import json
import logging
import pathlib
import re
import sys

import yara
from sigma.collection import SigmaCollection
from stix2patterns.v21.pattern import Pattern
from stix2validator import ValidationOptions, validate_file

OPENCTI = "OpenCTI's model"
ALERTS = "what alerts do not tell"
LINKS = "links to living pages"
SAMPLES = "anonymised samples"

OBSERVABLES = "directory|domain-name|file|hostname|ipv4-addr|ipv6-addr|network-traffic|process|url|"
OBSERVABLES += "user-account|windows-registry-key"

EXPECTED = [
    (OPENCTI, "keeps an incident's and a case's severity under a name that STIX reserves",
     r"error: (incident|case-incident)--\S+: Contains a reserved property \('severity',"),
    (OPENCTI, "its own properties of observables, not declared as STIX extensions",
     rf"({OBSERVABLES})--\S+: \{{401\}} Custom property 'x_opencti_(created_by_ref|description|score)'"),
    (OPENCTI, "its own properties of markings, indicators and sightings, not declared either",
     r"(marking-definition|indicator|sighting)--\S+: \{401\} Custom property 'x_opencti_(definition|"
     r"definition_type|detection|main_observable_type|score|negative)'"),
    (OPENCTI, "reads a technique's number there",
     r"attack-pattern--\S+: \{401\} Custom property 'x_mitre_id'"),
    (OPENCTI, "keeps the earliest date that anybody sends for everyone's technique: none of ours is MITRE's",
     r"error: attack-pattern--\S+: '(created|modified)' is a required property$"),
    (OPENCTI, "its incidents have dates, a type and a source; without the dates it invents some",
     r"incident--\S+: \{401\} Custom property '(source|incident_type|first_seen|last_seen)'"),
    (OPENCTI, "maps these to the custom fields of an administrator, by name",
     r"incident--\S+: \{401\} Custom property 'x_harfanglab_(rule|alert_id|status|level|agent_id|tenant|"
     r"groups|action)'"),
    (OPENCTI, "its hosts and cases are types of their own",
     r"\{401\} Custom object type '(hostname|case-incident)'"),
    (OPENCTI, "recognises an object by an id made from its content, as its own client makes it; so"
     " the same alert is the same bundle",
     r"\{103\} Given ID value \S+ is not a valid UUIDv4 ID"),
    (OPENCTI, "identifies a process by number and command line, where STIX wants a random id",
     r"error: process--\S+: A process object must use UUIDv4 for its id"),
    (OPENCTI, "relates incidents to their systems and techniques",
     r"\{202\} 'incident' is permitted.* the '(targets|uses)' relationship"),
    (OPENCTI, "relates indicators to incidents",
     r"\{202\} 'incident' is permitted.* 'indicator' objects with the 'indicates' relationship"),
    (OPENCTI, "relates hosts to their addresses",
     r"\{202\} 'hostname' is permitted.* the 'resolves-to' relationship"),
    (OPENCTI, "bases indicators on observables, where STIX knows observed data alone",
     r"\{202\} '(file|domain-name|ipv4-addr|ipv6-addr|url)' is permitted.* 'indicator' objects with"
     r" the 'based-on' relationship"),
    (LINKS, "the console's pages and a rule's references change: a hash would soon be wrong",
     r"\{302\} External reference .* has a URL but no hash"),
    (ALERTS, "an IOC without a comment and a rule without a description have none",
     r"indicator--\S+: \{303\} Both the name and description properties SHOULD be present"),
    (ALERTS, "only one of a connection's ports",
     r"\{301\} The Network Traffic object .* both the 'src_port' and 'dst_port'"),
    (SAMPLES, "ids and values of their rules were blanked out",
     r"sekoia-\S+: sigma pattern of .*(must be an UUID|SigmaNull)"),
]


def complaints(path):
    options = ValidationOptions(version="2.1", strict=False)
    result = validate_file(str(path), options)
    for part in [result, *result.object_results]:
        for kind in ("errors", "warnings"):
            for complaint in getattr(part, kind, None) or []:
                yield f"{kind[:-1]}: {getattr(complaint, 'message', complaint)}"


def pattern_complaint(indicator):
    text, language = indicator["pattern"], indicator["pattern_type"]
    try:
        if language == "stix":
            Pattern(text)
        elif language == "sigma":
            SigmaCollection.from_yaml(text)
        elif language == "yara":
            yara.compile(source=text)
        else:
            return f"pattern of unknown type {language}"
    except Exception as failure:  # each parser has its own family of errors
        return f"{language} pattern of {indicator['name']}: {failure}"
    return None


def main(folder):
    logging.disable(logging.CRITICAL)
    found, patterns = [], 0
    paths = sorted(pathlib.Path(folder).glob("*.json"))
    for path in paths:
        for complaint in complaints(path):
            found.append(f"{path.name}: {complaint}")
        for item in json.loads(path.read_text())["objects"]:
            if item["type"] == "indicator":
                patterns += 1
                complaint = pattern_complaint(item)
                if complaint:
                    found.append(f"{path.name}: {complaint}")
    causes, unused = collections.Counter(), list(EXPECTED)
    faults = []
    for complaint in found:
        matching = [it for it in EXPECTED if re.search(it[2], complaint)]
        if matching:
            causes[matching[0][0]] += 1
            unused = [it for it in unused if it not in matching]
        else:
            faults.append(complaint)
    # The samples stand outside the project and may be absent.
    faults += [f"listed and never met: {why}: {reads}" for by, why, reads in unused if by != SAMPLES]
    for fault in faults:
        print(fault)
    print(f"{len(paths)} bundles and {patterns} patterns: {len(faults)} faults")
    for cause, count in causes.most_common():
        print(f"  {count} complaints due to {cause}")
    return 1 if faults or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
