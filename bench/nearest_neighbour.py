#!/usr/bin/env python3
"""What needs no learning: the caption of the picture nearest in pixels, and a random caption, on the emoji data.

    python bench/nearest_neighbour.py [DATA_FOLDER]        (needs Pillow, numpy and sacrebleu; default data/emoji)

For each split rule the test pictures of EmojiOne get captions from EmojiOne's training pictures: of the nearest one
(squared distance of 64 x 64 RGB pixels on white), and of one drawn at random (mean and range over 20 draws). Scores
are sacreBLEU's corpus BLEU (13a) with n-grams up to 1 and up to 4, and the share of captions that are exactly right. A
model that looks at the picture must beat these.
"""

import csv
import sys
from pathlib import Path

import numpy
from PIL import Image
from sacrebleu.metrics import BLEU

SIZE = 64
DRAWS = 20


def read(folder, name):
    """[(pixels, caption)] of one data file, as an array [n, pixels] and a list."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    pixels = []
    for row in rows:
        image = Image.open(folder / row["image_path"]).convert("RGBA")
        on_white = Image.new("RGBA", image.size, "white")
        on_white.alpha_composite(image)
        resized = on_white.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        pixels.append(numpy.asarray(resized, dtype=numpy.float64).ravel() / 255)
    return numpy.stack(pixels), [row["text"] for row in rows]


def scores(predictions, references):
    bleu = [BLEU(max_ngram_order=n).corpus_score(predictions, [references]).score for n in (1, 4)]
    exact = 100 * numpy.mean([p == r for p, r in zip(predictions, references)])
    return numpy.array([*bleu, exact])


def show(rule, what, values, spread=None):
    text = "  ".join(f"{name} {value:5.1f}" for name, value in zip(("BLEU-1", "BLEU-4", "exact"), values))
    if spread is not None:
        text += f"   (BLEU-4 from {spread[0]:.1f} to {spread[1]:.1f} over {DRAWS} draws)"
    print(f"{rule:6}  {what:16}  {text}")


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "data/emoji")
    for rule in ("random", "base"):
        train, train_captions = read(folder, f"emojione_{rule}_train")
        test, references = read(folder, f"emojione_{rule}_test")
        distances = (test**2).sum(1)[:, None] + (train**2).sum(1)[None] - 2 * test @ train.T
        nearest = [train_captions[i] for i in distances.argmin(1)]
        show(rule, "nearest picture", scores(nearest, references))
        random = numpy.random.default_rng(0)
        drawn = numpy.stack([
            scores([train_captions[i] for i in random.integers(len(train_captions), size=len(references))], references)
            for _ in range(DRAWS)
        ])
        show(rule, "random caption", drawn.mean(0), (drawn[:, 1].min(), drawn[:, 1].max()))
        print(f"{rule:6}  {len(train_captions)} training pictures, {len(references)} test pictures")


if __name__ == "__main__":
    main()
