"""A training step of QLoRA on the CPU, peftlab beside Hugging Face: python bench/qlora_step.py [STEPS]

Wants script/build to have run, and torch, transformers, peft, accelerate and bitsandbytes in this Python. The model has
LLaMA's shape with 4 layers and width 2048, random weights from one seed, quantized to NF4 with double quantization by
`peftlab quantize`; both sides open that very folder and train LoRA of rank 8 on all linear maps of the layers. Processes of
both take turns, with as many threads. The losses of the steps are compared first: unequal work is an error. Prints seconds
a step without the first two (median, least to most; ours is the mean of STEPS, each turn), peak memory of each process,
and ratios. STEPS: 8 if left out.
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
WARM, TURNS = 2, 3
SHAPE = dict(hidden_size=2048, intermediate_size=5504, num_hidden_layers=4, num_attention_heads=16,
             num_key_value_heads=16, vocab_size=32000, max_position_embeddings=2048)
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# In a process of its own, for its peak of memory. Arguments: model, tokens, steps, batch, type.
THEIRS = """
import json, resource, sys, time
import torch, transformers, peft
model, tokens, steps, batch, kind = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
kind = getattr(torch, kind)
model = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=kind, device_map="cpu")
for module in model.modules():
    if hasattr(module, "compute_dtype"):
        module.compute_dtype, module.compute_type_is_set = kind, True
torch.manual_seed(0)
model = peft.get_peft_model(model, peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, task_type="CAUSAL_LM",
                                                   target_modules=TARGETS))
model.train()
trained = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)
ids = torch.tensor([tokens] * batch)
seconds, losses = [], []
for _ in range(steps):
    start = time.perf_counter()
    loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids, use_cache=False).loss
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


def ours(work, text, length, steps, batch, kind, turn):
    name = f"{kind}-{batch}x{length}-{turn}-{steps}"
    with open(work / "data.jsonl", "w") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for _ in range(steps * batch))
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
    costs = query(f"SELECT max(c.peak_rss_bytes) AS peak, max(train_seconds) AS seconds FROM run_costs c "
                  f"JOIN runs r USING (run_id) JOIN v_runs ON r.uuid = run_uuid "
                  f"WHERE experiment = '{name}' AND phase IN ('load', 'train')")
    return {"losses": [point["value"] for point in points], "bytes": costs[0]["peak"], "seconds": costs[0]["seconds"]}


def ours_a_step(work, text, length, steps, batch, kind, turn):
    """What steps + WARM steps take beyond WARM of them, by the step."""
    few, many = (ours(work, text, length, n, batch, kind, turn) for n in (WARM, WARM + steps))
    return many | {"seconds": [(many["seconds"] - few["seconds"]) / steps]}


def theirs(work, tokens, steps, batch, kind):
    return json.loads(run(sys.executable, "-c", THEIRS, work / "model", json.dumps(tokens), steps, batch, kind).strip())


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        make_model(work)
        text = "the cat sat on the mat and looked at the dog " * 60
        (work / "test.jsonl").write_text(json.dumps({"text": "the cat"}) + "\n")
        whole = json.loads(run(PROGRAM, "tokenize", "--model", work / "model", "--special-tokens", "--", text))
        versions = run(sys.executable, "-c", "import torch, transformers, peft, bitsandbytes as b; "
                       "print('torch', torch.__version__, 'transformers', transformers.__version__, 'peft', "
                       "peft.__version__, 'bitsandbytes', b.__version__)").strip()
        print(f"{versions}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n", flush=True)
        print("| step | peftlab, s | Hugging Face, s | its time by ours | peftlab, GB | Hugging Face, GB | our memory by its |")
        print("| --- | --- | --- | ---: | ---: | ---: | ---: |", flush=True)
        for kind in ("float32", "bfloat16"):
            for batch, length in ((1, 32), (1, 128), (4, 128)):
                sides = {"ours": [], "theirs": []}
                for turn in range(TURNS):
                    sides["ours"].append(ours_a_step(work, text, length, steps, batch, kind, turn))
                    found = theirs(work, whole[:length], WARM + steps, batch, kind)
                    sides["theirs"].append(found | {"seconds": found["seconds"][WARM:]})
                tolerance = 5e-4 if kind == "float32" else 2e-2
                for a, b in zip(sides["ours"][0]["losses"], sides["theirs"][0]["losses"]):
                    assert abs(a - b) < tolerance * b, f"{kind}, {batch} x {length}: losses {sides}"
                cells, median = [], {}
                for side, runs in sides.items():
                    seconds = [s for one in runs for s in one["seconds"]]
                    median[side] = statistics.median(seconds)
                    cells.append(f"{median[side]:.2f} ({min(seconds):.2f} to {max(seconds):.2f})")
                peak = {side: max(one["bytes"] for one in runs) / 1e9 for side, runs in sides.items()}
                print(f"| {kind}, batch {batch} of {length} tokens | {cells[0]} | {cells[1]} | "
                      f"{median['theirs'] / median['ours']:.2f} | {peak['ours']:.2f} | {peak['theirs']:.2f} | "
                      f"{peak['ours'] / peak['theirs']:.2f} |", flush=True)


main()
