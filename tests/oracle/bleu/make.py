"""Writes expected.json: what sacreBLEU answers for the texts of inputs.json.

    uv venv --python 3.11 v && uv pip install --python v/bin/python sacrebleu==2.6.0 regex
    v/bin/python make.py

Python 3.11 or older: from 3.12 on, sum() of floats is compensated and some last digits change. A double is written as
float.hex() writes it.
"""

import json
import logging
import pathlib
import sys

import sacrebleu
from sacrebleu.metrics import BLEU

TOKENIZERS = ["13a", "zh", "char", "intl", "none"]
CONFIGS = [{"tokenize": name} for name in TOKENIZERS] + [
    {"tokenize": "13a", "smooth_method": "none"},
    {"tokenize": "13a", "smooth_method": "floor"},
    {"tokenize": "13a", "smooth_method": "floor", "smooth_value": 0.25},
    {"tokenize": "13a", "smooth_method": "add-k"},
    {"tokenize": "13a", "smooth_method": "add-k", "smooth_value": 0.5},
    {"tokenize": "13a", "effective_order": True},
    {"tokenize": "13a", "lowercase": True},
    {"tokenize": "intl", "lowercase": True, "smooth_method": "floor", "effective_order": True},
    {"tokenize": "zh", "effective_order": True},
]
SENTENCE_CONFIGS = [{"tokenize": name, "effective_order": True} for name in ["13a", "zh", "char"]]


def summary(metric, hypotheses, references):
    """One corpus under one configuration: statistics before smoothing, and the score in all its parts."""
    width = max(len(r) for r in references)
    streams = [[r[i] if i < len(r) else None for r in references] for i in range(width)]
    rows = metric._extract_corpus_statistics(hypotheses, streams)
    score = metric.corpus_score(hypotheses, streams)
    return {
        "statistics": [sum(column) for column in zip(*rows)],
        "score": score.score.hex(),
        "bp": score.bp.hex(),
        "precisions": [p.hex() for p in score.precisions],
    }, score


def corpus(item):
    hypotheses, references = item["hypotheses"], item["references"]
    result = {"name": item["name"], "corpus": [], "sentences": []}
    for config in CONFIGS:
        metric = BLEU(**config)
        values, score = summary(metric, hypotheses, references)
        signature = str(metric.get_signature())
        result["corpus"].append(config | values | {"signature": signature, "line": score.format(signature=signature)})
    for config in SENTENCE_CONFIGS:
        metric = BLEU(**config)
        scores = [summary(metric, [h], [r])[0] for h, r in zip(hypotheses, references)]
        result["sentences"].append(config | {"scores": scores})
    return result


def main():
    if sys.version_info >= (3, 12):
        sys.exit("Python 3.11 or older is needed: sum() differs in the last digit after it")
    logging.disable(logging.WARNING)
    here = pathlib.Path(__file__).parent
    inputs = json.loads((here / "inputs.json").read_text("utf-8"))
    tokenizers = {name: BLEU(tokenize=name).tokenizer for name in TOKENIZERS}
    expected = {
        "sacrebleu": sacrebleu.__version__,
        "python": sys.version.split()[0],
        "corpora": [corpus(item) for item in inputs["corpora"]],
        # Tokens as a segment's are made: white space at the end dropped first.
        "lines": [
            {name: t(line.rstrip()).split() for name, t in tokenizers.items()} | {"lower": line.lower()}
            for line in inputs["lines"]
        ],
    }
    text = json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
    text = text.replace('{"name"', '\n{"name"').replace('{"13a"', '\n{"13a"')  # one corpus or line of text a line
    (here / "expected.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
