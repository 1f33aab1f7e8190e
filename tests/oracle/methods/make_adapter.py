"""Writes bottleneck adapters of `adapters` on the tiny GPT-2 and BERT of ../causal_models and ../bert, and outputs.

    python make_adapter.py            writes adapter_models beside this file
    python make_adapter.py --check    writes to a temporary folder and compares with what is here

`<model>_<name>/` is an adapter whose tensors were moved at random, `<model>_<name>_start/` one with its first values;
what each asks for is in its adapter_config.json. outputs.safetensors has under `<model>_<name>` the logits of the ids
in expected.json, [tokens, words] or [1, classes].
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import adapters
import torch
import transformers
from adapters import DoubleSeqBnConfig, ParBnConfig, SeqBnConfig
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from making import make

HERE = Path(__file__).resolve().parent
SEED, IDS = 5, [5, 7, 3, 8, 30, 61, 2]
MODELS = {
    "gpt2": (AutoModelForCausalLM, HERE.parent / "causal_models/gpt2"),
    "bert": (AutoModelForSequenceClassification, HERE.parent / "bert/bert_class"),
}
CONFIGS = {
    "houlsby": DoubleSeqBnConfig(reduction_factor=4),
    "houlsby_scaled": DoubleSeqBnConfig(reduction_factor=5.5, scaling=0.5, non_linearity="gelu_new"),
    "pfeiffer": SeqBnConfig(reduction_factor=4),
    "pfeiffer_both": SeqBnConfig(reduction_factor=8, mh_adapter=True, non_linearity="leakyrelu"),
    "parallel": ParBnConfig(),
    "parallel_both": ParBnConfig(reduction_factor=4, mh_adapter=True, scaling=1.5, non_linearity="tanh"),
}
STARTS = ("houlsby", "pfeiffer", "parallel")


def attach(name, config):
    make, folder = MODELS[name]
    model = make.from_pretrained(folder, attn_implementation="eager")
    adapters.init(model)
    torch.manual_seed(SEED)
    model.add_adapter("mine", config=config)
    model.set_active_adapters("mine")
    return model.eval()


def save(model, folder):
    model.save_adapter(str(folder), "mine", use_safetensors=True, with_head=False)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["model_name"] = None  # where the base lay means nothing elsewhere
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


@torch.no_grad()
def disturb(model):
    generator = torch.Generator().manual_seed(9)
    for key, parameter in sorted(model.named_parameters()):
        if ".mine." in key:
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)


@torch.no_grad()
def logits(model):
    seen = model(torch.tensor([IDS])).logits
    return seen.reshape(-1, seen.shape[-1]).contiguous()


def write_all(to):
    outputs = {}
    for base in MODELS:
        for name, config in CONFIGS.items():
            model = attach(base, config)
            if name in STARTS:
                save(model, to / f"{base}_{name}_start")
            disturb(model)
            save(model, to / f"{base}_{name}")
            outputs[f"{base}_{name}"] = logits(model)
    save_file(outputs, to / "outputs.safetensors")
    numbers = {"ids": IDS, "seed": SEED,
               "versions": {name: version(name) for name in ("torch", "transformers", "adapters", "safetensors")}}
    (to / "expected.json").write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    return make(write_all, HERE / "adapter_models")


if __name__ == "__main__":
    sys.exit(main())
