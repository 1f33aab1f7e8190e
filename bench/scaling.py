"""How peftlab's times grow, each with one quantity and all else fixed: python bench/scaling.py [--steps N] [--only NAME...]

Optimizer steps of a small GPT-2, and commands on stores of finished runs; exponents by least squares of log time on log
quantity. Prints what bench/results/scaling.md holds and draws bench/results/scaling.svg, in a few minutes. Needs
build/release and, as script/bench makes it, build/bench-python.
"""

import argparse
import contextlib
import dataclasses
import html
import json
import math
import os
import pathlib
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "side_by_side"))

import material
import ours

THREADS, WARM, FITTED = 2, 2, 3  # WARM: first steps, which do not count; FITTED: last points, through which the line goes
WIDTH, HEADS, VOCABULARY = 384, 6, 2048
FIXED = dict(method="lora", rank=8, tokens=0, length=128, batch=4, layers=4)
OPTIONS = {"lora": "rank = {rank}\nalpha = 16", "prompt": "tokens = {tokens}", "prefix": "tokens = {tokens}\nprojection = false"}
GENERATOR, OF_EXPERIMENT, EXPERIMENTS = ours.ROOT / "build/release/bench_generated_store", 20 * 50, 10


@dataclasses.dataclass
class Series:
    title: str  # what is timed, by what
    unit: str  # of the quantity
    values: list
    measure: callable  # (folder, value, steps) -> seconds, a median
    work: callable  # value -> what the time is expected to go with
    why: str  # it is expected so


def model(work, layers):
    folder = work / f"gpt2-{layers}"
    if not folder.exists():
        ends = dict.fromkeys(("bos_token_id", "eos_token_id"), VOCABULARY - 1)
        material.gpt2(folder, n_layer=layers, n_embd=WIDTH, n_head=HEADS, vocab_size=VOCABULARY, **ends)
        (folder / "vocab.json").write_text(json.dumps(material.gpt2_vocabulary(VOCABULARY)))
    return str(folder)


def step_seconds(work, case, steps):
    """The median of the steps that count; a quarter of every text is its answer."""
    length, batch = case["length"], case["batch"]
    material.write_lines(work / "data.jsonl", material.answered(batch * steps, length, length // 4))
    ours.METHODS["scaling"] = f'plugin = "{case["method"]}"\n{OPTIONS[case["method"]].format(**case)}\n'
    given = dict(model=model(work, case["layers"]), data=str(work / "data.jsonl"), length=length, batch=batch, rate=1e-4,
                 threads=THREADS, method="scaling")
    seconds = ours.train(given, work, f"scaling-{time.monotonic_ns()}")["seconds"]  # a name not used before
    assert len(seconds) == steps, f"{len(seconds)} steps, not {steps}"
    return statistics.median(seconds[WARM:])


def multiplications(method, rank, tokens, length, batch, layers):
    """Of a step, there and back. Frozen maps, which get no gradients, have one product on the way back; all else has two."""
    positions = length + (tokens if method == "prompt" else 0)
    keys = positions + (tokens if method == "prefix" else 0)
    maps, attention = 12 * WIDTH**2 * positions, 2 * WIDTH * positions * keys
    trained = rank * (WIDTH + 3 * WIDTH) * positions if method == "lora" else 0
    return batch * (layers * (2 * maps + 3 * attention + 3 * trained) + 2 * WIDTH * VOCABULARY * (length // 4))


def steps_by(name, title, unit, values, why, **changes):
    case = lambda value: FIXED | changes | {name: value}
    return Series("a step by " + title, unit, values, lambda work, value, steps: step_seconds(work, case(value), steps),
                  lambda value: multiplications(**case(value)), why)


def part(work, runs):
    """A store of so many runs: of the generated one's first experiments, or below one's of its first seeds."""
    whole, store = work / "all.store", work / f"{runs}.store"
    if not whole.exists():
        if not GENERATOR.exists():
            ours.run("cmake", "--build", ours.ROOT / "build/release", "--target", GENERATOR.name, threads=THREADS)
        ours.run(GENERATOR, whole, EXPERIMENTS, 100, threads=1)
    if not store.exists():
        shutil.copytree(whole, store)
        with contextlib.closing(sqlite3.connect(store / "store.db")) as db:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("DELETE FROM experiments WHERE experiment_id > ?", [max(1, runs // OF_EXPERIMENT)])
            db.execute("DELETE FROM runs WHERE seed >= ?", [min(runs, OF_EXPERIMENT) // 20])
            found = db.execute("SELECT count(*) FROM runs").fetchone()[0]
            assert found == runs, f"{found} runs, not {runs}"
            db.commit()
            db.execute("VACUUM")
    return store


def commands_by(title, values, command, power, why):
    def measure(work, runs, _):
        seconds, store = [], part(work, runs)
        for _ in range(5):
            start = time.perf_counter()
            ours.run(ours.PROGRAM, *command.split(), "--store", store, threads=THREADS)
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    return Series(title, "finished runs", values, measure, lambda runs: runs**power, why)


def all_series():
    tokens, compare = ("virtual tokens", [8, 32, 128, 384]), "compare experiment-0"
    return {
        "rank": steps_by("rank", "LoRA's rank", "rank", [1, 4, 16, 64, 256], f"near 0 while far below {WIDTH}"),
        "prompt": steps_by("tokens", "prompt's tokens", *tokens, "1 once they are most positions", method="prompt"),
        "prefix": steps_by("tokens", "prefix's tokens", *tokens, "near 0 while maps outweigh attention", method="prefix"),
        "length": steps_by("length", "the length", "tokens a text", [64, 128, 256, 512], "1 for the maps, 2 for attention"),
        "batch": steps_by("batch", "the batch", "texts a batch", [1, 2, 4, 8, 16], "1"),
        "layers": steps_by("layers", "the layers", "layers", [2, 4, 8, 16], "1, less the part of the output layer"),
        "list": commands_by("list by the store", [100, 1000, 10000], "list", 1, "at most 1"),
        "compare": commands_by("compare by the experiment", [100, 300, 1000], compare, 1, "at most 1"),
        "compare-store": commands_by("compare of 1,000 by the store", [1000, 3000, 10000], compare, 0, "near 0"),
    }


def exponent(values, results):
    return statistics.linear_regression(*([math.log(v) for v in some[-FITTED:]] for some in (values, results))).slope


def expected(series):
    return exponent(series.values, [series.work(value) for value in series.values])


def row(series, seconds):
    points = ", ".join(f"{value:,}: {second:.3f}" for value, second in zip(series.values, seconds))
    return f"| {series.title} | {points} | {exponent(series.values, seconds):.2f} | {expected(series):.2f} | {series.why} |"


# The figure: panels with logarithmic axes, three beside each other. All sizes are pixels.

WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM = 300, 240, 54, 286, 46, 194  # of a panel, and of the axes within it
STYLE = """text { font: 11px sans-serif; fill: #333 } .title { font: bold 12px sans-serif } .right { text-anchor: end }
.middle { text-anchor: middle } line { stroke: #e3e3e3 } .fitted { stroke: #1f5fa8; stroke-width: 2 }
.expected { stroke: #c2702a; stroke-width: 1.5; stroke-dasharray: 5 4 } circle { fill: #1f5fa8 }"""


def label(x, y, words, kind="", turn=0):
    turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}"{turned}>{html.escape(words)}</text>'


def line(a, b, kind=""):
    return f'<line x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}" class="{kind}"/>'


def dot(x, y):
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>'


def axis(values, start, end, least=1):
    """Where a value lies, and the ticks 1, 2, 5 among them; from below all values to above them, `least` times or more."""
    low, high = math.log(min(values) / 1.2), math.log(max(values) * 1.2)
    more = max(0, math.log(least) - (high - low)) / 2
    place = lambda value: start + (math.log(value) - low + more) / (high - low + 2 * more) * (end - start)
    some = [step * 10.0**power for power in range(-5, 4) for step in (1, 2, 5)]
    return place, [tick for tick in some if low - more <= math.log(tick) <= high + more]


def through_middle(values, seconds, power):
    """A line's ends: with this exponent, through the middle of the fitted points."""
    x, y = (statistics.geometric_mean(some[-FITTED:]) for some in (values, seconds))
    return [(value, y * (value / x)**power) for value in (values[-FITTED], values[-1])]


def panel(series, seconds):
    power = {"expected": expected(series), "fitted": exponent(series.values, seconds)}
    drawn = {kind: through_middle(series.values, seconds, p) for kind, p in power.items()}
    x, _ = axis(series.values, LEFT, RIGHT)
    y, ticks = axis(seconds + [end[1] for ends in drawn.values() for end in ends], BOTTOM, TOP, least=10)
    told = [label(LEFT, 18, series.title, "title"), label((LEFT + RIGHT) / 2, BOTTOM + 32, series.unit, "middle"),
            label(LEFT, 34, f"exponent {power['fitted']:.2f}, expected {power['expected']:.2f}"),
            label(14, (TOP + BOTTOM) / 2, "seconds", "middle", turn=-90)]
    for tick in ticks:
        told += [line((LEFT, y(tick)), (RIGHT, y(tick))), label(LEFT - 6, y(tick) + 4, f"{tick:g}", "right")]
    for value in series.values:
        told += [line((x(value), TOP), (x(value), BOTTOM)), label(x(value), BOTTOM + 15, f"{value:,}", "middle")]
    told += [line(*((x(value), y(second)) for value, second in ends), kind) for kind, ends in drawn.items()]
    return told + [dot(x(value), y(second)) for value, second in zip(series.values, seconds)]


def figure(measured):
    """Of [(series, seconds)], as SVG."""
    width, y = 3 * WIDE, HIGH * math.ceil(len(measured) / 3) + 18
    told = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 12}" width="{width}" height="{y + 12}">',
            f'<style>{STYLE}</style><rect width="{width}" height="{y + 12}" fill="#fff"/>']
    for i, (series, seconds) in enumerate(measured):
        told += [f'<g transform="translate({i % 3 * WIDE} {i // 3 * HIGH})">', *panel(series, seconds), "</g>"]
    told += [dot(60, y - 4), label(70, y, "median"), line((135, y - 4), (165, y - 4), "fitted"), label(172, y, "fitted"),
             line((225, y - 4), (255, y - 4), "expected"), label(262, y, "expected exponent"), "</svg>\n"]
    return "\n".join(told)


def head(steps):
    cpu = next(line for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")).split(": ")[1]
    load = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
    case = f"LoRA of rank {FIXED['rank']}, {FIXED['batch']} texts of {FIXED['length']} tokens"
    return f"""# How the times grow

`bench/scaling.py --steps {steps}`, {time.strftime("%Y-%m-%d")}: {cpu.strip()}, {load}.

A step: GPT-2's shape with {FIXED["layers"]} layers of width {WIDTH}, {HEADS} heads and {VOCABULARY:,} tokens to choose from,
{case}, a quarter of them labelled, float32, {THREADS} threads; the median of
the {steps - WARM} steps after the first {WARM}; only what a row names differs. A command: a whole process, the median of five.
The exponent is fitted to the last {FITTED} points; a step's is expected to be that of its multiplications.

| what | seconds | exponent | expected | as |
| --- | --- | ---: | ---: | --- |"""


def main():
    table = all_series()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=8, help=f"of every training, more than the {WARM} that do not count")
    parser.add_argument("--only", nargs="+", choices=table, metavar="NAME", help="which of " + ", ".join(table))
    parser.add_argument("--svg", type=pathlib.Path, help="where the figure goes; with --only nowhere if left out")
    given = parser.parse_args()
    print(head(given.steps), flush=True)
    chosen, measured = given.only or list(table), []
    with tempfile.TemporaryDirectory() as work:
        for name in chosen:
            try:
                seconds = [table[name].measure(pathlib.Path(work), value, given.steps) for value in table[name].values]
            except (AssertionError, RuntimeError) as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)
            else:
                measured.append((table[name], seconds))
                print(row(*measured[-1]), flush=True)
    svg = given.svg or (HERE / "results/scaling.svg" if len(measured) == len(table) else None)
    if svg and measured:
        svg.write_text(figure(measured))
        print(f"\n![The same, both axes logarithmic]({svg.name})")
    sys.exit(1 if len(measured) < len(chosen) else 0)


if __name__ == "__main__":
    main()
