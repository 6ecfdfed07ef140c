"""Judges bundles by public validators; run by validate.sh, which installs them.

What OpenCTI's model requires and STIX's best practices dislike stands in EXPECTED, each with its
reason. Anything else is an error.
"""

import json
import logging
import pathlib
import re
import sys

import yara
from sigma.collection import SigmaCollection
from stix2patterns.v21.pattern import Pattern
from stix2validator import ValidationOptions, validate_file

EXPECTED = [
    # OpenCTI keeps an incident's and a case's severity under a name that STIX reserves.
    r"reserved property \('severity',",
    # OpenCTI's own properties and types, which it does not declare as STIX extensions.
    r"\{401\} Custom property '(x_opencti_\w+|x_mitre_id)'",
    r"\{401\} Custom property '(source|incident_type|first_seen|last_seen|severity|priority|response_types)'",
    r"\{401\} Custom object type '(hostname|case-incident)'",
    # Ids are made from content, as OpenCTI's own client makes them, so that a second sending is the
    # same object.
    r"\{103\} Given ID value .* is not a valid UUIDv4 ID",
    r"A process object must use UUIDv4 for its id",
    # Relationships that OpenCTI's model has beyond those that STIX suggests.
    r"\{202\} 'incident' is permitted.* the '(targets|uses)' relationship",
    r"\{202\} 'incident' is permitted.* 'indicator' objects with the 'indicates' relationship",
    r"\{202\} 'hostname' is permitted.* the 'resolves-to' relationship",
    r"\{202\} '(file|domain-name|ipv4-addr|ipv6-addr|url)' is permitted.* 'indicator' objects with the"
    r" 'based-on' relationship",
    # Links lead to the console and to rule references: pages that change.
    r"\{302\} External reference .* has a URL but no hash",
    # An IOC without a comment has no description; a technique has MITRE's in OpenCTI.
    r"\{303\} Both the name and description properties SHOULD be present",
    # The alert does not always tell both ports.
    r"\{301\} The Network Traffic object .* both the 'src_port' and 'dst_port'",
    # Samples whose rules were anonymised: their ids and values were blanked out.
    r"sekoia-\S+: sigma pattern of .*(must be an UUID|SigmaNull)",
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
    faults = [it for it in found if not any(re.search(expected, it) for expected in EXPECTED)]
    for fault in faults:
        print(fault)
    print(
        f"{len(paths)} bundles and {patterns} patterns: {len(faults)} faults,"
        f" {len(found) - len(faults)} complaints about what OpenCTI's model requires"
    )
    return 1 if faults or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
