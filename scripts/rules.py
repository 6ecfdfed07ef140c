"""Judges texts of rules by pySigma and libyara, as OpenCTI does; run by rules.sh, which installs them.

The verdicts on the variants of tests/fixtures/rules stand beside them: another one is an error, unless
--record writes it there. Rules in the folders that are named go to --output, an object with its verdict a
line, for the test that compares them with ours.
"""

import argparse
import json
import pathlib
import sys

import yara
from sigma.collection import SigmaCollection

SIGMA, YARA = {".yml", ".yaml"}, {".yar", ".yara"}


def refusal(kind, text):
    """Returns why the judge refuses a text; None: it accepts it."""
    try:
        if kind == "sigma":
            # What is no collection of rules, such as an empty text, is one without any.
            if not len(SigmaCollection.from_yaml(text)):
                return "no rule"
        elif not list(yara.compile(source=text)):
            return "no rule"
    except Exception as error:  # Whatever it raises, OpenCTI takes it for a refusal.
        return f"{type(error).__name__}: {error}"
    return None


def variants(folder):
    """Yields each file of variants, and its variants with kind and text."""
    sigma = folder / "sigma.json"
    described = json.loads(sigma.read_text(encoding="utf-8"))
    base = described["base"]
    texts = []
    for variant in described["variants"]:
        assert variant["from"] in base, variant["what"]
        texts.append((variant, base.replace(variant["from"], variant["to"], 1)))
    yield sigma, described, "sigma", texts
    file = folder / "yara.json"
    described = json.loads(file.read_text(encoding="utf-8"))
    yield file, described, "yara", [(variant, variant["text"]) for variant in described["texts"]]


def judge_variants(folder, is_recording):
    """Judges the variants; returns whether a verdict is another one than is recorded."""
    differs = False
    for file, described, kind, texts in variants(folder):
        refused = 0
        for variant, text in texts:
            why = refusal(kind, text)
            refused += why is not None
            if variant.get("accepted") != (why is None):
                differs = True
                print(f"{kind}, {variant['what']}: {why or 'accepted'}")
                variant["accepted"] = why is None
        print(f"{len(texts)} variants of {kind}, {refused} refused")
        if is_recording:
            text = json.dumps(described, indent=1, ensure_ascii=False)
            file.write_text(text + "\n", encoding="utf-8")
    return differs and not is_recording


def judge_folders(folders, output):
    """Judges all rules in folders."""
    with open(output, "w", encoding="utf-8") as lines:
        for file in sorted(path for folder in folders for path in folder.rglob("*")):
            kind = {**dict.fromkeys(SIGMA, "sigma"), **dict.fromkeys(YARA, "yara")}.get(file.suffix)
            if kind is None or not file.is_file():
                continue
            text = file.read_text(encoding="utf-8", errors="replace")
            why = refusal(kind, text)
            line = {"file": str(file), "kind": kind, "text": text, "accepted": why is None, "why": why}
            lines.write(json.dumps(line) + "\n")


def main():
    """Does what the arguments say."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--record", action="store_true")
    arguments.add_argument("--output", default="/dev/null")
    arguments.add_argument("variants", type=pathlib.Path)
    arguments.add_argument("folders", type=pathlib.Path, nargs="*")
    asked = arguments.parse_args()
    differs = judge_variants(asked.variants, asked.record)
    judge_folders(asked.folders, asked.output)
    sys.exit(differs)


main()
