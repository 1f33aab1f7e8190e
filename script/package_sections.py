#!/usr/bin/env python3
"""Debian's package descriptions as a text classification: which section a package is in, from its synopsis.

Reads what `apt-cache dumpavail` prints from standard input and writes train.csv, validation.csv and test.csv with the
columns text,label into OUT. Packages of one source go to one split, so that siblings never straddle two; a synopsis that
several packages have counts once. Which packages are taken depends on their names alone.
"""

import argparse
import collections
import csv
import hashlib
import pathlib
import sys

SECTIONS = "admin fonts games graphics mail math net science sound text web x11".split()
# A tenth of the sources is for validation, a fifth for testing. The most of each section:
MOST = {"train": 400, "validation": 100, "test": 200}


def number(text):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def split_of(source):
    tenth = number(source) % 10
    return "test" if tenth < 2 else "validation" if tenth == 2 else "train"


def packages(stream):
    """Yields the fields of each package."""
    fields = {}
    for line in stream:
        if line == "\n":
            yield fields
            fields = {}
        elif not line.startswith((" ", "\t")):
            key, _, value = line.partition(":")
            fields[key] = value.strip()
    if fields:
        yield fields


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    found = {}
    for fields in packages(sys.stdin):
        name, synopsis = fields.get("Package"), fields.get("Description") or fields.get("Description-en")
        section = fields.get("Section", "").split("/")[-1]
        if name and synopsis and section in SECTIONS:
            source = fields.get("Source", name).split(" ")[0]
            found[name] = (source, section, synopsis)

    once = {}
    for name in sorted(found):
        once.setdefault(found[name][2], name)
    names = collections.defaultdict(list)
    for name in once.values():
        source, section, _ = found[name]
        names[split_of(source), section].append(name)

    arguments.out.mkdir(parents=True, exist_ok=True)
    for split, most in MOST.items():
        chosen = []
        for section in SECTIONS:
            group = sorted(names[split, section], key=number)
            if not group:
                sys.exit(f"no package for {split} in section {section}: are the package lists there?")
            chosen += group[:most]
        with open(arguments.out / f"{split}.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["text", "label"])
            for name in sorted(chosen, key=number):
                writer.writerow([found[name][2], found[name][1]])
        print(f"{split}: {len(chosen)} packages", file=sys.stderr)


if __name__ == "__main__":
    main()
