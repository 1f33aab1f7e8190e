"""AdamW8bit of bitsandbytes on the CPU: three steps of a parameter below and one above the size from which moments are
8-bit codes, with weight decay. Writes adamw8bit.safetensors beside this file.

    pip install torch==2.11.0 bitsandbytes==0.50.2 safetensors
    python make.py
"""

import json
import os

import bitsandbytes
import torch
from safetensors.torch import save_file

RATE, DECAY, STEPS = 1e-2, 0.1, 3
# 4,355 numbers: 17 blocks of 256 and one of 3.
SHAPES = {"small": (16, 8), "large": (65, 67)}

torch.manual_seed(3)
torch.set_num_threads(1)
parameters = {name: torch.nn.Parameter(torch.randn(shape)) for name, shape in SHAPES.items()}
tensors = {f"{name}/start": p.detach().clone() for name, p in parameters.items()}
optimizer = bitsandbytes.optim.AdamW8bit(parameters.values(), lr=RATE, weight_decay=DECAY)
for step in range(1, STEPS + 1):
    for name, p in parameters.items():
        # Cubes: gradients over several powers of ten, as the dynamic code is made for.
        p.grad = torch.randn(SHAPES[name]) ** 3
        tensors[f"{name}/gradient{step}"] = p.grad.clone()
    optimizer.step()
    for name, p in parameters.items():
        tensors[f"{name}/after{step}"] = p.detach().clone()
for name, p in parameters.items():
    state = optimizer.state[p]
    for ours, theirs in {"m": "state1", "v": "state2", "m_absmax": "absmax1", "v_absmax": "absmax2"}.items():
        if theirs in state:
            tensors[f"{name}/{ours}"] = state[theirs].flatten().clone()

versions = {"torch": torch.__version__, "bitsandbytes": bitsandbytes.__version__}
facts = {"rate": RATE, "weight_decay": DECAY, "steps": STEPS, "versions": versions}
out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "adamw8bit.safetensors")
save_file(tensors, out, metadata={key: json.dumps(value) for key, value in facts.items()})
