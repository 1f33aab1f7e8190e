#!/usr/bin/env python3
"""experiments/minilm_sections.toml as Hugging Face's libraries compute it, to stand beside peftlab's table.

The same data, base, settings and seeds with transformers, peft and adapters in a plain training loop: AdamW without weight
decay, linear schedule with a tenth of the steps for warming up, clipping at 1, batches of 32, three epochs. The order of
the examples is torch's, so single runs differ from peftlab's; means over seeds are to agree within their spread.

    uv venv /tmp/hf && uv pip install --python /tmp/hf/bin/python torch==2.11.0 transformers==4.57.6 peft==0.21.2 adapters==1.3.0
    /tmp/hf/bin/python bench/minilm_huggingface.py --seeds 0 1 2

What it was measured to give is in bench/results/minilm_huggingface.md.
"""

import argparse
import csv
import json
import sys
import time

import torch
import transformers

LABELS = "admin fonts games graphics mail math net science sound text web x11".split()
EPOCHS, BATCH, WARMUP = 3, 32, 0.1
RATES = {"full": 3e-4, "lora-r8": 3e-3, "adapter": 3e-3, "prefix": 1e-1, "prompt": 1e-1}


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return [(row["text"], LABELS.index(row["label"])) for row in csv.DictReader(file)]


def wrapped(model, method, seed):
    torch.manual_seed(seed)
    if method == "full":
        return model
    if method == "adapter":
        import adapters

        adapters.init(model)
        model.add_adapter("a", config=adapters.DoubleSeqBnConfig(reduction_factor=16))
        model.train_adapter("a")
        for name, parameter in model.named_parameters():  # peftlab's adapter trains the LayerNorms of its layers, as the paper
            if name.startswith("bert.encoder") and "LayerNorm" in name:
                parameter.requires_grad = True
        return model
    import peft

    config = {
        "lora-r8": lambda: peft.LoraConfig(
            task_type="SEQ_CLS", r=8, lora_alpha=16, target_modules=["query", "key", "value", "dense"]
        ),
        "prefix": lambda: peft.PrefixTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=16),
        "prompt": lambda: peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=16),
    }[method]()
    model = peft.get_peft_model(model, config)
    if method == "prompt":  # peftlab's init = "vocabulary"
        table = model.base_model.bert.embeddings.word_embeddings.weight
        with torch.no_grad():
            model.prompt_encoder["default"].embedding.weight.copy_(table[torch.randint(len(table), (16,))])
    return model


def batches(rows, tokenizer, order):
    for at in range(0, len(order), BATCH):
        chosen = [rows[i] for i in order[at : at + BATCH]]
        encoded = tokenizer([text for text, _ in chosen], padding=True, truncation=True, max_length=64, return_tensors="pt")
        encoded.pop("token_type_ids", None)
        yield encoded, torch.tensor([label for _, label in chosen])


def run(arguments, method, seed, train, test):
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    torch.manual_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(arguments.model, num_labels=len(LABELS))
    model = wrapped(model, method, seed)
    trained = [p for p in model.parameters() if p.requires_grad]
    steps = EPOCHS * -(-len(train) // BATCH)
    optimizer = torch.optim.AdamW(trained, lr=RATES[method], weight_decay=0.0)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, -int(-steps * WARMUP // 1), steps)
    generator = torch.Generator().manual_seed(seed)
    started = time.perf_counter()
    model.train()
    for _ in range(EPOCHS):
        for encoded, labels in batches(train, tokenizer, torch.randperm(len(train), generator=generator).tolist()):
            model(**encoded, labels=labels).loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    seconds = time.perf_counter() - started
    model.eval()
    right = 0
    with torch.no_grad():
        for encoded, labels in batches(test, tokenizer, list(range(len(test)))):
            right += (model(**encoded).logits.argmax(-1) == labels).sum().item()
    return {
        "method": method,
        "seed": seed,
        "learning_rate": RATES[method],
        "accuracy": right / len(test),
        "trained_parameters": sum(p.numel() for p in trained),
        "train_seconds": round(seconds, 1),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="data/models/minilm")
    parser.add_argument("--data", default="data/sections")
    parser.add_argument("--methods", nargs="+", default=list(RATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rates", nargs="+", default=[], metavar="METHOD=RATE", help="other learning rates")
    arguments = parser.parse_args()
    RATES.update((method, float(rate)) for method, _, rate in (given.partition("=") for given in arguments.rates))
    torch.set_num_threads(arguments.threads)
    train, test = read(f"{arguments.data}/train.csv"), read(f"{arguments.data}/test.csv")
    for method in arguments.methods:
        for seed in arguments.seeds:
            print(json.dumps(run(arguments, method, seed, train, test)), flush=True)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}", file=sys.stderr)


if __name__ == "__main__":
    main()
