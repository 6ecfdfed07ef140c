"""A stateful stand-in for the part of OpenCTI that its importer talks to: GraphQL over HTTP on
loopback. It keeps what is imported and refuses what a running platform was seen to refuse, or to
take and then regret: a missing author or marking, say, which is dropped without a word there, or a
process without a pid, which is one for all hosts. Not here: lifetimes of indicators, ties between cases,
what a page shows, custom fields, resets; the tests `observed` judge these.

What it refuses stands in `Platform.refusals`; nothing is forgiven on a second try. Run by
consume.py.
"""

import hashlib
import ipaddress
import json
import re
import threading
import uuid
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yara
from sigma.collection import SigmaCollection
from stix2patterns.v21.pattern import Pattern

VERSION = "7.260817.0"
ROOT_FIELD = re.compile(r"\s*(?:query|mutation)\s*\w*\s*(?:\([^{]*?\)\s*)?\{\s*(\w+)")
# Domain objects, by the mutation that creates them.
ENTITIES = {
    "incidentAdd": "Incident",
    "indicatorAdd": "Indicator",
    "organizationAdd": "Organization",
    "systemAdd": "System",
    "individualAdd": "Individual",
    "attackPatternAdd": "Attack-Pattern",
    "caseIncidentAdd": "Case-Incident",
    "noteAdd": "Note",
    "markingDefinitionAdd": "Marking-Definition",
    "externalReferenceAdd": "External-Reference",
    "killChainPhaseAdd": "Kill-Chain-Phase",
    "labelAdd": "Label",
    "vocabularyAdd": "Vocabulary",
}
# What belongs to everybody has neither author nor marking.
SHARED = {
    "Attack-Pattern",
    "External-Reference",
    "Kill-Chain-Phase",
    "Label",
    "Marking-Definition",
    "Vocabulary",
}
IDENTITIES = {"Organization", "System", "Individual"}
# Once in an observable's lifetime.
SINGLE_REFERENCES = {
    "parent-directory", "content", "image", "creator-user", "parent", "from", "sender",
    "raw-email", "body-raw", "src-payload", "dst-payload", "belongs-to", "service-dll",
}  # fmt: skip
HASH_LENGTHS = {"MD5": 32, "SHA-1": 40, "SHA-256": 64, "SHA-512": 128}
HOSTNAME_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?")
VOCABULARIES = [
    ("incident_severity_ov", "Incident", "severity"),
    ("incident_type_ov", "Incident", "incident_type"),
    ("case_severity_ov", "Case-Incident", "severity"),
    ("case_priority_ov", "Case-Incident", "priority"),
    ("incident_response_types_ov", "Case-Incident", "response_types"),
    ("pattern_type_ov", "Indicator", "pattern_type"),
    ("indicator_type_ov", "Indicator", "indicator_types"),
    ("account_type_ov", "User-Account", "account_type"),
    ("note_types_ov", "Note", "note_types"),
]
# For want of the platform's matrix: what the project itself relates.
OWN_MATRIX = {
    "Incident -> System": ["targets"],
    "Incident -> Attack-Pattern": ["uses"],
    "Indicator -> Incident": ["indicates"],
    "Indicator -> Attack-Pattern": ["indicates"],
    "Indicator -> Stix-Cyber-Observable": ["based-on"],
    "Hostname -> IPv4-Addr": ["resolves-to"],
    "Hostname -> IPv6-Addr": ["resolves-to"],
}


class Refusal(Exception):
    """Why the platform does not take something: its code, and words."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


def functional(message):
    return Refusal("FUNCTIONAL_ERROR", message)


def bad_input(message):
    return Refusal("BAD_USER_INPUT", message)


class Platform:
    """What was imported, and the rules it had to pass."""

    def __init__(self, matrix=None):
        self.matrix = matrix or OWN_MATRIX
        self.entities = {}  # id as sent, or made from content -> entity
        self.ids = {}  # every id that resolves -> entity
        self.nested = set()
        self.refusals = []
        self.requests = Counter()
        self.patterns = set()
        self.lock = threading.Lock()

    # The wire

    def answer(self, query, variables):
        """What the platform answers to a request; refusals are kept."""
        root = ROOT_FIELD.match(query).group(1)
        with self.lock:
            self.requests[root] += 1
            try:
                return {"data": {root: self.resolve(root, variables)}}
            except Refusal as refusal:
                about = json.dumps(variables.get("input") or variables, ensure_ascii=False)
                self.refusals.append(f"{root}: {refusal.code}: {refusal.message}: {about[:400]}")
                error = {"name": refusal.code, "message": refusal.message}
                return {"data": None, "errors": [{**error, "extensions": {"code": refusal.code}}]}

    def resolve(self, root, variables):
        given = variables.get("input") or {}
        if root == "about":
            return {"version": VERSION}
        if root == "vocabularyCategories":
            return [vocabulary_category(*it) for it in VOCABULARIES]
        if root in ("labels", "vocabularies", "markingDefinitions"):
            return self.listed(root, variables)
        if root in ("label", "vocabulary", "markingDefinition"):
            return self.ids.get(variables["id"])
        if root == "workEdit":
            if variables.get("error"):
                self.refusals.append(f"work error: {variables['error']}")
            return {}
        if root == "stixCyberObservableAdd":
            return self.observable(variables)
        if root in ("stixRefRelationshipAdd", "stixCyberObservableEdit"):
            source = given.get("fromId") or variables["id"]
            return self.nested_reference(source, given["toId"], given["relationship_type"])
        if root == "stixCoreRelationshipAdd":
            return self.relationship(given)
        if root == "stixSightingRelationshipAdd":
            return self.sighting(given)
        if root in ENTITIES:
            return self.domain_object(ENTITIES[root], given)
        raise Refusal("GRAPHQL_VALIDATION_FAILED", f"this platform does not know {root} yet")

    def listed(self, root, variables):
        wanted = [value for each in variables["filters"]["filters"] for value in each["values"]]
        kind = {"labels": "Label", "vocabularies": "Vocabulary"}.get(root, "Marking-Definition")
        names = ("value", "name", "definition")
        found = [
            entity
            for entity in self.entities.values()
            if entity["entity_type"] == kind and any(entity.get(it) in wanted for it in names)
        ]
        return {"edges": [{"node": entity} for entity in found]}

    # What is kept

    def keep(self, kind, key, given):
        """Makes the entity, or finds the one that has this id."""
        entity = self.entities.get(key)
        if entity is None:
            internal = str(uuid.uuid5(uuid.NAMESPACE_URL, key))
            entity = {"id": internal, "standard_id": key, "entity_type": kind, "parent_types": []}
            self.entities[key] = self.ids[key] = self.ids[internal] = entity
        elif entity["entity_type"] != kind:
            raise functional(f"{key} is a {entity['entity_type']}, not a {kind}")
        for field in ("name", "value", "definition", "created", "category"):
            if isinstance(given.get(field), str):
                entity[field] = given[field]
        return entity

    def resolved(self, reference, what):
        if reference not in self.ids:
            raise Refusal("MISSING_REFERENCE_ERROR", f"Element(s) not found: {what} {reference}")
        return self.ids[reference]

    def owned(self, kind, given):
        """Author, marking and other references of everything that is imported."""
        author = given.get("createdBy")
        markings = given.get("objectMarking") or []
        if kind in SHARED:
            if author or markings:
                raise functional(f"an author or a marking would change everybody's {kind}")
            return
        if author:
            if self.resolved(author, "createdBy")["entity_type"] not in IDENTITIES:
                raise functional("createdBy is not an identity")
        elif kind != "Organization":
            raise functional(f"{kind} without an author")
        if not markings:
            raise functional(f"{kind} without a marking")
        for marking in markings:
            if self.resolved(marking, "objectMarking")["entity_type"] != "Marking-Definition":
                raise functional(f"{marking} is no marking")
        for field in ("objects", "externalReferences", "objectLabel", "killChainPhases"):
            for reference in given.get(field) or []:
                self.resolved(reference, field)
        check_score(given)

    def domain_object(self, kind, given):
        self.owned(kind, given)
        key = given.get("stix_id") or content_key(kind, given)
        known = self.entities.get(key, {})
        if kind in ("Incident", "Case-Incident", "Indicator", "Attack-Pattern", "System"):
            if len((given.get("name") or "").strip()) < 2:
                raise functional(f"the name of {kind} is shorter than two characters")
        if kind in ("Incident", "Case-Incident"):
            for field in ("name", "created"):
                if not given.get(field):
                    raise functional(f"{kind} without {field}")
                if known and known[field] != given[field]:
                    raise functional(f"{field} of {key} changed from {known[field]}")
        if kind == "Incident":
            in_order(given, "first_seen", "last_seen")
        if kind == "Indicator":
            self.indicator(given)
        if kind == "Attack-Pattern":
            number = given.get("x_mitre_id") or ""
            if not number or number != number.upper() or number == given["name"]:
                raise functional(f"technique {number!r} named {given['name']!r}")
            if given.get("created"):
                raise functional(f"a date of ours would become everybody's {number}")
        if kind == "Note" and len((given.get("content") or "").strip()) < 2:
            raise functional("the content of a note is shorter than two characters")
        if kind == "External-Reference" and len(given.get("source_name") or "") < 2:
            raise functional("the source_name is shorter than two characters")
        return self.keep(kind, key, given)

    def indicator(self, given):
        language, text = given["pattern_type"], given["pattern"]
        if (language, text) in self.patterns:
            return
        try:
            if language == "stix":
                Pattern(text)
            elif language == "sigma":
                if not SigmaCollection.from_yaml(text).rules:
                    raise ValueError("no rule")
            elif language == "yara":
                yara.compile(source=text)
            else:
                raise ValueError("unknown language")
        except Exception as failure:  # each parser has its own family of errors
            raise functional(
                f"Indicator of type {language} is not correctly formatted: {failure}"
            ) from failure
        self.patterns.add((language, text))

    def observable(self, given):
        kind = given["type"]
        self.owned("Windows-Registry-Key" if kind == "Windows-Registry-Value-Type" else kind, given)
        part = given.get(kind.replace("-", "")) or {}
        check_observable(kind, part)
        for field in ("networkSrc", "networkDst"):
            if part.get(field):
                self.resolved(part[field], field)
        return self.keep(kind, given.get("stix_id") or content_key(kind, part), part)

    def nested_reference(self, source, target, kind):
        source, target = self.resolved(source, "fromId"), self.ids.get(target)
        if target is None:
            raise functional(f"MISSING_ELEMENTS: the target of {kind} is not there")
        same = [it for it in self.nested if it[:2] == (source["id"], kind)]
        if kind in SINGLE_REFERENCES and same:
            message = f"Cant add another relation on single ref ({kind})"
            raise Refusal("UNSUPPORTED_ERROR", message)
        self.nested.add((source["id"], kind, target["id"]))
        return {"id": source["id"], "entity_type": kind, "parent_types": []}

    def relationship(self, given):
        kind = given["relationship_type"]
        source = self.resolved(given["fromId"], "fromId")
        target = self.resolved(given["toId"], "toId")
        if source is target:
            raise functional(f"{kind} of an object to itself")
        ends = (source["entity_type"], target["entity_type"])
        if kind not in ("related-to", "revoked-by") and not any(
            kind in self.matrix.get(f"{of} -> {to}", ())
            for of in (ends[0], *generic(source))
            for to in (ends[1], *generic(target))
        ):
            raise functional(
                f"The relationship type {kind} is not allowed between {ends[0]} and {ends[1]}"
            )
        if ends == ("Hostname", "Incident"):
            raise functional("a host name that is related to an incident is shown as the attacker's")
        self.owned("relationship", given)
        return self.keep(f"relationship {kind}", given["stix_id"], given)

    def sighting(self, given):
        self.resolved(given["fromId"], "fromId")
        if self.resolved(given["toId"], "toId")["entity_type"] not in IDENTITIES:
            raise functional("sighted by something else than an identity")
        self.owned("sighting", given)
        in_order(given, "first_seen", "last_seen")
        if given["first_seen"] != given["last_seen"]:
            raise functional("a sighting that lasts is counted again when its end moves")
        return self.keep("sighting", given["stix_id"], given)


def generic(entity):
    observable = entity.get("standard_id", "").split("--")[0] in OBSERVABLE_TYPES
    return ["Stix-Cyber-Observable"] if observable else []


OBSERVABLE_TYPES = {
    "directory", "domain-name", "file", "hostname", "ipv4-addr", "ipv6-addr", "mac-addr",
    "network-traffic", "process", "software", "url", "user-account", "windows-registry-key",
}  # fmt: skip


def vocabulary_category(key, entity, field):
    fields = [{"key": field, "required": False, "multiple": field.endswith("types")}]
    return {"key": key, "entity_types": [entity], "fields": fields}


def content_key(kind, given):
    # Nothing of what only travels along makes the thing another one.
    part = {key: value for key, value in given.items() if value is not None and key != "update"}
    text = json.dumps([kind, part], sort_keys=True).encode()
    return f"{kind.lower()}--{uuid.UUID(hashlib.sha256(text).hexdigest()[:32])}"


def check_score(given):
    score = given.get("x_opencti_score")
    if score is not None and (type(score) is not int or not 0 <= score <= 100):
        raise bad_input(f"Int cannot represent the score {score!r}")


def in_order(given, first, last):
    if not given.get(first) or not given.get(last):
        raise functional(f"{first} or {last} is missing: the platform would invent it")
    if given[last] < given[first]:
        raise Refusal("DATABASE_ERROR", f"{last} less than {first}")


def check_observable(kind, part):
    malformed = functional(f"Observable is not correctly formatted: {kind} {part}")
    if kind in ("IPv4-Addr", "IPv6-Addr"):
        try:
            address = ipaddress.ip_address(part["value"])
        except ValueError as error:
            raise malformed from error
        # Neither normalised nor refused there: every other spelling is another entity.
        if str(address) != part["value"] or address.is_unspecified:
            raise malformed
        if address.version != (4 if kind == "IPv4-Addr" else 6):
            raise malformed
    elif kind == "Hostname":
        if not all(HOSTNAME_LABEL.fullmatch(label) for label in part["value"].split(".")):
            raise malformed
    elif kind == "Domain-Name":
        labels = part["value"].split(".")
        if len(labels) < 2 or len(labels[-1]) < 2 or re.search(r"\s", part["value"]):
            raise malformed
        if not all(1 <= len(label) <= 63 and label[0] != "-" for label in labels):
            raise malformed
    elif kind == "StixFile":
        for each in part.get("hashes") or []:
            length = HASH_LENGTHS.get(each["algorithm"].upper())
            if not re.fullmatch(r"[0-9a-f]+", each["hash"]) or len(each["hash"]) != length:
                raise malformed
        if not part.get("hashes") and not part.get("name"):
            raise functional("Missing required elements for StixFile creation (hashes - name)")
    elif kind == "Process":
        if not part.get("command_line"):
            raise bad_input("command_line of a process is non-null")
        if part.get("pid") is None:
            raise functional("a process without a pid is one for all hosts")
    elif kind == "Network-Traffic":
        ports = [part.get(it) for it in ("src_port", "dst_port") if part.get(it) is not None]
        if not all(0 < port < 65536 for port in ports):
            raise malformed
    elif kind == "User-Account":
        if not part.get("account_login") and not part.get("user_id"):
            raise functional("Missing required elements for User-Account creation")
    elif kind == "Directory" and not part.get("path"):
        raise bad_input("path of a directory is non-null")


class Handler(BaseHTTPRequestHandler):
    """GraphQL over HTTP/1.1, connections kept."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = self.server.platform.answer(body["query"], body.get("variables") or {})
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        """Says nothing: the figures say it."""


def serve(platform):
    """Starts the platform on a free port of loopback; answers its URL and how to stop it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.platform = platform
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", server.shutdown
