"""NF4 beside bitsandbytes on this machine's CPU: python bench/quantize_bitsandbytes.py [SIDE]

Wants `cmake --build build/release --target bench_quantize`, and torch, bitsandbytes and numpy in this Python. Both sides
get the same matrix and as many threads, and are called in turn; the codes are compared first. A product of bitsandbytes is
the fastest of its ways: dequantizing and multiplying in float32 or bfloat16, and the fused kernel of its evaluation mode.
Its CPU code cannot dequantize into memory that is there (`out`), which products with our weights do, so that is a row of
its own. Prints medians of 25 calls, the spread from the least to the most, and their ratio.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import bitsandbytes as bnb
import numpy
import torch

SIDE = int(sys.argv[1]) if len(sys.argv) > 1 else 4096
TURNS, WARM, CALLS = 5, 10, 5
ROOT = pathlib.Path(__file__).parent.parent


class Ours:
    def __init__(self):
        self.process = subprocess.Popen([ROOT / "build/release/bench_quantize"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(ways):
    """name -> seconds of each call. A turn is some calls, of which the first ones do not count: the other's data is in the
    caches then, threads are asleep and the memory is new."""
    taken = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            taken[name] += [way() for _ in range(WARM + CALLS)][WARM:]
    return taken


def main():
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    weight = torch.randn(SIDE, SIDE) * 0.02
    ours = Ours()
    with tempfile.TemporaryDirectory() as work:
        (pathlib.Path(work) / "w").write_bytes(weight.numpy().tobytes())
        ours(f"quantize {work}/w {SIDE}")
        ours(f"codes {work}/codes")
        codes = numpy.frombuffer((pathlib.Path(work) / "codes").read_bytes(), dtype=numpy.uint8)
    packed, state = bnb.functional.quantize_4bit(weight, quant_type="nf4")
    assert numpy.array_equal(codes, packed.flatten().numpy()), "the codes differ"
    packed16, state16 = bnb.functional.quantize_4bit(weight.bfloat16(), quant_type="nf4")

    def product(rows, kind):
        torch.manual_seed(1)
        x = torch.randn(rows, SIDE)
        if kind == "float32":
            return lambda: timed(lambda: bnb.matmul_4bit(x, packed.t(), state))
        x = x.bfloat16()
        if kind == "bfloat16":
            return lambda: timed(lambda: torch.nn.functional.linear(x, bnb.functional.dequantize_4bit(packed16, state16)))
        layer = bnb.nn.Linear4bit(SIDE, SIDE, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4")
        layer.weight = bnb.nn.Params4bit(weight.bfloat16(), requires_grad=False, quant_type="nf4").to("cpu")
        layer.eval()

        def fused():
            with torch.no_grad():
                return timed(lambda: layer(x))
        return fused

    cases = {"quantize": ({"bitsandbytes": lambda: timed(lambda: bnb.functional.quantize_4bit(weight, quant_type="nf4"))},
                          {"float32": "time quantize"}),
             "dequantize to float32": ({"bitsandbytes": lambda: timed(lambda: bnb.functional.dequantize_4bit(packed, state))},
                                       {"float32": "time dequantize float32"}),
             "dequantize to float32, ours as its products do: into memory that is there": (
                 {"bitsandbytes": lambda: timed(lambda: bnb.functional.dequantize_4bit(packed, state))},
                 {"float32": "time rows float32"}),
             "dequantize to bfloat16": ({"bitsandbytes": lambda: timed(
                 lambda: bnb.functional.dequantize_4bit(packed16, state16))}, {"bfloat16": "time dequantize bfloat16"}),
             "dequantize to bfloat16, ours into memory that is there": (
                 {"bitsandbytes": lambda: timed(lambda: bnb.functional.dequantize_4bit(packed16, state16))},
                 {"bfloat16": "time rows bfloat16"})}
    for rows in (1, 16, 128, 512):
        cases[f"product, {rows} rows"] = ({kind: product(rows, kind) for kind in ("float32", "bfloat16", "fused")},
                                          {kind: f"time product {rows} {kind}" for kind in ("float32", "bfloat16")})

    print(f"torch {torch.__version__}, bitsandbytes {bnb.__version__}, {SIDE} x {SIDE}, {torch.get_num_threads()} threads, "
          f"load {os.getloadavg()[0]:.1f}\n")
    print("| work | peftlab, ms | bitsandbytes, ms | its time by ours |\n| --- | --- | --- | ---: |")
    for name, (peer, lines) in cases.items():
        ways = {("bitsandbytes", kind): way for kind, way in peer.items()}
        ways |= {("peftlab", kind): (lambda line=line: ours(line)) for kind, line in lines.items()}
        taken = in_turn(ways)
        cell, best = {}, {}
        for side in ("peftlab", "bitsandbytes"):
            kind = min((key for key in taken if key[0] == side), key=lambda key: statistics.median(taken[key]))
            found = sorted(1000 * seconds for seconds in taken[kind])
            best[side] = statistics.median(found)
            cell[side] = f"{best[side]:.2f} ({found[0]:.2f} to {found[-1]:.2f}), {kind[1]}"
        print(f"| {name} | {cell['peftlab']} | {cell['bitsandbytes']} | {best['bitsandbytes'] / best['peftlab']:.1f} |")


main()
