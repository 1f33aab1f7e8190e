#!/usr/bin/env python3
"""A file as Hugging Face's safetensors library writes it: mixed.safetensors, to whose bytes safetensors_test.cpp holds ours.

    uv venv /tmp/hf && uv pip install --python /tmp/hf/bin/python torch==2.11.0 safetensors
    /tmp/hf/bin/python tests/oracle/safetensors/make_oracle.py
"""

import pathlib

import safetensors
import safetensors.torch
import torch

TYPES = {
    "double": torch.float64, "float": torch.float32, "half": torch.float16, "brain": torch.bfloat16,
    "long": torch.int64, "int": torch.int32, "short": torch.int16, "char": torch.int8, "byte": torch.uint8,
    "bool": torch.bool, "a.float": torch.float32, "z \"quoted\"": torch.float32, "ü": torch.float16,
}


def main():
    tensors = {name: (torch.arange(6) % 2).view(2, 3).to(kind) for name, kind in TYPES.items()}
    tensors["none"] = torch.empty(0, 4)
    tensors["scalar"] = torch.tensor(2.5)
    folder = pathlib.Path(__file__).parent
    safetensors.torch.save_file(tensors, folder / "mixed.safetensors", metadata={"format": "pt"})
    (folder / "versions.txt").write_text(
        f"safetensors {safetensors.__version__}, torch {torch.__version__.split('+')[0]}\n")


if __name__ == "__main__":
    main()
