"""Runs Hugging Face peft's AdaLoRA on the tiny GPT-2 and LLaMA of ../causal_models and keeps what it computes.

    python make_adalora.py            writes the folders adalora* beside this file
    python make_adalora.py --check    writes to a temporary folder and compares with what is here

`adalora` and `adalora_bf16` are what peft saves right after a method was put on a GPT-2; `adalora_pruned` is an adapter
of random values of which some triplets were pruned, with the logits it gives; `adalora_training` holds the budgets of
some schedules, every step of some trainings, and the default targets. Steps are given to peft as the Trainer of
transformers gives them to its callbacks, and as peft's own examples do: from 0.
"""

import importlib.util
import json
import sys
from importlib.metadata import version
from pathlib import Path

import peft
import torch
import transformers
from peft.tuners.adalora.layer import RankAllocator

from making import make

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "causal_models"
SPEC = importlib.util.spec_from_file_location("common", MODELS / "make_curves.py")
common = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(common)

SEED, BATCH, RATE, CLIP = 5, 2, 1e-2, 1.0
PROMPT = [5, 7, 3, 8, 21, 2]
FOLDERS = ["adalora", "adalora_bf16", "adalora_pruned", "adalora_training"]

SCHEDULES = [
    {"rank": 12, "target_rank": 8, "sites": 2, "warmup_steps": 0, "final_steps": 0, "interval": 1, "steps": 20},
    {"rank": 4, "target_rank": 1, "sites": 3, "warmup_steps": 5, "final_steps": 6, "interval": 3, "steps": 31},
    {"rank": 7, "target_rank": 2, "sites": 5, "warmup_steps": 1, "final_steps": 11, "interval": 2, "steps": 17},
    {"rank": 12, "target_rank": 8, "sites": 72, "warmup_steps": 10, "final_steps": 20, "interval": 10, "steps": 120},
]

TRAININGS = {
    "every_step": ("gpt2", 30, dict(init_r=4, target_r=2, tinit=4, tfinal=8)),
    "some_steps": ("gpt2", 30, dict(init_r=5, target_r=1, deltaT=4, lora_alpha=16, orth_reg_weight=0.1, beta1=0.7,
                                    beta2=0.9, target_modules=["c_attn", "mlp.c_proj"])),
    "no_final_steps": ("llama", 20, dict(init_r=3, target_r=1, tinit=2)),
    "until_the_end": ("llama", 20, dict(init_r=4, target_r=2, tfinal=1, deltaT=3, orth_reg_weight=0.0)),
}


def config(total, **options):
    return peft.AdaLoraConfig(task_type="CAUSAL_LM", total_step=total, **options)


def open_model(name, dtype=torch.float32):
    own = transformers.AutoConfig.from_pretrained(MODELS / name)
    for key in ("embd_pdrop", "resid_pdrop", "attn_pdrop"):
        if hasattr(own, key):
            setattr(own, key, 0.0)
    return transformers.AutoModelForCausalLM.from_pretrained(
        MODELS / name, config=own, attn_implementation="eager", dtype=dtype)


def put_on(model, its):
    torch.manual_seed(SEED)
    return peft.get_peft_model(model, its)


def write_adapter(folder, model):
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    saved = json.loads(path.read_text())
    saved["base_model_name_or_path"] = None
    if isinstance(saved["target_modules"], list):
        saved["target_modules"].sort()
    path.write_text(json.dumps(saved, indent=1, sort_keys=True) + "\n")


def write_pruned(folder):
    """One map keeps nothing, one all, the others something."""
    model = put_on(open_model("gpt2"), config(9, init_r=3, target_r=1, lora_alpha=5,
                                              target_modules=["c_attn", "mlp.c_proj"]))
    generator = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    kept = iter([[True, False, True], [False] * 3, [True] * 3, [False, True, False]])
    pattern = {}
    for name, parameter in model.base_model.model.named_parameters():
        if "lora_E" in name:
            pattern[name] = next(kept)
            parameter.data *= torch.tensor(pattern[name], dtype=torch.float32).unsqueeze(1)
    model.peft_config["default"].rank_pattern = pattern
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([PROMPT])).logits[0]
    write_adapter(folder, model)
    text = json.dumps({"prompt": PROMPT, "logits": [[round(x, 7) for x in row] for row in logits.tolist()]})
    (folder / "logits.json").write_text(text + "\n")


def budgets(schedule):
    """Budget and whether there is an allocation, of every step."""
    class Maps:
        @staticmethod
        def named_parameters():
            return [(f"{i}.lora_A.a", torch.zeros(schedule["rank"], 1)) for i in range(schedule["sites"])]

    its = config(schedule["steps"], init_r=schedule["rank"], target_r=schedule["target_rank"],
                 tinit=schedule["warmup_steps"], tfinal=schedule["final_steps"], deltaT=schedule["interval"])
    allocator = RankAllocator(Maps, its, "a")
    pairs = [allocator.budget_schedule(step) for step in range(schedule["steps"])]
    return schedule | {"budgets": [budget for budget, _ in pairs], "allocates": [masks for _, masks in pairs]}


def kept_now(model):
    """For each map in order, which triplets have a singular value that is not zero: "101"."""
    values = [p for n, p in model.named_parameters() if "lora_E" in n]
    return " ".join("".join("1" if x != 0 else "0" for x in value.flatten().tolist()) for value in values)


def training(name, steps, options, rows):
    model = put_on(open_model(name), config(steps, **options)).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, -(-steps // 10), steps)
    losses, penalties, kept = [], [], []
    for step in range(steps):
        ids, mask, labels = common.tensors(rows[step * BATCH : (step + 1) * BATCH], False)
        batch = dict(input_ids=ids, attention_mask=mask, labels=labels)
        with torch.no_grad():
            plain = model.base_model.model(**batch).loss.item()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        optimizer.step()
        schedule.step()
        model.base_model.update_and_allocate(step)
        optimizer.zero_grad()
        losses.append(plain)
        penalties.append(loss.item() - plain)
        kept.append(kept_now(model))
    saved = peft.get_peft_model_state_dict(model)
    ranks = [value.shape[0] for key, value in saved.items() if key.endswith("lora_E")]
    return {"model": name, "options": options, "losses": losses, "penalties": penalties, "kept": kept, "ranks": ranks}


def default_targets():
    """Names and shapes of what is saved where no targets are given."""
    chosen = {}
    for name in ("causal_models/gpt2", "causal_models/llama", "causal_models/qwen2", "bert/bert_class",
                 "bert/roberta_class"):
        own = transformers.AutoConfig.from_pretrained(HERE.parent / name)
        classifies = name.endswith("_class")
        make = transformers.AutoModelForSequenceClassification if classifies else transformers.AutoModelForCausalLM
        its = peft.AdaLoraConfig(init_r=2, target_r=1, total_step=1, task_type="SEQ_CLS" if classifies else "CAUSAL_LM")
        saved = peft.get_peft_model_state_dict(peft.get_peft_model(make.from_config(own), its))
        chosen[name] = {key: list(value.shape) for key, value in saved.items() if ".lora_" in key}
    return chosen


def write_json(path, value):
    """One entry of each table or list a line, two levels deep."""
    def lines(value, depth):
        if depth == 0 or not isinstance(value, (dict, list)):
            return json.dumps(value, sort_keys=True)
        if isinstance(value, list):
            return "[\n" + ",\n".join(lines(item, depth - 1) for item in value) + "\n]"
        return "{\n" + ",\n".join(f"{json.dumps(k)}: {lines(v, depth - 1)}" for k, v in sorted(value.items())) + "\n}"

    path.write_text(lines(value, 3) + "\n")


def write_all(to):
    two = ["c_attn", "mlp.c_proj"]
    fresh = dict(init_r=4, target_r=3, lora_alpha=32, lora_dropout=0.1, tinit=3, tfinal=5, deltaT=2, beta1=0.9,
                 beta2=0.8, orth_reg_weight=0.3, target_modules=two)
    write_adapter(to / "adalora", put_on(open_model("gpt2"), config(9, **fresh)))
    sixteen = config(1, target_modules=r".*\.1\.attn\.c_attn")
    write_adapter(to / "adalora_bf16", put_on(open_model("gpt2", torch.bfloat16), sixteen))
    write_pruned(to / "adalora_pruned")
    rows = common.examples()
    names = ["torch", "peft", "transformers", "safetensors"]
    folder = to / "adalora_training"
    folder.mkdir(exist_ok=True)
    write_json(folder / "expected.json", {
        "versions": {name: version(name) for name in names},
        "schedules": [budgets(schedule) for schedule in SCHEDULES],
        "trainings": {name: training(*its, rows) for name, its in TRAININGS.items()},
        "defaults": default_targets(),
    })


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    return make(write_all, HERE, FOLDERS)


if __name__ == "__main__":
    sys.exit(main())
