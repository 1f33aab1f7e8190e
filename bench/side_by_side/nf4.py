"""NF4 of a matrix beside bitsandbytes: the same codes asserted, then calls that follow each other."""

import pathlib
import subprocess

import ours

SIDE, WARM, CALLS = 4096, 10, 15


def weight(path):
    import torch

    torch.manual_seed(0)
    path.write_bytes((torch.randn(SIDE, SIDE) * 0.02).numpy().tobytes())


def our_side(matrix, codes, what):
    lines = [f"quantize {matrix} {SIDE}", f"codes {codes}"] + [f"time {what} float32"] * (WARM + CALLS)
    done = subprocess.run([ours.ROOT / "build/release/bench_quantize"], input="".join(line + "\n" for line in lines), text=True,
                          stdout=subprocess.PIPE, check=True)
    return [float(line) for line in done.stdout.splitlines()[2 + WARM:]]


def theirs(given):
    import time

    import bitsandbytes
    import numpy
    import torch

    torch.set_num_threads(given["threads"])
    matrix = torch.from_numpy(numpy.fromfile(given["matrix"], dtype=numpy.float32).reshape(SIDE, SIDE))
    packed, state = bitsandbytes.functional.quantize_4bit(matrix, quant_type="nf4")
    assert packed.flatten().numpy().tobytes() == pathlib.Path(given["codes"]).read_bytes(), "the codes differ"
    work = {"quantize": lambda: bitsandbytes.functional.quantize_4bit(matrix, quant_type="nf4"),
            "dequantize": lambda: bitsandbytes.functional.dequantize_4bit(packed, state)}[given["what"]]
    seconds = []
    for _ in range(WARM + CALLS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[WARM:]}


def row(what):
    def measure(work, turn):
        import rows

        matrix, codes = rows.once(work / "matrix", weight), work / "codes"
        mine = our_side(matrix, codes, what)
        return {"ours": {"seconds": mine}, "theirs": rows.peer(dict(work="nf4", matrix=matrix, codes=str(codes), what=what, threads=2))}

    return measure
