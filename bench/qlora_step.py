"""A training step of QLoRA on the CPU, peftlab beside Hugging Face: python bench/qlora_step.py [STEPS]

Wants script/build to have run, and torch, transformers, peft, accelerate and bitsandbytes in this Python. The model has
LLaMA's shape with 4 layers and width 2048, random weights from one seed, quantized to NF4 with double quantization by
`peftlab quantize`; both sides open that very folder and train LoRA of rank 8 on all linear maps of the layers. Hugging Face's
side is measured twice: as it is, and prepared as the guide of peft and transformers has it
(`prepare_model_for_kbit_training`, which turns on gradient checkpointing and keeps what is not quantized in float32).
Processes of all take turns, with as many threads. The losses of the steps are compared first: unequal work is an error.
Prints seconds of a step, the first two of a process left out (median, least to most), peak memory of each process, and
ratios. STEPS: 6 if left out.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parent.parent
PROGRAM = ROOT / "build/release/peftlab"
WARM, TURNS = 2, 2
SHAPE = dict(hidden_size=2048, intermediate_size=5504, num_hidden_layers=4, num_attention_heads=16,
             num_key_value_heads=16, vocab_size=32000, max_position_embeddings=2048)
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# In a process of its own, for its peak of memory. Arguments: model, one example, steps, batch, type, whether as in the guide.
THEIRS = """
import json, resource, sys, time
import torch, transformers, peft
model, example, steps, batch = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
kind, guided = getattr(torch, sys.argv[5]), sys.argv[6] == "guided"
model = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=kind, device_map="cpu")
for module in model.modules():
    if hasattr(module, "compute_dtype"):
        module.compute_dtype, module.compute_type_is_set = kind, True
if guided:
    model = peft.prepare_model_for_kbit_training(model)
torch.manual_seed(0)
model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, task_type="CAUSAL_LM",
                                                   target_modules=TARGETS))
model.train()
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)
ids, labels = (torch.tensor([example[key]] * batch) for key in ("ids", "labels"))
seconds, losses = [], []
for _ in range(steps):
    start = time.perf_counter()
    loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    losses.append(loss.item())
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": seconds, "losses": losses, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
""".replace("TARGETS", repr(TARGETS))


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL).stdout


def make_model(folder):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SHAPE, tie_word_embeddings=False, bos_token_id=0, eos_token_id=0)
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder / "whole")
    tokenizer = ROOT / "tests/oracle/causal_models/llama/tokenizer.json"
    (folder / "whole/tokenizer.json").write_bytes(tokenizer.read_bytes())
    run(PROGRAM, "quantize", "--model", folder / "whole", "--to", folder / "model")


def tokens(work, text, *options):
    return json.loads(run(PROGRAM, "tokenize", "--model", work / "model", *options, "--", text))


def example_of(work, length, labelled):
    """A row of our data, and the same as ids and labels: `length` tokens, the last `labelled` of which are an answer's."""
    text = "the cat sat on the mat and looked at the dog " * 60
    if labelled == length:
        ids = tokens(work, text, "--special-tokens")[:length]
        return {"text": text}, {"ids": ids, "labels": ids}

    def piece(count, *options):
        return next(text[:n] for n in range(1, len(text)) if len(tokens(work, text[:n], *options)) == count)

    prompt, answer = piece(length - labelled, "--special-tokens"), piece(labelled - 1)
    end = [0]
    front, back = tokens(work, prompt, "--special-tokens"), tokens(work, answer) + end
    return ({"prompt": prompt, "completion": answer},
            {"ids": front + back, "labels": [-100] * len(front) + back})


def ours(work, row, length, steps, batch, kind, turn):
    name = f"{kind}-{batch}x{length}-{turn}-{steps}-{len(row)}"
    with open(work / "data.jsonl", "w") as file:
        file.writelines(json.dumps(row) + "\n" for _ in range(steps * batch))
    (work / "bench.toml").write_text(f"""schema = 1
[experiment]
name = "{name}"
[model]
path = "model"
dtype = "{kind}"
[data]
plugin = "text"
train = "data.jsonl"
test = "test.jsonl"
max_length = {length}
[train]
steps = {steps}
batch_size = {batch}
learning_rate = 1e-4
lr_scheduler = "constant"
[[method]]
label = "lora"
plugin = "lora"
rank = 8
alpha = 16
targets = {json.dumps(TARGETS)}
""")
    run(PROGRAM, "run", work / "bench.toml", "--store", work / "store", "--device", "cpu", "--quiet")
    query = lambda sql: json.loads(run(PROGRAM, "query", "--store", work / "store", "--format", "json", sql))
    points = query(f"SELECT value FROM v_metric JOIN v_runs USING (run_uuid) "
                   f"WHERE experiment = '{name}' AND metric = 'train/loss' ORDER BY step")
    seconds = query(f"SELECT value FROM v_metric JOIN v_runs USING (run_uuid) "
                    f"WHERE experiment = '{name}' AND metric = 'train/step_seconds' ORDER BY step")
    peak = query(f"SELECT max(c.peak_rss_bytes) AS peak FROM run_costs c "
                 f"JOIN runs r USING (run_id) JOIN v_runs ON r.uuid = run_uuid "
                 f"WHERE experiment = '{name}' AND phase IN ('load', 'train')")
    return {"losses": [point["value"] for point in points], "seconds": [point["value"] for point in seconds],
            "bytes": peak[0]["peak"]}


def theirs(work, example, steps, batch, kind, guided):
    return json.loads(run(sys.executable, "-c", THEIRS, work / "model", json.dumps(example), steps, batch, kind,
                          "guided" if guided else "plain").strip())


def measured(work, kind, batch, length, labelled, steps):
    """The cells of a row of the table."""
    row, example = example_of(work, length, labelled)
    sides = {"ours": [], "plain": [], "guided": []}
    for turn in range(TURNS):
        sides["ours"].append(ours(work, row, length, WARM + steps, batch, kind, turn))
        for side in ("plain", "guided"):
            sides[side].append(theirs(work, example, WARM + steps, batch, kind, side == "guided"))
    tolerance = 5e-4 if kind == "float32" else 2e-2
    for side in ("plain", "guided"):
        for a, b in zip(sides["ours"][0]["losses"], sides[side][0]["losses"]):
            assert abs(a - b) < tolerance * b, f"{kind}, {batch} x {length}, {side}: losses {sides}"
    cells, median = [], {}
    for side, runs in sides.items():
        seconds = [s for one in runs for s in one["seconds"][WARM:]]
        median[side] = statistics.median(seconds)
        cells.append(f"{median[side]:.2f} ({min(seconds):.2f} to {max(seconds):.2f})")
    peak = {side: max(one["bytes"] for one in runs) / 1e9 for side, runs in sides.items()}
    return cells + [f"{median['plain'] / median['ours']:.2f}", f"{median['guided'] / median['ours']:.2f}",
                    " / ".join(f"{bytes:.2f}" for bytes in peak.values()),
                    f"{peak['ours'] / min(peak['plain'], peak['guided']):.2f}"]


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        make_model(work)
        (work / "test.jsonl").write_text(json.dumps({"text": "the cat"}) + "\n")
        versions = run(sys.executable, "-c", "import torch, transformers, peft, bitsandbytes as b; "
                       "print('torch', torch.__version__, 'transformers', transformers.__version__, 'peft', "
                       "peft.__version__, 'bitsandbytes', b.__version__)").strip()
        print(f"{versions}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
        print("| step | peftlab, s | Hugging Face, s | prepared as in its guide, s | its time by ours | prepared, by ours | "
              "peak memory of the three, GB | our memory by the smaller of theirs |")
        print("| --- | --- | --- | --- | ---: | ---: | --- | ---: |", flush=True)
        for kind in ("float32", "bfloat16"):
            for batch, length, labelled in ((1, 32, 32), (1, 128, 128), (4, 128, 128), (4, 128, 32)):
                cells = measured(work, kind, batch, length, labelled, steps)
                share = "all" if labelled == length else f"{100 * labelled // length} %"
                print("| " + " | ".join([f"{kind}, batch {batch} of {length} tokens, {share} labelled"] + cells) + " |", flush=True)


main()
