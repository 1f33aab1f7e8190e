#!/usr/bin/env python3
"""What transformers' logits processors make of given scores: expected.json for core/src/evaluate/logits_rules_test.cpp.

    uv venv /tmp/hf && uv pip install --python /tmp/hf/bin/python torch==2.11.0 transformers==4.57.6
    /tmp/hf/bin/python tests/oracle/generation/make_oracle.py
"""

import json
import pathlib

import torch
import transformers
from transformers.generation import logits_process as rules

VOCABULARY, ENDS = 12, [1, 4]
TEXTS = [[3, 5, 3, 5], [2, 2, 2, 2], [7, 8, 9, 7, 8], [11, 0, 6, 10]]
CASES = [
    {},
    {"repetition_penalty": 1.5},
    {"repetition_penalty": 0.7},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"min_new_tokens": 3},
    {"temperature": 0.7},
    {"temperature": 2.5, "top_k": 4},
    {"top_k": 1},
    {"top_k": 100},
    {"top_p": 0.5},
    {"top_p": 0.999},
    {"top_p": 0.01},
    {"temperature": 0.8, "top_k": 7, "top_p": 0.8},
    {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "min_new_tokens": 3, "temperature": 1.4, "top_k": 6, "top_p": 0.9},
]


def processors(case, made):
    """In the order of GenerationMixin._get_logits_processor."""
    chain = []
    if "repetition_penalty" in case:
        chain.append(rules.RepetitionPenaltyLogitsProcessor(penalty=case["repetition_penalty"]))
    if "no_repeat_ngram_size" in case:
        chain.append(rules.NoRepeatNGramLogitsProcessor(case["no_repeat_ngram_size"]))
    if "min_new_tokens" in case:
        chain.append(lambda ids, scores: rules.MinNewTokensLengthLogitsProcessor(
            ids.shape[1] - made, case["min_new_tokens"], ENDS)(ids, scores))
    if "temperature" in case:
        chain.append(rules.TemperatureLogitsWarper(case["temperature"]))
    if "top_k" in case:
        chain.append(rules.TopKLogitsWarper(top_k=case["top_k"]))
    if "top_p" in case:
        chain.append(rules.TopPLogitsWarper(top_p=case["top_p"]))
    return chain


def plain(value):
    return None if value == float("-inf") else value


def main():
    torch.manual_seed(11)
    logits = torch.randn(len(TEXTS), VOCABULARY) * 3
    found = []
    for case in CASES:
        for made in (0, 2, 3):
            rows = []
            for row, text in zip(logits, TEXTS):
                ids, scores = torch.tensor([text]), row[None].clone()
                for process in processors(case, made):
                    scores = process(ids, scores)
                rows.append([plain(x) for x in scores[0].tolist()])
            found.append({"options": case, "made": made, "scores": rows})
    folder = pathlib.Path(__file__).parent
    (folder / "expected.json").write_text(json.dumps({
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "ends": ENDS, "texts": TEXTS, "logits": logits.tolist(), "cases": found,
    }) + "\n")


if __name__ == "__main__":
    main()
