"""peftlab's side of one measurement: an experiment file, `peftlab run`, and what the store then says."""

import json
import os
import pathlib
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PROGRAM = ROOT / "build/release/peftlab"

# The options under which both sides compute the same.
METHODS = {
    "lora": 'plugin = "lora"\nrank = 8\nalpha = 16\n',
    "adapter": 'plugin = "adapter"\nreduction = 16\nlayer_norms = false\n',
    "prefix": 'plugin = "prefix"\ntokens = 20\nprojection = false\n',
    "prompt": 'plugin = "prompt"\ntokens = 20\n',
    "ia3": 'plugin = "ia3"\n',
    "bitfit": 'plugin = "bitfit"\n',
    "head": 'plugin = "head"\n',
    "full": 'plugin = "full"\n',
}


def run(*command, threads):
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def query(store, sql):
    return json.loads(run(PROGRAM, "query", "--store", store, "--format", "json", sql, threads=1))


def train(given, work, name):
    labels = f"labels = {json.dumps(given['labels'])}\n" if "labels" in given else ""
    targets = 'targets = ["query", "key", "value", "dense"]\n' if given["method"] == "lora" and labels else ""
    test = work / ("test" + pathlib.Path(given["data"]).suffix)
    lines = pathlib.Path(given["data"]).read_text().splitlines(keepends=True)
    test.write_text("".join(lines[:2 if labels else 1]))
    file = work / f"{name}.toml"
    file.write_text(f"""schema = 1
[experiment]
name = "{name}"
seeds = [{given.get("seed", 0)}]
[model]
path = "{given["model"]}"
dtype = "{given.get("dtype", "float32")}"
{labels}
[data]
plugin = "text"
train = "{given["data"]}"
test = "{test}"
max_length = {given["length"]}
[train]
epochs = {given.get("epochs", 1)}
batch_size = {given["batch"]}
learning_rate = {given["rate"]}
lr_scheduler = "constant"
shuffle = false
[[method]]
label = "method"
{METHODS[given["method"]]}{targets}""")
    finished(file, work, given["threads"])
    return measured(work, name)


def finished(file, work, threads, finds_features=False):
    """Makes an experiment's runs, which find what runs before them made of frozen parts only if they are to."""
    if not finds_features:
        shutil.rmtree(work / "store/features", ignore_errors=True)
    run(PROGRAM, "run", file, "--store", work / "store", "--device", "cpu", "--quiet", threads=threads)


def measured(work, name):
    """Of the only run of an experiment: `losses` and `seconds` of its steps, those of what it made before the first of frozen
    parts (`features`), `tokens` and `trained` counts, `bytes` at the peak."""
    store = work / "store"
    curve = lambda metric: [row["value"] for row in query(store, f"SELECT value FROM v_metric JOIN v_runs USING (run_uuid) "
                            f"WHERE experiment = '{name}' AND metric = 'train/{metric}' ORDER BY step")]
    costs = query(store, f"SELECT max(c.peak_rss_bytes) AS peak, max(c.tokens) AS tokens FROM run_costs c JOIN runs r USING "
                  f"(run_id) JOIN v_runs ON r.uuid = run_uuid WHERE experiment = '{name}' AND phase IN ('load', 'tokenize', 'features', 'train')")
    features = query(store, f"SELECT total(c.wall_ms) / 1000 AS seconds FROM run_costs c JOIN runs r USING (run_id) JOIN v_runs ON "
                     f"r.uuid = run_uuid WHERE experiment = '{name}' AND phase = 'features'")[0]["seconds"]
    trained = query(store, f"SELECT trainable_parameters AS n FROM v_runs WHERE experiment = '{name}'")[0]["n"]
    return {"losses": curve("loss"), "seconds": curve("step_seconds"), "features": features, "bytes": costs[0]["peak"], "tokens": costs[0]["tokens"],
            "trained": trained}


def exported(work, name, threads):
    """The folder of what the only run of an experiment made."""
    run_uuid = query(work / "store", f"SELECT run_uuid FROM v_runs WHERE experiment = '{name}'")[0]["run_uuid"]
    folder = work / (name + "-adapter")
    run(PROGRAM, "adapter", "export", run_uuid, "--store", work / "store", "--to", folder, threads=threads)
    return folder


def adapter_of(given, work, name):
    """The folder of an adapter trained for a few steps, or (a rate of next to nothing) as it starts."""
    train(given, work, name)
    return exported(work, name, given["threads"])


def generate(given, work, name):
    """Greedy answers of `new_tokens` tokens; the seconds are those beyond answers of a single token."""
    adapter = ["--adapter", given["adapter"]] if "adapter" in given else []

    def answers(count):
        start = time.perf_counter()
        told = run(PROGRAM, "predict", "--model", given["model"], *adapter, "--device", "cpu", "--data", given["data"],
                   "--batch-size", given["batch"], "--max-new-tokens", count, "--min-new-tokens", count, threads=given["threads"])
        return [json.loads(line)["prediction"] for line in told.splitlines()], time.perf_counter() - start

    answers(1)  # reads what is not in memory yet
    texts, many = answers(given["new_tokens"])
    return {"answers": texts, "seconds": [many - answers(1)[1]]}
