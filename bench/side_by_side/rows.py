"""The rows of the table: what is done, how it is measured, and the ratio that is aimed at."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import material
import ours

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SECTIONS = "admin fonts games graphics mail math net science sound text web x11".split()
WARM = 2  # steps at the beginning that do not count


@dataclasses.dataclass
class Row:
    work: str  # as the table says it
    aim: float  # their time by ours
    measure: callable  # (folder, turn) -> {"ours": {...}, "theirs": {...}}, each with `seconds` (a list) and `bytes`
    memory_aim: float = None  # our peak by theirs


def peer(given):
    told = subprocess.run([sys.executable, HERE / "peer.py"], input=json.dumps(given), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if told.returncode != 0:
        raise RuntimeError(f"the peer ended with {told.returncode}: {told.stderr[-2000:]}")
    return json.loads(told.stdout.splitlines()[-1])


def once(path, make):
    """`path`, made by make(path) if it is not there."""
    if not path.exists():
        make(path)
    return str(path)


def assert_same_losses(a, b, tolerance, what):
    assert len(a["losses"]) == len(b["losses"]), f"{what}: {len(a['losses'])} and {len(b['losses'])} steps"
    assert a["trained"] == b["trained"], f"{what}: {a['trained']} and {b['trained']} trained numbers"
    for step, (x, y) in enumerate(zip(a["losses"], b["losses"])):
        assert abs(x - y) <= tolerance * abs(y), f"{what}: the losses of step {step + 1} are {x} and {y}"


def trained(given, work, turn, tolerance):
    """Both sides' training, the same losses asserted."""
    name = f"{given['name']}-{turn}"
    if given["method"] == "adapter":
        start = given | {"rate": 1e-30, "epochs": 1}
        given = given | {"start": once(work / f"{given['name']}-start-adapter",
                                       lambda path: ours.adapter_of(start, work, f"{given['name']}-start"))}
    sides = {"ours": ours.train(given, work, name), "theirs": peer(given | {"work": "train"})}
    assert_same_losses(sides["ours"], sides["theirs"], tolerance, given["name"])
    return sides


def step(method, dtype="float32", labelled=32, aim=1.5, threads=2):
    """Optimizer steps of GPT-2's shape with 6 layers, batch 4 x 128."""

    def measure(work, turn):
        model = once(work / f"gpt2-{dtype}", lambda folder: material.gpt2(folder, dtype))
        rows = material.answered(48, 128, labelled) if labelled else material.whole(48, 128)
        data = once(work / f"{labelled}.jsonl", lambda path: material.write_lines(path, rows))
        given = dict(name=f"step-{method}-{dtype}-{labelled}", model=model, dtype=dtype, data=data, length=128, batch=4, rate=1e-4,
                     threads=threads, method=method)
        sides = trained(given, work, turn, 1e-3 if dtype == "float32" else 5e-3)
        return {side: found | {"seconds": found["seconds"][WARM:]} for side, found in sides.items()}

    labels = "25 % labelled" if labelled else "all labelled"
    return Row(f"step, GPT-2 shape, 6 layers, batch 4 x 128, {dtype}, {labels}: {method}", aim, measure, 0.7)


def epoch(method, aim, epochs=1, last=False):
    """Epochs over Debian's sections with MiniLM; `last`: of several, the last."""

    def measure(work, turn):
        model = once(work / "minilm", lambda folder: material.without_dropout(ROOT / "data/models/minilm", folder))
        given = dict(name=f"epoch-{method}-{epochs}", model=model, labels=SECTIONS, data=str(ROOT / "data/sections/train.csv"),
                     length=64, batch=32, rate=1e-4, threads=2, method=method, epochs=epochs)
        sides = trained(given, work, turn, 1e-2)
        each = len(sides["ours"]["seconds"]) // epochs
        first = (epochs - 1) * each if last else 0
        before = lambda found: 0 if last else found.get("features", 0)
        return {side: found | {"seconds": [before(found) + sum(found["seconds"][first:])]} for side, found in sides.items()}

    which = f"epoch {epochs}" if last else "an epoch" if epochs == 1 else f"{epochs} epochs"
    return Row(f"MiniLM on Debian's sections, real lengths, {which}, float32: {method}", aim, measure, 0.7)


def generation(batch, aim):
    """64 tokens an answer, greedily, through a LoRA that is not merged."""

    def measure(work, turn):
        model = once(work / "gpt2-float32", lambda folder: material.gpt2(folder))
        base = dict(model=model, method="lora", threads=2, length=128, batch=4, rate=1e-3,
                    data=once(work / "32.jsonl", lambda path: material.write_lines(path, material.answered(48, 128, 32))))
        adapter = once(work / "generation-adapter", lambda path: ours.adapter_of(base, work, "generation"))
        prompts = [{"prompt": material.letters(64, i), "completion": "a"} for i in range(max(4, batch))]
        data = once(work / f"prompts-{batch}.jsonl", lambda path: material.write_lines(path, prompts))
        given = base | dict(work="generate", data=data, batch=batch, new_tokens=64, adapter=adapter)
        sides = {"ours": ours.generate(given, work, f"generate-{batch}"), "theirs": peer(given)}
        same = sum(a == b for a, b in zip(sides["ours"]["answers"], sides["theirs"]["answers"]))
        # Two tokens of one probability to the last bits are chosen by rounding; the work is the same.
        assert same >= 0.7 * len(prompts), f"{same} of {len(prompts)} answers are the same"
        return sides

    return Row(f"greedy generation, GPT-2 shape, 64 tokens, LoRA not merged, float32: batch {batch}", aim, measure)


def rows():
    import comparison
    import nf4
    import pictures

    return {
        "step-lora": step("lora"),
        "step-adapter": step("adapter"),
        "step-prefix": step("prefix"),
        "step-prompt": step("prompt"),
        "step-full": step("full", aim=1.6),
        "step-lora-all": step("lora", labelled=0, aim=1.0),
        "step-lora-bf16": step("lora", dtype="bfloat16", aim=1.9),
        "step-lora-bf16-all": step("lora", dtype="bfloat16", labelled=0, aim=1.25),
        "epoch-lora": epoch("lora", 1.5),
        "epoch-full": epoch("full", 1.8),
        "epoch-head": epoch("head", 20, epochs=3, last=True),
        "epochs-head": epoch("head", 20, epochs=3),
        "pictures": Row("small VisualGLM beside a BLIP-2 of its sizes, LoRA, the first epoch of a comparison's first run", 3,
                        pictures.epoch_row("first", 0), 0.7),
        "pictures-shared": Row("the same, the first epoch of a run after that one", 3, pictures.epoch_row("second", 0), 0.7),
        "pictures-again": Row("the same, an epoch after the first", 3, pictures.epoch_row("second", 1), 0.7),
        "captions": Row("captions for 16 pictures, the same two", 3, pictures.captions_row),
        "generate-1": generation(1, 1.8),
        "generate-16": generation(16, 2.5),
        "nf4-quantize": Row("NF4: quantize 4096 x 4096", 50, nf4.row("quantize")),
        "nf4-dequantize": Row("NF4: dequantize 4096 x 4096 to float32", 10, nf4.row("dequantize")),
        "comparison": Row("MiniLM: 7 methods, 3 seeds, from start to table", 2.5, comparison.measure),
    }
