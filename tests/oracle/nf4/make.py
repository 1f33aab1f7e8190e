"""Writes golden.safetensors: weights, and what bitsandbytes makes of them on a CPU.

Run with the versions named in README.md, on a processor with AVX-512 or without: the bytes are the same.
With a folder of .npy files of the same names as argument, compares with them too.
"""
import json
import pathlib
import sys

import bitsandbytes
import bitsandbytes.functional as functional
import numpy as np
import torch
from safetensors.torch import save_file

torch.set_num_threads(1)
draw = np.random.default_rng(20240607)
golden = {}


def keep(name, values):
    if isinstance(values, np.ndarray):
        values = torch.from_numpy(np.ascontiguousarray(values).copy())
    golden[name] = values.contiguous()


def normal(shape, scale):
    return (draw.standard_normal(shape) * scale).astype(np.float32)


def exact_codes(x, code):
    """8-bit codes of blocks of 256: the nearest, of two as near the one of even index."""
    middle = ((code[:-1] + code[1:]) * np.float32(0.5)).astype(np.float32)
    codes = np.zeros(x.size, np.uint8)
    for first in range(0, x.size, 256):
        block = x[first:first + 256]
        largest = np.abs(block).max()
        if largest == 0:
            continue
        v = (block * (np.float32(1) / largest)).astype(np.float32)
        below, not_above = np.searchsorted(middle, v, side="left"), np.searchsorted(middle, v, side="right")
        codes[first:first + 256] = np.where(below % 2 == 0, below, not_above)
    return codes


nf4_numbers = functional.get_4bit_type("nf4", device="cpu").numpy()
middle = ((nf4_numbers[:-1] + nf4_numbers[1:]) / np.float32(2)).astype(np.float32)

weights = {"gauss": normal((160, 128), 0.02)}
special = normal((6, 64), 0.05)
# Ties, the numbers one step beside them, and the numbers of the codes.
special[0] = 0
special[0, 0] = 1
special[0, 1:16] = middle
special[0, 16:31] = np.nextafter(middle, np.float32(2))
special[0, 31:46] = np.nextafter(middle, np.float32(-2))
special[0, 46:62] = nf4_numbers
special[1] = 0  # a block of zeros
special[2] = 0.37  # a block of one number
special[3, :32] = -0.0
special[3, 32] = -5.5  # the largest is negative
special[4] = normal(64, 1e-30)
special[5] = (10.0 ** draw.uniform(-6, 2, 64) * np.sign(draw.standard_normal(64))).astype(np.float32)
weights["special"] = special
weights["ragged"] = normal((7, 19), 0.02)  # an odd count, and a last block of 5

for name, weight in weights.items():
    keep(f"{name}.weight", weight)
    tensor = torch.from_numpy(weight.copy())
    for kind in ("nf4", "fp4"):
        packed, state = functional.quantize_4bit(tensor, blocksize=64, quant_type=kind, compress_statistics=False)
        keep(f"{name}.{kind}.packed", packed)
        keep(f"{name}.{kind}.absmax", state.absmax.clone())
        keep(f"code.{kind}", state.code)
        keep(f"{name}.{kind}.dequant_f32", functional.dequantize_4bit(packed, state))
        for dtype, short in ((torch.bfloat16, "bf16"), (torch.float16, "f16")):
            state.dtype = dtype
            keep(f"{name}.{kind}.dequant_{short}", functional.dequantize_4bit(packed, state))
        doubled, nested = functional.quantize_4bit(tensor, blocksize=64, quant_type=kind, compress_statistics=True)
        assert torch.equal(doubled, packed)
        code = nested.state2.code.numpy()
        keep("code.dynamic8_signed", code)
        keep(f"{name}.{kind}.dq.absmax_u8", nested.absmax)
        keep(f"{name}.{kind}.dq.nested_absmax", nested.state2.absmax)
        keep(f"{name}.{kind}.dq.nested_offset", nested.offset.reshape(1))
        centred = (state.absmax.numpy() - nested.offset.numpy()).astype(np.float32)
        keep(f"{name}.{kind}.dq.absmax_u8_exact", exact_codes(centred, code))
        keep(f"{name}.{kind}.dq.dequant_f32", functional.dequantize_4bit(doubled, nested))
keep("code.dynamic8_unsigned", functional.create_dynamic_map(signed=False))

# A layer of bitsandbytes: what it saves, its output and its gradient.
linear = bitsandbytes.nn.Linear4bit(128, 160, compute_dtype=torch.float32, quant_type="nf4", compress_statistics=True)
linear.bias.data = torch.from_numpy(normal(160, 0.1))
linear.weight = bitsandbytes.nn.Params4bit(
    torch.from_numpy(weights["gauss"].copy()), requires_grad=False, quant_type="nf4", compress_statistics=True)
linear = linear.to("cpu").train()
x = torch.from_numpy(normal((3, 128), 1)).requires_grad_(True)
gradient = torch.from_numpy(normal((3, 160), 1))
y = linear(x)
y.backward(gradient)
for name, values in {"x": x, "bias": linear.bias, "grad_y": gradient, "y": y, "grad_x": x.grad}.items():
    keep(f"linear.{name}", values.detach().clone())
for name, values in linear.state_dict().items():
    keep(f"saved.{name}", values.clone())

# Rows that are no multiple of the block: bitsandbytes on a CPU dequantizes them wrongly as a matrix, rightly as a row.
weight = normal((8, 96), 0.02)
packed, state = functional.quantize_4bit(torch.from_numpy(weight.copy()), blocksize=64, quant_type="nf4",
                                         compress_statistics=False)
keep("misaligned96.weight", weight)
keep("misaligned96.nf4.packed", packed)
keep("misaligned96.nf4.absmax", state.absmax)
state.shape = torch.Size([weight.size])
keep("misaligned96.nf4.dequant_f32", functional.dequantize_4bit(packed, state).reshape(8, 96))

half = torch.from_numpy(weight).to(torch.float16)
codes, scales, _ = functional.int8_vectorwise_quant(half)
keep("int8.gauss.CB", codes)
keep("int8.gauss.SCB", scales)

if len(sys.argv) > 1:
    compared = 0
    for name, values in golden.items():
        path = pathlib.Path(sys.argv[1]) / f"{name.replace('_bf16', '_bf16bits').replace('_f16', '_f16bits')}.npy"
        if path.exists():
            there, here = np.load(path), values
            if values.dtype in (torch.bfloat16, torch.float16):
                here = values.view(torch.int16)
            # By value, for the second zero of FP4 is written with a sign there; bitsandbytes has none.
            there, here = there.view(here.numpy().dtype), here.numpy()
            # Sums of a product are in another order on another processor.
            same = np.allclose(there, here, 1e-5, 1e-6) if name.startswith("linear.") else np.array_equal(there, here)
            assert same, name
            compared += 1
    print(f"{compared} arrays of {len(golden)} are in {sys.argv[1]}: all their numbers are the same")


def fnv(values):
    """FNV-1a of the bytes, 64 bits: what is kept of arrays that would make the file large."""
    result = 0xCBF29CE484222325
    for byte in values.view(torch.uint8).numpy().tobytes():
        result = (result ^ byte) * 0x100000001B3 % 2**64
    return torch.tensor([result - 2**64 if result >= 2**63 else result])


for name in list(golden):
    whole = ("gauss.nf4.dequant_f32", "gauss.nf4.dequant_bf16")
    if name.startswith("gauss.") and "dequant_" in name and name not in whole:
        golden[name + ".fnv"] = fnv(golden.pop(name))

versions = {"bitsandbytes": bitsandbytes.__version__, "torch": torch.__version__, "numpy": np.__version__}
save_file(golden, pathlib.Path(__file__).parent / "golden.safetensors", metadata={"versions": json.dumps(versions)})
