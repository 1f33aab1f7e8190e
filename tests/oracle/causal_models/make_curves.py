"""Trains methods of peft and adapters on the tiny folders and keeps every step's loss, in curves.json.

    python make_curves.py            # or --check: computes them again and compares

The seed is set right before a method is put on the model, as its users do; no dropout; the examples in their order. Ids
are those of peftlab's toy tokenizer: b = 1 ... z = 25, space = 26 (there is no a, whose id 0 is padding and the end).
"""

import argparse
import json
import pathlib
import sys

import adapters
import peft
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
STEPS, BATCH, RATE, DECAY, WARMUP, SEED = 20, 4, 1e-2, 0.1, 2, 5
LABELS = ["bad", "fair", "good"]
METHODS = ["full", "lora", "prefix", "prompt", "adapter", "pfeiffer", "parallel"]
BOTTLENECKS = {"adapter": adapters.DoubleSeqBnConfig, "pfeiffer": adapters.SeqBnConfig, "parallel": adapters.ParBnConfig}
LANGUAGE = ["gpt2", "llama", "mistral", "qwen2"]
CLASSES = ["gpt2_class", "llama_class"]  # prompts are left out: there transformers reads padding in place of the text


def words(count, length, generator):
    letters = "bcdefghijklmnopqrstuvwxyz "
    picked = torch.randint(0, len(letters), (count, length), generator=generator)
    return ["".join(letters[i] for i in row) for row in picked.tolist()]


def encode(text):
    return [26 if c == " " else ord(c) - ord("a") for c in text]


def examples():
    generator = torch.Generator().manual_seed(8)
    count = STEPS * BATCH
    prompts = [w[: 2 + i % 5] for i, w in enumerate(words(count, 6, generator))]
    targets = [w[: 1 + i % 4] for i, w in enumerate(words(count, 4, generator))]
    labels = [LABELS[i] for i in torch.randint(0, 3, (count,), generator=generator).tolist()]
    return [{"prompt": p, "target": t, "label": c} for p, t, c in zip(prompts, targets, labels)]


def attach(model, method, task):
    if method in BOTTLENECKS:
        adapters.init(model)
        torch.manual_seed(SEED)
        model.add_adapter("a", config=BOTTLENECKS[method](reduction_factor=4))
        model.train_adapter("a")
        return model
    common = dict(task_type=task)
    configs = {
        "lora": lambda: peft.LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, **common),
        "prefix": lambda: peft.PrefixTuningConfig(num_virtual_tokens=4, prefix_projection=True,
                                                  encoder_hidden_size=model.config.hidden_size, **common),
        "prompt": lambda: peft.PromptTuningConfig(num_virtual_tokens=4, **common),
    }
    if method == "full":
        return model
    torch.manual_seed(SEED)
    return peft.get_peft_model(model, configs[method]())


def tensors(rows, classifies):
    ids, labels = [], []
    for row in rows:
        prompt = encode(row["prompt"])
        target = [] if classifies else encode(row["target"]) + [0]
        ids.append(prompt + target)
        labels.append([-100] * len(prompt) + target)
    longest = max(map(len, ids))
    padded = torch.tensor([i + [0] * (longest - len(i)) for i in ids])
    mask = torch.tensor([[1] * len(i) + [0] * (longest - len(i)) for i in ids])
    if classifies:
        return padded, mask, torch.tensor([LABELS.index(row["label"]) for row in rows])
    return padded, mask, torch.tensor([row + [-100] * (longest - len(row)) for row in labels])


def curve(name, method, rows):
    classifies = name in CLASSES
    kind = transformers.AutoModelForSequenceClassification if classifies else transformers.AutoModelForCausalLM
    config = transformers.AutoConfig.from_pretrained(HERE / name)
    for key in ("embd_pdrop", "resid_pdrop", "attn_pdrop"):
        if hasattr(config, key):
            setattr(config, key, 0.0)
    model = kind.from_pretrained(HERE / name, config=config, attn_implementation="eager")
    model = attach(model, method, "SEQ_CLS" if classifies else "CAUSAL_LM").train()
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trained if p.dim() >= 2], "weight_decay": DECAY},
              {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
    losses = []
    for step in range(STEPS):
        ids, mask, labels = tensors(rows[step * BATCH : (step + 1) * BATCH], classifies)
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    rows = examples()
    curves = {f"{name}/{method}": curve(name, method, rows) for name in LANGUAGE for method in METHODS}
    curves.update({f"{name}/{method}": curve(name, method, rows) for name in CLASSES for method in METHODS[:3]})
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__,
                "peft": peft.__version__, "adapters": adapters.__version__}
    shown = [f"{json.dumps(name)}: {json.dumps(losses)}" for name, losses in sorted(curves.items())]
    lines = [f'"versions": {json.dumps(versions, sort_keys=True)}',
             '"examples": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]",
             '"curves": {\n' + ",\n".join(shown) + "\n}"]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    file = HERE / "curves.json"
    if check:
        print("equal" if file.read_text(encoding="utf-8") == text else "different")
        return 0 if file.read_text(encoding="utf-8") == text else 1
    file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
