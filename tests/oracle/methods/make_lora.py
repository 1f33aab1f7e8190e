"""Writes LoRA folders of peft on the tiny GPT-2 and LLaMA of ../causal_models, the logits of each, and curves.

    python make_lora.py            writes lora_models beside this file
    python make_lora.py --check    writes to a temporary folder and compares with what is here

Trained tensors are moved at random after attach(), but for `gaussian`, which shows first values. What a folder asks for
is in its adapter_config.json. Examples and schedule of the curves are those of ../causal_models/make_curves.py, without
decay.
"""

import importlib.util
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from making import make

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "causal_models"
SPEC = importlib.util.spec_from_file_location("common", MODELS / "make_curves.py")
common = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(common)

SEED, IDS = 5, [5, 7, 3, 8, 30, 61, 2]
TASK = {"task_type": "CAUSAL_LM"}
FOLDERS = {
    "bias_all": dict(r=4, bias="all"),
    "bias_lora_only": dict(r=2, bias="lora_only", target_modules=["c_attn", "c_fc"]),
    "patterns": dict(
        r=4, lora_alpha=6, use_rslora=True, target_modules=["c_attn", "c_proj", "c_fc"],
        rank_pattern={"c_fc": 6, "h.0.attn.c_proj": 2, r"h\.1\.(mlp|ln)\..*": 3},
        alpha_pattern={"^transformer.h.0.attn.c_attn": 4, "mlp.c_proj": 2.5},
    ),
    "layers": dict(
        r=3, target_modules=["c_attn", "transformer.h.0.mlp.c_fc"], layers_to_transform=[1], layers_pattern=["h"]
    ),
    "exclude": dict(r=2, target_modules="all-linear", exclude_modules=["mlp.c_proj", "wte"]),
    "exclude_pattern": dict(r=2, target_modules=r".*\.(c_attn|c_proj)", exclude_modules=r".*\.0\.mlp\..*"),
    "gaussian": dict(r=4, init_lora_weights="gaussian"),
}
PISSA = dict(r=4, lora_alpha=12, target_modules=["c_attn", "c_proj"], init_lora_weights="pissa")
CURVES = {
    "gpt2/gaussian": dict(init_lora_weights="gaussian", r=4),
    "gpt2/bias_all": dict(bias="all", r=4),
    "gpt2/patterns": FOLDERS["patterns"],
    "gpt2/pissa": PISSA,
    "gpt2/loraplus": dict(r=4),
    "gpt2/loraplus_dora": dict(r=4, use_dora=True),
    "llama/loraplus": dict(r=4),
    "llama/pissa": dict(PISSA, target_modules=["q_proj", "down_proj"]),
}
RATE, RATIO = 2e-3, 8.0
ADAMW = torch.optim.AdamW


def base(name="gpt2"):
    return AutoModelForCausalLM.from_pretrained(MODELS / name, attn_implementation="eager")


def attach(model, options):
    torch.manual_seed(SEED)
    return get_peft_model(model, LoraConfig(**TASK, **options))


def disturb(model):
    generator = torch.Generator().manual_seed(9)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)


@torch.no_grad()
def logits(model):
    return model.eval()(torch.tensor([IDS])).logits[0].contiguous()


def tidy(folder):
    """Names of modules are sets there, in another order every time; where the base lay means nothing elsewhere."""
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    for key in ("target_modules", "exclude_modules"):
        if isinstance(config[key], list):
            config[key].sort()
    config["base_model_name_or_path"] = None
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def write_pissa(to, seen):
    """As peft keeps it, and converted to what fits the untouched base."""
    model = attach(base(), PISSA)
    start = to / "start"
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(start)
    model.peft_config["default"].init_lora_weights = "pissa"
    disturb(model)
    seen["pissa"] = logits(model)
    model.save_pretrained(to / "pissa")
    model.save_pretrained(to / "pissa_converted", path_initial_model_for_weight_conversion=start)
    shutil.rmtree(start)
    for name in ("pissa", "pissa_converted"):
        tidy(to / name)
    seen["pissa_converted"] = logits(PeftModel.from_pretrained(base(), to / "pissa_converted"))


def curve(label, options, rows):
    """The common loop, with this method and, for LoRA+, peft's optimizer."""
    name, method = label.split("/")
    attached = []

    def attach_ours(model, *_):
        attached.append(attach(model, options))
        return attached[0]

    def loraplus(_, lr):
        return create_loraplus_optimizer(attached[0], ADAMW, lr=lr, loraplus_lr_ratio=RATIO)

    common.attach, common.RATE, common.DECAY = attach_ours, RATE, 0.0
    torch.optim.AdamW = loraplus if method.startswith("loraplus") else ADAMW
    return common.curve(name, method, rows)


def write_all(to):
    seen = {}
    for name, options in FOLDERS.items():
        model = attach(base(), options)
        if name != "gaussian":
            disturb(model)
        seen[name] = logits(model)
        model.save_pretrained(to / name)
        tidy(to / name)
    write_pissa(to, seen)
    save_file(seen, to / "logits.safetensors")
    rows = common.examples()
    numbers = {
        "curves": {label: curve(label, options, rows) for label, options in CURVES.items()},
        "ids": IDS, "rate": RATE, "ratio": RATIO,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "safetensors")},
    }
    (to / "expected.json").write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    return make(write_all, HERE / "lora_models")


if __name__ == "__main__":
    sys.exit(main())
