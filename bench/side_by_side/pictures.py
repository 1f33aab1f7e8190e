"""Pictures: the small VisualGLM of experiments/compare.toml beside a BLIP-2 of the same widths, depths, tokens and pictures.

The two are different networks, so their losses differ; the same are pictures, batches, steps, tokens, and how many of those
are labelled.
"""

import csv
import functools
import json
import shutil
import time

import material
import ours

DATA = ours.ROOT / "data/emoji"
PROMPT, EPOCHS, BATCH, LENGTH = "Describe the image:", 2, 16, 64
CAPTIONED, NEW_TOKENS = 16, 16


def captions():
    """[(picture, caption)] of the training split."""
    with open(DATA / "emojione_random_train.csv", newline="", encoding="utf-8") as file:
        return [(DATA / row["image_path"], row["text"]) for row in csv.DictReader(file)]


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image_path", "text"), *rows])


def experiment(work, name, model, method, data, epochs, init):
    few = work / "few.csv"
    write(few, captions()[:1])
    file = work / f"{name}.toml"
    file.write_text(f"""schema = 1
[experiment]
name = "{name}"
seeds = [0]
[model]
path = "{model}"
init = "{init}"
[data]
plugin = "image_text"
train = "{data}"
test = "{few}"
max_length = {LENGTH}
[train]
epochs = {epochs}
batch_size = {BATCH}
learning_rate = 1e-3
lr_scheduler = "constant"
shuffle = false
[[method]]
label = "method"
{method}""")
    return file


def drawn_model(work):
    """A folder of the small VisualGLM with the first values of seed 0."""
    folder = work / "visualglm"
    if not folder.exists():
        write(work / "one.csv", captions()[:1])
        method = 'plugin = "full"\ntrain.learning_rate = 1e-30\n'
        ours.finished(experiment(work, "drawn", ours.ROOT / "data/models/visualglm-small", method, work / "one.csv", 1, "random"),
                      work, threads=2)
        shutil.copytree(ours.exported(work, "drawn", threads=2), folder)
    return folder


def sequences(rows):
    """The ids that VisualGLM is given for these captions, as it encodes them, pictures' places as None: [(ids, of the answer)]."""
    config = json.loads((ours.ROOT / "data/models/visualglm-small/config.json").read_text())
    told = ours.run(ours.PROGRAM, "tokenize", "--model", ours.ROOT / "data/models/visualglm-small", "--", "<img>",
                    f"</img>问：{PROMPT}\n答：", *(text for _, text in rows), threads=1).splitlines()
    before, behind, *answers = [json.loads(line) for line in told]
    question = before + [None] * config["image_length"] + behind + [config["gmask_token_id"]]
    return [(question, [config["bos_token_id"], *answer, config["eos_token_id"]]) for answer in answers]


def peer_given(rows, **more):
    return dict(pictures=[str(picture) for picture, _ in rows], sequences=sequences(rows), batch=BATCH, threads=2, **more)


@functools.cache
def both_epochs(work, turn):
    import rows

    data = work / "pictures.csv"
    write(data, captions())
    # The language model's maps alone, as on the other side.
    method = 'plugin = "lora"\nrank = 8\nalpha = 16\nexclude = ["image_encoder.*"]\ntargets = ["query_key_value"]\n'
    model = drawn_model(work)
    runs = {}
    for which in ("first", "second"):
        name = f"pictures-{which}-{turn}"
        ours.finished(experiment(work, name, model, method, data, EPOCHS, "pretrained"), work, 2, finds_features=which == "second")
        runs[which] = ours.measured(work, name)
    assert runs["first"]["losses"] == runs["second"]["losses"], "features that were found change the losses"
    mine = runs["first"]
    other = rows.peer(peer_given(captions(), work="pictures", epochs=EPOCHS, rate=1e-3))
    assert len(mine["seconds"]) == len(other["seconds"]), f"{len(mine['seconds'])} and {len(other['seconds'])} steps"
    assert mine["tokens"] == other["tokens"], f"{mine['tokens']} and {other['tokens']} tokens"
    return {**runs, "theirs": other}


def epoch_row(run, number):
    """The epoch of this number in our first run, or in a second one of the same store; what is made before belongs to epoch 0."""

    def measure(work, turn):
        both = both_epochs(work, turn)
        sides = {"ours": both[run], "theirs": both["theirs"]}
        each = len(sides["theirs"]["seconds"]) // EPOCHS
        before = {"ours": sides["ours"]["features"] if number == 0 else 0, "theirs": 0}
        return {side: found | {"seconds": [before[side] + sum(found["seconds"][number * each:(number + 1) * each])]}
                for side, found in sides.items()}

    return measure


def captions_row(work, turn):
    """16 pictures' captions of 16 tokens: what another ten batches of 16 add to the first one's time, by ten."""
    import rows

    some = captions()[:11 * CAPTIONED]

    def predict(count):
        data = work / f"captioned-{count}.csv"
        write(data, some[:count])
        start = time.perf_counter()
        told = ours.run(ours.PROGRAM, "predict", "--model", drawn_model(work), "--device", "cpu", "--data", data, "--batch-size", CAPTIONED,
                        "--max-new-tokens", NEW_TOKENS, "--min-new-tokens", NEW_TOKENS, threads=2)
        assert len(told.splitlines()) == count, f"{len(told.splitlines())} answers, not {count}"
        return time.perf_counter() - start

    predict(CAPTIONED)  # reads what is not in memory yet
    mine = [(predict(11 * CAPTIONED) - predict(CAPTIONED)) / 10]
    other = rows.peer(peer_given(some, work="captions", new_tokens=NEW_TOKENS))
    return {"ours": {"seconds": mine}, "theirs": other}
