"""A whole comparison: MiniLM, seven methods, three seeds, each trained for an epoch over the first third of Debian's sections
and judged on the test split. Theirs is one script that does it run after run; ours is `peftlab run`."""

import csv
import json
import time

import material
import ours

METHODS = {"full": 1e-4, "lora": 1e-3, "adapter": 1e-3, "prefix": 1e-2, "ia3": 1e-2, "bitfit": 1e-3, "head": 1e-2}
SEEDS = [0, 1, 2]
EXAMPLES = 1504


def theirs(given):
    """The table of accuracies."""
    import peer
    import torch

    torch.set_num_threads(given["threads"])
    table = {}
    test = peer.rows_of(given | {"data": given["test"]})
    for method, rate in METHODS.items():
        for seed in SEEDS:
            model, found = peer.trained_model(given | {"method": method, "rate": rate, "seed": seed})
            model.eval()
            right = 0
            with torch.no_grad():
                for at in range(0, len(test), 32):
                    batch = peer.batch_of(test[at:at + 32])
                    right += (model(**batch).logits.argmax(-1) == batch["labels"]).sum().item()
            table.setdefault(method, []).append(right / len(test))
    return table


def our_side(given, work, name):
    methods = "".join(f'[[method]]\nlabel = "{method}"\n{ours.METHODS[method]}train.learning_rate = {rate}\n' +
                      ('targets = ["query", "key", "value", "dense"]\n' if method == "lora" else "")
                      for method, rate in METHODS.items())
    file = work / f"{name}.toml"
    file.write_text(f"""schema = 1
[experiment]
name = "{name}"
baseline = "full"
primary = "accuracy"
seeds = {SEEDS}
[model]
path = "{given["model"]}"
labels = {json.dumps(given["labels"])}
[data]
plugin = "text"
train = "{given["data"]}"
test = "{given["test"]}"
max_length = {given["length"]}
[train]
epochs = 1
batch_size = {given["batch"]}
lr_scheduler = "constant"
shuffle = false
{methods}[[metric]]
plugin = "accuracy"
""")
    start = time.perf_counter()
    ours.run(ours.PROGRAM, "run", file, "--store", work / "store", "--device", "cpu", "--quiet", "--jobs", "auto", threads=given["threads"])
    seconds = time.perf_counter() - start
    table = {method: [] for method in METHODS}
    for row in ours.query(work / "store", f"SELECT label, value FROM v_score WHERE experiment = '{name}' AND metric = 'accuracy' "
                          "AND split = 'test' ORDER BY label, seed"):
        table[row["label"]].append(row["value"])
    return {"seconds": [seconds], "table": table}


def measure(work, turn):
    import rows

    model = rows.once(work / "minilm", lambda folder: material.without_dropout(rows.ROOT / "data/models/minilm", folder))
    with open(rows.ROOT / "data/sections/train.csv", newline="", encoding="utf-8") as file:
        part = list(csv.reader(file))[:EXAMPLES + 1]

    def write(path):
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(part)

    given = dict(work="comparison", model=model, labels=rows.SECTIONS, data=rows.once(work / "third.csv", write),
                 test=str(rows.ROOT / "data/sections/test.csv"), length=64, batch=32, threads=2)
    mine = our_side(given, work, f"comparison-{turn}")
    start = time.perf_counter()
    other = rows.peer(given)
    other |= {"seconds": [time.perf_counter() - start]}
    for method, found in mine["table"].items():
        mean = lambda values: sum(values) / len(values)
        assert len(found) == len(SEEDS), f"{method}: {found}"
        assert abs(mean(found) - mean(other["table"][method])) < 0.04, f"{method}: {found} and {other['table'][method]}"
    return {"ours": mine, "theirs": other}
