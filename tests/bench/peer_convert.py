"""Processor time in which the Python connector converts alerts, splits the bundle and encodes its
messages, without a console and without a broker: what it asks them is answered from memory.

Runs in the connector's folder src. Reads {"alerts": [text, ...], "ioc": {value: rule}, "sigma":
{name: rule}} from its input and prints milliseconds an alert.
"""

import base64
import json
import os
import sys
import time
from types import SimpleNamespace

sys.path.insert(0, os.getcwd())

from harfanglab_incidents_connector import HarfanglabIncidentsConnector
from harfanglab_incidents_connector.constants import EPOCH_DATETIME
from harfanglab_incidents_connector.converter_to_stix import ConverterToStix
from harfanglab_incidents_connector.models import harfanglab
from pycti import OpenCTIConnectorHelper
from pycti.utils.opencti_stix2_splitter import OpenCTIStix2Splitter


class Console:
    """Answers from memory what the connector asks of the console."""

    def __init__(self, given):
        self.given = given

    def generate_alerts(self, since):
        for text in self.given["alerts"]:
            yield harfanglab.Alert(json.loads(text))

    def get_alert_ioc_rule(self, alert):
        rule = self.given["ioc"].get(alert.message.split("=")[1])
        return rule and harfanglab.IocRule(rule)

    def get_alert_sigma_rule(self, alert):
        rule = self.given["sigma"].get(alert.rule_name)
        return rule and harfanglab.SigmaRule(rule)


def connector_on(console):
    connector = HarfanglabIncidentsConnector.__new__(HarfanglabIncidentsConnector)
    connector.api = console
    connector.config = SimpleNamespace(
        harfanglab_default_marking="TLP:AMBER",
        harfanglab_default_score=50,
        harfanglab_api_base_url="https://console.example:8443",
    )
    connector.helper = SimpleNamespace(
        connect_name="HarfangLab",
        log_info=lambda message: None,
        stix2_create_bundle=OpenCTIConnectorHelper.stix2_create_bundle,
    )
    connector.converter_to_stix = ConverterToStix(connector.helper, connector.config)
    connector.should_import_case_incidents = False
    connector.last_import_datetime_value = EPOCH_DATETIME
    return connector


def message_of(bundle, sequence):
    content = base64.b64encode(bundle.encode("utf-8", "escape")).decode("utf-8")
    return json.dumps(
        {"bundle_type": "QUEUE_BUNDLE", "action_sequence": sequence, "content": content}
    )


def main():
    given = json.load(sys.stdin)
    alerts = len(given["alerts"])
    connector = connector_on(Console(given))
    begin = time.process_time()
    bundle = connector.create_stix_bundle()
    _, _, bundles = OpenCTIStix2Splitter().split_bundle_with_expectations(
        bundle=bundle, use_json=True, cleanup_inconsistent_bundle=True
    )
    messages = [message_of(each, number) for number, each in enumerate(bundles, start=1)]
    took = time.process_time() - begin
    # An incident and its sighting at least: it leaves alerts out without a word.
    if len(messages) < 2 * alerts:
        sys.exit(f"{alerts} alerts became {len(messages)} messages")
    print(took * 1000 / alerts)


main()
