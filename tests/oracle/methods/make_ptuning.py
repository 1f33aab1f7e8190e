"""Writes P_TUNING folders of peft on the tiny GPT-2 and LLaMA of ../causal_models, their logits, and curves.

    python make_ptuning.py            writes ptuning_models beside this file
    python make_ptuning.py --check    writes to a temporary folder and compares with what is here

The folders hold first values, drawn after torch.manual_seed(5); encoders.safetensors the encoders they come from. Examples and schedule of the curves are those of
../causal_models/make_curves.py, without decay.
"""

import importlib.util
import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
import transformers
from peft import PeftModel, PromptEncoderConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from making import make

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "causal_models"
SPEC = importlib.util.spec_from_file_location("common", MODELS / "make_curves.py")
common = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(common)

SEED, IDS, RATE = 5, [5, 7, 3, 8, 30, 61, 2], 1e-2
TASK = {"task_type": "CAUSAL_LM", "num_virtual_tokens": 4}
CASES = {
    "gpt2/mlp": {},
    "gpt2/lstm": dict(encoder_reparameterization_type="LSTM", encoder_hidden_size=6),
    "llama/mlp": dict(encoder_hidden_size=5),
    "llama/lstm": dict(encoder_reparameterization_type="LSTM", encoder_hidden_size=6, encoder_num_layers=1),
}


def base(name):
    return AutoModelForCausalLM.from_pretrained(MODELS / name, attn_implementation="eager")


def attach(model, options):
    torch.manual_seed(SEED)
    return get_peft_model(model, PromptEncoderConfig(**TASK, **options))


@torch.no_grad()
def logits(model):
    # peft's wrapper puts the vectors' own logits in front.
    return model.eval()(torch.tensor([IDS])).logits[0, TASK["num_virtual_tokens"]:].contiguous()


def tidy(folder):
    """Where the base lay means nothing elsewhere."""
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = None
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def curve(label, options, rows):
    name, method = label.split("/")
    common.attach, common.RATE, common.DECAY = lambda model, *_: attach(model, options), RATE, 0.0
    return common.curve(name, method, rows)


def write_all(to):
    seen, encoders = {}, {}
    for label, options in CASES.items():
        name = label.replace("/", "_")
        model = attach(base(label.split("/")[0]), options)
        for key, tensor in model.prompt_encoder["default"].state_dict().items():
            encoders[f"{name}.prompt_encoder.{key}"] = tensor.clone()
        seen[name] = logits(model)
        model.save_pretrained(to / name)
        again = logits(PeftModel.from_pretrained(base(label.split("/")[0]), to / name))
        assert torch.allclose(again, seen[name], atol=1e-6)
        tidy(to / name)
    save_file(seen, to / "logits.safetensors")
    save_file(encoders, to / "encoders.safetensors")
    rows = common.examples()
    numbers = {
        "curves": {label: curve(label, options, rows) for label, options in CASES.items()},
        "ids": IDS, "rate": RATE,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "safetensors")},
    }
    (to / "expected.json").write_text(json.dumps(numbers, indent=1, sort_keys=True) + "\n")


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    return make(write_all, HERE / "ptuning_models")


if __name__ == "__main__":
    sys.exit(main())
