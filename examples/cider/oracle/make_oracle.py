"""Writes expected.json: corpora, and the CIDEr-D that pycocoevalcap gives them. Texts are cut already: without Java.

    uv venv --python 3.11 v
    uv pip install --python v/bin/python --no-deps pycocoevalcap==1.2 numpy==2.4.6
    v/bin/python make_oracle.py
"""

import json
import pathlib
import random
import sys
from importlib.metadata import version

from pycocoevalcap.cider.cider import Cider

WORDS = ("a the red blue small old cat dog bird man runs sits sleeps on under near mat house tree , with two "
         "very").split()


def sentence(rng, low, high):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def altered(rng, text):
    """`text` with some words left out, said twice, or replaced."""
    words = []
    for word in text.split():
        words += rng.choice([[word], [word], [word], [], [word, word], [rng.choice(WORDS)]])
    return " ".join(words)


def corpora(rng):
    """Name, answers, and the references of each."""
    yield "every answer is its only reference", ["a red cat sits here", "two dogs run very fast"], [
        ["a red cat sits here"], ["two dogs run very fast"]]
    yield "nothing in common", ["x y z", "u v w"], [["a b c"], ["d e f"]]
    yield "one example", ["a cat sits on a mat"], [["a cat sits on a mat", "the cat sleeps"]]
    yield "one example of one word", ["a"], [["a"]]
    yield "an empty answer", ["", "a dog runs"], [["a cat sits"], ["a dog runs"]]
    yield "all answers empty", ["", ""], [["a cat"], ["a dog", "the dog"]]
    yield "an empty reference beside another", ["a cat", "a dog"], [["", "a cat"], ["a dog"]]
    yield "an empty answer to an empty reference", ["", "a dog"], [[""], ["a dog"]]
    yield "one word each", ["cat", "dog", "cow"], [["cat"], ["dog"], ["bird"]]
    yield "two words each", ["red cat", "red dog"], [["red cat"], ["blue dog"]]
    yield "a word said again and again", ["cat cat cat cat cat", "dog"], [["a cat"], ["a dog"]]
    yield "a run said twice, in the reference too", ["the cat the cat", "a dog"], [
        ["the cat the cat sat"], ["a dog runs"]]
    yield "a word that all references have", ["the", "the dog", "the"], [["the cat"], ["the dog"], ["the bird"]]
    yield "words that no reference has", ["a green cat", "a dog"], [["a red cat"], ["a dog"]]
    yield "an answer far too long", [" ".join(["a cat sits on the mat"] * 6), "a dog"], [
        ["a cat sits on the mat"], ["a dog"]]
    yield "an answer far too short", ["cat", "a dog"], [
        ["the small red cat sits on the old mat near the house"], ["a dog"]]
    yield "references of many lengths", ["a cat sits", "a dog runs"], [
        ["cat", "a cat", "a cat sits", "a cat sits on a mat", "a cat sits on a mat near the old house"],
        ["dog runs", "the old dog runs under the tree"]]
    yield "the same reference twice", ["a cat", "a dog"], [["a cat", "a cat", "the bird"], ["the dog"]]
    yield "the same example twice", ["a cat sits", "a cat sits", "a dog"], [
        ["the cat sits"], ["the cat sits"], ["a dog runs"]]
    yield "words in another order", ["mat a on sits cat a", "runs dog a"], [["a cat sits on a mat"], ["a dog runs"]]
    yield "cases and punctuation are words as they stand", ["A cat .", "a dog ."], [["a cat ."], ["A dog !"]]
    for count, most, references in [(2, 4, 2), (5, 8, 3), (10, 12, 5), (40, 10, 5), (100, 15, 1), (60, 25, 4)]:
        wanted = [[sentence(rng, 0 if i % 7 == 3 else 1, most) for _ in range(rng.randint(1, references))]
                  for i in range(count)]
        answers = [altered(rng, rng.choice(texts)) for texts in wanted]
        yield f"{count} examples at random", answers, wanted


def main():
    rng = random.Random(20260101)
    cases = []
    for name, answers, references in corpora(rng):
        keys = range(len(answers))
        score, items = Cider().compute_score({k: references[k] for k in keys}, {k: [answers[k]] for k in keys})
        cases.append({"name": name, "predictions": answers, "references": references, "score": float(score),
                      "per_item": [float(item) for item in items]})
    versions = {"python": sys.version.split()[0], **{p: version(p) for p in ["pycocoevalcap", "numpy"]}}
    path = pathlib.Path(__file__).with_name("expected.json")
    lines = ",\n".join(json.dumps(case) for case in cases)
    path.write_text(f'{{"versions": {json.dumps(versions)}, "cases": [\n{lines}\n]}}\n')
    print(len(cases), "cases", versions)


main()
