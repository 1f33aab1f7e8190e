#!/usr/bin/env python3
"""Pairs emoji pictures with their English names and splits them; called by script/data.

    emoji_captions.py --names EMOJI_TEST --noto PNGS --emojione PNGS --annotations CLDR_COMMON
                      --out FOLDER --corpus FILE

EMOJI_TEST is Unicode's emoji-test.txt, PNGS a folder of pictures named by their code points. Into FOLDER go the
pictures as they are (noto/*.png, emojione/*.png) and, for each style, split rule and part, STYLE_RULE_PART.csv and
.json with image_path (relative to FOLDER) and text. FILE gets the lines a tokenizer may be trained on: names and
keywords of emoji that no split holds out.

Split rules: "random" decides by the emoji's code points, "base" by the name before the colon, so that "waving hand" and
"waving hand: dark skin tone" are never on two sides. Neither looks at the style: what is held out in one style is held
out in the other. Only the standard library is used.
"""

import argparse
import csv
import hashlib
import json
import re
import shutil
import xml.etree.ElementTree
from pathlib import Path

PARTS = ("train", "validation", "test")
RULES = ("random", "base")
STYLES = ("noto", "emojione")
# The words around every caption, so that the tokenizer spells them in few pieces.
PROMPTS = ("Describe the image:", "<img>", "</img>问：Describe the image:", "答：")


def key_of(code_points):
    """The emoji's code points in hexadecimal joined by "_", without the variation selector that files leave out."""
    return "_".join(f"{c:04x}" for c in code_points if c != 0xFE0F)


def without_joiner(key):
    """`key` without zero-width joiners: some picture files are named so."""
    return "_".join(c for c in key.split("_") if c != "200d")


def read_names(path):
    """key -> English name of every fully-qualified emoji, in the file's order."""
    names = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([0-9A-F ]+?)\s*; fully-qualified\s*# \S+ E[\d.]+ (.+)", line)
        if match:
            names[key_of(int(c, 16) for c in match.group(1).split())] = match.group(2).strip()
    return names


def read_pictures(folder):
    """key -> picture file; a file is also found under its key without joiners."""
    pictures = {}
    for path in sorted(folder.iterdir()):
        match = re.fullmatch(r"(?:emoji_u)?([0-9a-fA-F]+(?:[-_][0-9a-fA-F]+)*)\.png", path.name)
        if match:
            key = key_of(int(c, 16) for c in re.split("[-_]", match.group(1)))
            pictures[key] = path
            pictures.setdefault(without_joiner(key), path)
    return pictures


def part_of(rule, key, name):
    """The part that `rule` puts an emoji into: 80 % train, 10 % validation, 10 % test of all keys or base names."""
    what = key if rule == "random" else name.split(":")[0]
    percent = int.from_bytes(hashlib.sha256(f"{rule} {what}".encode()).digest()[:8], "big") % 100
    return "train" if percent < 80 else "validation" if percent < 90 else "test"


def write_pairs(stem, pairs):
    with stem.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("image_path", "text"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(pairs)
    text = json.dumps(pairs, ensure_ascii=False, indent=1)
    stem.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def write_style(style, names, pictures, out):
    """Copies the pictures that have a name, writes the six pairs of files, and prints how many there are."""
    folder = out / style
    folder.mkdir(parents=True)
    parts = {(rule, part): [] for rule in RULES for part in PARTS}
    matched = 0
    for key, name in names.items():
        path = pictures.get(key) or pictures.get(without_joiner(key))
        if path is None:
            continue
        matched += 1
        shutil.copyfile(path, folder / f"{key}.png")
        for rule in RULES:
            parts[rule, part_of(rule, key, name)].append({"image_path": f"{style}/{key}.png", "text": name})
    print(f"{style}: {matched} pictures with a name")
    for rule in RULES:
        for part in PARTS:
            pairs = sorted(parts[rule, part], key=lambda pair: pair["image_path"])
            if not pairs:
                raise SystemExit(f"{style}: the {rule} split left nothing for {part}")
            write_pairs(out / f"{style}_{rule}_{part}", pairs)
        print(f"  split {rule}: " + ", ".join(f"{len(parts[rule, part])} {part}" for part in PARTS))


def corpus_lines(names, annotations):
    """English and Chinese names and keywords of the emoji that are in `train` by both rules."""
    allowed = {key for key, name in names.items() if all(part_of(rule, key, name) == "train" for rule in RULES)}
    lines = list(PROMPTS) * 20 + [names[key] for key in names if key in allowed]
    for language in ("en", "zh"):
        for folder in ("annotations", "annotationsDerived"):
            path = annotations / folder / f"{language}.xml"
            for node in xml.etree.ElementTree.parse(path).iter("annotation"):
                if key_of(map(ord, node.get("cp"))) in allowed and node.text:
                    lines += [word.strip() for word in node.text.split("|")]
    # The trainer takes as candidates only what it sees with two different continuations: a word that always has the
    # same word after it ("skin" in "skin tone") would be lost without a line of its own.
    lines += [word for line in lines for word in re.findall(r"\w+", line)]
    return [line for line in lines if line]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("names", *STYLES, "annotations", "out", "corpus"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()

    names = read_names(arguments.names)
    for style in STYLES:
        write_style(style, names, read_pictures(getattr(arguments, style)), arguments.out)
    lines = corpus_lines(names, arguments.annotations)
    arguments.corpus.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"tokenizer: {len(lines)} lines, {len(set(lines))} different, of emoji that no split holds out")


if __name__ == "__main__":
    main()
