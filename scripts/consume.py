"""Imports what waits on a connector's queue as OpenCTI's own worker does, by pycti, twice, into the
strict stand-in of consume_platform.py. Run by the test `consumer`, which consume.sh starts.

    consume.py AMQP_URL QUEUE COUNT [MATRIX]

COUNT is how many messages were announced; MATRIX a file with the platform's relationships. Ends
with one line of JSON, its figures, and with 1 when anything was refused. Before that a self-check
imports objects that must be refused, so that a stand-in which refuses nothing is noticed.
"""

import base64
import json
import os
import sys
import time
from collections import Counter

# A missing reference does not come later here: its retries need not wait for it.
os.environ["OPENCTI_MISSING_REF_RETRY_EXPONENTIAL"] = "true"
os.environ["OPENCTI_MISSING_REF_RETRY_INITIAL_DELAY"] = "0"

import pika
from consume_platform import VERSION, Platform, serve
from pycti import OpenCTIApiClient


class Worker:
    """What OpenCTI's worker does with a message, but for its threads."""

    def __init__(self, platform):
        self.url, self.stop = serve(platform)
        self.api = OpenCTIApiClient(self.url, "the-worker's-token", log_level="critical")

    def process(self, body):
        """Imports the bundle of a message; answers what it could not import."""
        message = json.loads(body)
        self.api.set_applicant_id_header(message["applicant_id"])
        self.api.set_draft_id(message.get("draft_id") or "")
        self.api.set_work_id(message.get("work_id") or "")
        content = base64.b64decode(message["content"], validate=True).decode("utf-8")
        if len(json.loads(content)["objects"]) != 1:
            raise ValueError("a message holds one object")
        _, rejected = self.api.stix2.import_bundle_from_json(
            content, message["update"], message["entities_types"], message.get("work_id")
        )
        return rejected


def message(item):
    bundle = {"type": "bundle", "id": f"bundle--{REF}", "objects": [item]}
    content = base64.b64encode(json.dumps(bundle).encode()).decode()
    rest = {"applicant_id": "a-user", "update": False, "entities_types": [], "work_id": "work_1"}
    return json.dumps({"content": content, **rest})


REF = "1d4f6c0a-0000-4000-8000-00000000000"
AUTHOR, MARKING = f"identity--{REF}1", f"marking-definition--{REF}2"
OWNED = {"created_by_ref": AUTHOR, "object_marking_refs": [MARKING]}
DATES = {"created": "2026-01-01T00:00:00.000Z", "first_seen": "2026-01-01T00:00:00.000Z"}
STIX = {"pattern_type": "stix", "valid_from": DATES["created"], **OWNED}


def thing(kind, number, **properties):
    return {"type": kind, "id": f"{kind}--{REF}{number}", "spec_version": "2.1", **properties}


def related(number, kind, source, target):
    ends = {"source_ref": source["id"], "target_ref": target["id"]}
    return thing("relationship", number, relationship_type=kind, **ends, **OWNED)


def self_check(matrix):
    """Good objects pass, and each bad one is refused for its own reason."""
    system = thing("identity", 3, name="PC-1", identity_class="system", **OWNED)
    incident = thing(
        "incident", 4, name="Incident", last_seen=DATES["first_seen"], **DATES, **OWNED
    )
    indicator = thing("indicator", 5, name="a rule", pattern="[file:name = 'a']", **STIX)
    folder = thing("directory", 6, path="/a", **OWNED)
    file = thing("file", 7, name="a", parent_directory_ref=folder["id"], **OWNED)
    good = [
        thing("identity", 1, name="Author", identity_class="organization",
              object_marking_refs=[MARKING]),
        thing("marking-definition", 2, definition_type="tlp", definition={"tlp": "green"}),
        system, incident, indicator, folder, file,
        thing("hostname", 8, value="pc-1", **OWNED),
        related(8, "targets", incident, system),
        thing("sighting", 9, sighting_of_ref=indicator["id"], where_sighted_refs=[system["id"]],
              first_seen=DATES["created"], last_seen=DATES["created"], **OWNED),
    ]  # fmt: skip
    good[0], good[1] = good[1], good[0]
    bad = [
        ("single ref", file),
        ("not found", related("a", "related-to", incident, {"id": f"file--{REF}f"})),
        ("not allowed between System", related("b", "targets", system, incident)),
        ("score '50'", {**indicator, "x_opencti_score": "50"}),
        ("stix is not correctly", {**indicator, "pattern": "[file:name = 'a'"}),
        ("sigma is not correctly", {**indicator, "pattern": "title: t", "pattern_type": "sigma"}),
        ("yara is not correctly", {**indicator, "pattern": "rule a {", "pattern_type": "yara"}),
        ("without a marking", thing("file", "c", name="c", created_by_ref=AUTHOR)),
        ("without an author", thing("file", "d", name="d", object_marking_refs=[MARKING])),
        ("correctly formatted: Hostname", thing("hostname", "e", value="pc-1.", **OWNED)),
        ("correctly formatted: Domain", thing("domain-name", "e", value="single", **OWNED)),
        ("less than", {**incident, "last_seen": "2025-01-01T00:00:00.000Z"}),
        ("changed from", {**incident, "name": "Another name"}),
        ("one for all hosts", thing("process", "b", command_line="cmd.exe", **OWNED)),
        ("the attacker's", related("c", "related-to", good[7], incident)),
        ("become everybody's", thing("attack-pattern", "d", name="Scripting", x_mitre_id="T1064",
                                     created=DATES["created"])),
        ("counted again", {**good[9], "last_seen": "2026-01-02T00:00:00.000Z"}),
    ]
    platform = Platform(matrix)
    worker = Worker(platform)
    for item in good:
        worker.process(message(item))
    if platform.refusals:
        sys.exit(f"self-check: good objects were refused: {platform.refusals}")
    for reason, item in bad:
        worker.process(message(item))
        if not any(reason in refusal for refusal in platform.refusals):
            sys.exit(f"self-check: not refused as {reason!r}: {item}: {platform.refusals}")
        platform.refusals.clear()
    worker.stop()
    return len(bad)


def take(url, queue, count):
    """Takes the messages off the queue, and looks that nothing is behind them."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    bodies = []
    for _ in range(count):
        method, _, body = channel.basic_get(queue, auto_ack=False)
        if method is None:
            sys.exit(f"only {len(bodies)} of {count} messages are on {queue}")
        bodies.append(body)
        last = method.delivery_tag
    if count:
        channel.basic_ack(last, multiple=True)
    behind = channel.queue_declare(queue, passive=True).method.message_count
    connection.close()
    if behind:
        sys.exit(f"{behind} messages more than announced are on {queue}")
    return bodies


def main(url, queue, count, matrix_file=None):
    if matrix_file:
        with open(matrix_file, encoding="utf-8") as file:
            matrix = json.load(file)["matrix"][VERSION]
    else:
        print("SKIPPED: no matrix of relationships was given: judging by the project's own")
        matrix = None
    checked = self_check(matrix)
    bodies = take(url, queue, int(count))
    platform = Platform(matrix)
    worker = Worker(platform)
    rejected, seconds, entities = [], [], []
    for _ in range(2):
        started = time.monotonic()
        for body in bodies:
            rejected += worker.process(body)
        seconds.append(round(time.monotonic() - started, 1))
        entities.append(len(platform.entities))
    failures = platform.refusals + [f"sent to the dead letters: {item}" for item in rejected]
    if entities[0] != entities[1]:
        failures.append(f"the second import made {entities[1] - entities[0]} new objects")
    for failure in failures[:20]:
        print(failure)
    figures = {
        "self_check": checked,
        "messages": len(bodies),
        "failures": len(failures),
        "objects": dict(sorted(Counter(
            entity["entity_type"] for entity in platform.entities.values()).items())),
        "requests": sum(platform.requests.values()),
        "seconds": seconds,
    }  # fmt: skip
    print(json.dumps(figures))
    return 1 if failures or not bodies else 0


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
