"""Trains further methods of peft on the tiny folders of ../causal_models and keeps every step's loss, in curves.json.

    python make_curves.py            # or --check: computes them again and compares

Examples, optimizer and schedule are those of ../causal_models/make_curves.py, but for the weight decay, which is 0.
BitFit and the training of a head alone are in no library: there the model's own parameters are trained.
"""

import argparse
import importlib.util
import json
import pathlib
import sys

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
SPEC = importlib.util.spec_from_file_location("common", HERE.parent / "causal_models" / "make_curves.py")
common = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(common)

CURVES = [f"{name}/{method}" for name in ("gpt2", "llama", "qwen2", "gpt2_class", "llama_class")
          for method in ("ia3", "vera", "layernorm", "bitfit", "head")
          if not (method == "head" and not name.endswith("_class")) and not (method == "bitfit" and "llama" in name)]


def attach(model, method, task):
    configs = {
        "ia3": lambda: peft.IA3Config(task_type=task),
        "vera": lambda: peft.VeraConfig(r=8, task_type=task),
        "layernorm": lambda: peft.LNTuningConfig(task_type=task),
    }
    if method in configs:
        torch.manual_seed(common.SEED)
        return peft.get_peft_model(model, configs[method]())
    for name, parameter in model.named_parameters():
        in_head = name.startswith("score.")
        parameter.requires_grad_(in_head or (method == "bitfit" and name.endswith(".bias")))
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    common.attach, common.DECAY = attach, 0.0
    rows = common.examples()
    curves = {label: common.curve(*label.split("/"), rows) for label in CURVES}
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__,
                "peft": peft.__version__}
    shown = [f"{json.dumps(label)}: {json.dumps(losses)}" for label, losses in sorted(curves.items())]
    lines = [f'"versions": {json.dumps(versions, sort_keys=True)}', '"curves": {\n' + ",\n".join(shown) + "\n}"]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    file = HERE / "curves.json"
    if check:
        same = file.read_text(encoding="utf-8") == text
        print("equal" if same else "different")
        return 0 if same else 1
    file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
