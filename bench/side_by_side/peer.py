"""The peers' side of one measurement, in a process of its own: reads JSON, prints one line of JSON.

Training as transformers' Trainer does it, less what a bare loop can leave out: tokens are made beforehand, batches are
padded to their longest, AdamW is the fused one, gradients are clipped at 1.
"""

import csv
import json
import resource
import sys
import time

import torch
import transformers


def lora(model, task):
    import peft

    targets = {"gpt2": ["c_attn"], "bert": ["query", "key", "value", "dense"]}[model.config.model_type]
    return peft.get_peft_model(model, peft.LoraConfig(
        r=8, lora_alpha=16, lora_dropout=0.0, task_type=task, target_modules=targets, fan_in_fan_out=model.config.model_type == "gpt2"))


def adapter(model, task, start=None):
    """Houlsby's. `start`: a folder with the values to begin with; else drawn."""
    import adapters

    adapters.init(model)
    if start:
        name = model.load_adapter(start, use_safetensors=True)
    else:
        name = model.add_adapter("bench", config=adapters.DoubleSeqBnConfig(reduction_factor=16)) or "bench"
    model.train_adapter(name)
    return model


def prefix(model, task):
    import peft

    return peft.get_peft_model(model, peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=20))


def prompt(model, task):
    import peft

    return peft.get_peft_model(model, peft.PromptTuningConfig(task_type=task, num_virtual_tokens=20))


def bitfit(model, task):
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("classifier") or name.endswith(".bias")
    return model


def ia3(model, task):
    import peft

    return peft.get_peft_model(model, peft.IA3Config(task_type=task))


def head(model, task):
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.startswith("classifier")
    return model


METHODS = {"lora": lora, "adapter": adapter, "prefix": prefix, "prompt": prompt, "bitfit": bitfit, "ia3": ia3, "head": head,
           "full": lambda model, task: model}


def open_model(given):
    kind = getattr(torch, given.get("dtype", "float32"))
    if "labels" in given:
        torch.manual_seed(given.get("seed", 0))
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            given["model"], num_labels=len(given["labels"]), dtype=kind)
        return model, "SEQ_CLS"
    return transformers.AutoModelForCausalLM.from_pretrained(given["model"], dtype=kind), "CAUSAL_LM"


def rows_of(given):
    """Examples as ids and labels."""
    if "labels" in given:
        tokenizer = transformers.AutoTokenizer.from_pretrained(given["model"])
        with open(given["data"], newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        ids = tokenizer([row["text"] for row in rows], truncation=True, max_length=given["length"])["input_ids"]
        return [{"ids": one, "label": given["labels"].index(row["label"])} for one, row in zip(ids, rows)]
    with open(given["model"] + "/vocab.json") as file:
        known = json.load(file)
    ids = lambda text: [known["Ġ" if c == " " else c] for c in text]
    end = [known["<|endoftext|>"]]
    rows = []
    with open(given["data"]) as file:
        for line in file:
            row = json.loads(line)
            if "completion" not in row and "prompt" in row:
                rows.append({"ids": ids(row["prompt"])})
            elif "text" in row:
                rows.append({"ids": ids(row["text"]), "labels": ids(row["text"])})
            else:
                prompt, answer = ids(row["prompt"]), ids(row["completion"]) + end
                rows.append({"ids": prompt + answer, "labels": [-100] * len(prompt) + answer})
    return rows


def batch_of(rows):
    longest = max(len(row["ids"]) for row in rows)
    pad = lambda values, filler: values + [filler] * (longest - len(values))
    batch = {"input_ids": torch.tensor([pad(row["ids"], 0) for row in rows]),
             "attention_mask": torch.tensor([pad([1] * len(row["ids"]), 0) for row in rows])}
    if "label" in rows[0]:
        return batch | {"labels": torch.tensor([row["label"] for row in rows])}
    return batch | {"labels": torch.tensor([pad(row["labels"], -100) for row in rows])}


def trained_model(given):
    """A model after its training, and what was measured meanwhile."""
    model, task = open_model(given)
    rows = rows_of(given)
    torch.manual_seed(given.get("seed", 0))
    more = {"start": given["start"]} if "start" in given else {}
    model = METHODS[given["method"]](model, task, **more)
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=given["rate"], weight_decay=0.0, fused=True)
    size, losses, seconds = given["batch"], [], []
    steps = [rows[at:at + size] for at in range(0, len(rows), size)] * given.get("epochs", 1)
    more = {"use_cache": False} if task == "CAUSAL_LM" and given["method"] != "prefix" else {}
    for step in steps:
        start = time.perf_counter()
        loss = model(**batch_of(step), **more).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    return model, {"losses": losses, "seconds": seconds, "trained": sum(p.numel() for p in trained)}


def train(given):
    return trained_model(given)[1]


def comparison(given):
    import comparison

    return {"table": comparison.theirs(given)}


def nf4(given):
    import nf4

    return nf4.theirs(given)


def pictures(given):
    import peer_pictures

    return peer_pictures.train(given)


def captions(given):
    import peer_pictures

    return peer_pictures.captions(given)


def generate(given):
    """Greedy answers of `new_tokens` tokens; the seconds are those beyond answers of a single token."""
    model, _ = open_model(given)
    if "adapter" in given:
        import peft

        model = peft.PeftModel.from_pretrained(model, given["adapter"])
    model.eval()
    rows = rows_of(given)
    with open(given["model"] + "/vocab.json") as file:
        pieces = {number: piece for piece, number in json.load(file).items()}

    def answers(count):
        found, start = [], time.perf_counter()
        for at in range(0, len(rows), given["batch"]):
            ids = torch.tensor([row["ids"] for row in rows[at:at + given["batch"]]])
            with torch.no_grad():
                made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=count,
                                      max_new_tokens=count, pad_token_id=0)
            found += ["".join(pieces[i] for i in one[ids.shape[1]:].tolist()).replace("Ġ", " ") for one in made]
        return found, time.perf_counter() - start

    answers(2)
    texts, many = answers(given["new_tokens"])
    return {"answers": texts, "seconds": [many - answers(1)[1]]}


def main():
    given = json.load(sys.stdin)
    torch.set_num_threads(given["threads"])
    transformers.logging.set_verbosity_error()
    answer = globals()[given["work"]](given)
    print(json.dumps(answer | {"bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
