#!/usr/bin/env python3
"""How near a step of peftlab comes to what the machine can do: build/bench-python/bin/python bench/limit.py

The products that a step of LoRA or full fine-tuning cannot do without (GPT-2's shape with 6 layers, batch 4 x 128, 25 % labelled) are
timed one by one with both libraries that LibTorch has for them, MKL and oneDNN, of which the quicker counts, in the same
shapes, type and minute, weights in turn so that none stays in the caches; then peftlab's steps. And a token decoded at batch
1 beside reading all weights once at the rate at which the machine reads memory. Prints a Markdown table.
"""

import pathlib
import statistics
import sys
import tempfile
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "side_by_side"))

import material
import ours
import rows

LAYERS, WIDTH, VOCABULARY, THREADS, ROUNDS = 6, 768, 50257, 2, 5
ROWS, LABELLED = 512, 128
MAPS = [(3 * WIDTH, WIDTH), (WIDTH, WIDTH), (4 * WIDTH, WIDTH), (WIDTH, 4 * WIDTH)]  # [out, in] of one layer


def products(method):
    """(rows, out, in) of every product: forward, to the inputs, and of full fine-tuning to the weights."""
    # Of the last layer keys and values alone are wanted in every row, all else where there is a label.
    last = [(ROWS, 2 * WIDTH, WIDTH)] + [(LABELLED, *shape) for shape in [(WIDTH, WIDTH), *MAPS[1:], (VOCABULARY, WIDTH)]]
    forward = [(ROWS, *shape) for shape in MAPS * (LAYERS - 1)] + last
    # Under the first layer nothing is trained by LoRA: the first map's input needs no gradient.
    back = [(rows, into, out) for rows, out, into in (forward[1:] if method == "lora" else forward)]
    weights = [(out, into, rows) for rows, out, into in forward] if method == "full" else []
    return forward + back + weights


def by_mkl(left, right):
    return torch.mm(left, right.t())


def by_onednn(left, right):
    return torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")


def seconds_of(multiply, left, several):
    multiply(left, several[0])
    start = time.perf_counter()
    for right in several:
        multiply(left, right)
    return (time.perf_counter() - start) / len(several)


def product_seconds(method, kind):
    """What these products take, weights not in the caches; and their operations."""
    shapes = products(method)
    total, operations = 0.0, 0
    for shape in sorted(set(shapes)):
        m, n, k = shape
        left = torch.randn(m, k, dtype=kind)
        several = [torch.randn(n, k, dtype=kind) for _ in range(max(2, min(24, 200_000_000 // (n * k * left.element_size()))))]
        total += shapes.count(shape) * min(seconds_of(multiply, left, several) for multiply in (by_mkl, by_onednn))
        operations += shapes.count(shape) * 2 * m * n * k
    return total, operations


def read_rate():
    """Bytes a second that two threads read, the best of several."""
    numbers = torch.ones(100_000_000)
    best = 0.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        numbers.sum()
        best = max(best, numbers.nbytes / (time.perf_counter() - start))
    return best


def step(work, method, kind):
    model = rows.once(work / f"gpt2-{kind}", lambda folder: material.gpt2(folder, kind))
    data = rows.once(work / "steps.jsonl", lambda path: material.write_lines(path, material.answered(48, ROWS // 4, LABELLED // 4)))
    seconds, limits = [], []
    for turn in range(ROUNDS):
        limits.append(product_seconds(method, getattr(torch, kind)))
        given = dict(model=model, dtype=kind, data=data, length=128, batch=4, rate=1e-4, threads=THREADS, method=method)
        seconds += ours.train(given, work, f"limit-{method}-{kind}-{turn}")["seconds"][rows.WARM:]
    limit, operations = statistics.median(found for found, _ in limits), limits[0][1]
    took = statistics.median(seconds)
    print(f"| step of {method}, {kind} | {took:.3f} | {limit:.3f} ({operations / limit / 1e9:.0f} GFLOP/s) | {limit / took:.0%} |", flush=True)


def decoding(work):
    model = rows.once(work / "gpt2-float32", lambda folder: material.gpt2(folder))
    data = rows.once(work / "prompts.jsonl", lambda path: material.write_lines(
        path, [{"prompt": material.letters(64, i), "completion": "a"} for i in range(4)]))
    given = dict(model=model, data=data, batch=1, new_tokens=64, threads=THREADS)
    seconds, limits = [], []
    weights = 4 * (LAYERS * sum(out * into for out, into in MAPS) + VOCABULARY * WIDTH)
    for turn in range(ROUNDS):
        limits.append(weights / read_rate())
        seconds += [found / (4 * 63) for found in ours.generate(given, work, f"decode-{turn}")["seconds"]]
    took, limit = statistics.median(seconds), statistics.median(limits)
    print(f"| token decoded at batch 1, float32 | {took:.4f} | {limit:.4f} ({weights / limit / 1e9:.1f} GB/s) | {limit / took:.0%} |", flush=True)


def main():
    torch.set_num_threads(THREADS)
    print("| work | peftlab, s | the machine's limit, s | limit by ours |\n| --- | --- | --- | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        for method, kind in (("lora", "float32"), ("full", "float32"), ("lora", "bfloat16")):
            step(work, method, kind)
        decoding(work)


main()
