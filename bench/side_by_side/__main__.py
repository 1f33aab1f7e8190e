"""peftlab beside the libraries people use now: python bench/side_by_side [ROW...], through script/bench.

Both sides do the same work in turns, each time in a process of its own, with two threads; that it is the same is asserted
first (losses, answers, or counts). Prints a table: seconds (median, least to most, over turns and steps), their time by
ours, the ratio that is aimed at, and the peak memory of both.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import sys
import tempfile

import rows


def cell(seconds):
    digits = 3 if statistics.median(seconds) < 1 else 2
    text = f"{statistics.median(seconds):.{digits}f}"
    return text if len(seconds) == 1 else f"{text} ({min(seconds):.{digits}f} to {max(seconds):.{digits}f})"


def processor():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def versions():
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "peft", "adapters", "bitsandbytes"))


def line(row, turns):
    seconds = {side: [s for turn in turns for s in turn[side]["seconds"]] for side in ("ours", "theirs")}
    ratio = statistics.median(seconds["theirs"]) / statistics.median(seconds["ours"])
    cells = [row.work, cell(seconds["ours"]), cell(seconds["theirs"]), f"{ratio:.2f}", f"{row.aim:g}"]
    if row.memory_aim:
        peak = {side: max(turn[side]["bytes"] for turn in turns) / 1e9 for side in seconds}
        cells += [f"{peak['ours']:.2f} / {peak['theirs']:.2f}", f"{peak['ours'] / peak['theirs']:.2f}"]
    else:
        cells += ["", ""]
    return "| " + " | ".join(cells) + " |"


def main():
    table = rows.rows()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which rows; all if left out: " + ", ".join(table))
    parser.add_argument("--turns", type=int, default=2, help="how often both sides take turns")
    parser.add_argument("--json", type=pathlib.Path, help="where to leave all that was measured")
    given = parser.parse_args()
    for name in given.rows:
        if name not in table:
            parser.error(f"there is no row {name}; there are {', '.join(table)}")

    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; {versions()}; {given.turns} turns\n")
    print("| work | peftlab, s | peers, s | their time by ours | aim | peak memory, ours / theirs, GB | ours by theirs |")
    print("| --- | --- | --- | ---: | ---: | --- | ---: |", flush=True)
    measured, failed = {}, False
    with tempfile.TemporaryDirectory() as work:
        for name in given.rows or table:
            try:
                turns = [table[name].measure(pathlib.Path(work), turn) for turn in range(given.turns)]
            except (AssertionError, RuntimeError) as error:
                failed = True
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                continue
            measured[name] = turns
            print(line(table[name], turns), flush=True)
    if given.json:
        given.json.write_text(json.dumps(measured))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
