"""Model folders that transformers with bitsandbytes quantized, and the logits they give (see README.md).

    python make.py [SOURCES]  writes the folders and expected.safetensors beside this file
    python make.py --read DIR SRC
                              opens DIR, which peftlab quantized from SRC, one of the folders that the other call says it
                              leaves: how far its logits moved, and how many of its tensors are those of the folder of
                              SRC's name beside this file, to the bit
"""

import json
import pathlib
import shutil
import sys

import bitsandbytes
import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
TOKENS = [3, 9, 1, 4, 27, 8, 28, 60, 33, 5]
VERSIONS = {m.__name__: m.__version__ for m in (bitsandbytes, torch, transformers)}

SIZES = dict(vocab_size=64, bos_token_id=0, eos_token_id=0, pad_token_id=0)
CONFIGS = {
    "llama": transformers.LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
                                      num_key_value_heads=2, max_position_embeddings=32, **SIZES),
    "gpt2": transformers.GPT2Config(n_embd=64, n_layer=1, n_head=4, n_positions=32, resid_pdrop=0.0, embd_pdrop=0.0,
                                    attn_pdrop=0.0, **SIZES),
}
BITS = {
    "llama_nf4": dict(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "llama_int8": dict(load_in_8bit=True),
    "gpt2_fp4": dict(load_in_4bit=True, bnb_4bit_quant_type="fp4"),
}


def logits(model):
    """Of the model in training mode: in the other one bitsandbytes packs its weights anew, and loses some of them."""
    with torch.no_grad():
        return model.train()(torch.tensor([TOKENS])).logits[0].float().contiguous()


def quantized(folder, **bits):
    if "load_in_4bit" in bits:
        bits["bnb_4bit_compute_dtype"] = torch.float32
    how = {"quantization_config": transformers.BitsAndBytesConfig(**bits)} if bits else {}
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, device_map="cpu", attn_implementation="eager", **how)


def with_exact_products(model):
    """Linear8bitLt rounds its input to 8 bits as well: here its weight is multiplied as it is, which is what is compared."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, bitsandbytes.nn.Linear8bitLt):
                weight = child.weight
                scales = weight.SCB if weight.SCB is not None else child.state.SCB
                plain = torch.nn.Linear(child.in_features, child.out_features, bias=child.bias is not None)
                plain.weight.data = weight.data.float() * (scales.float() / 127).unsqueeze(1)
                if child.bias is not None:
                    plain.bias.data = child.bias.data.float()
                setattr(module, name, plain)
    return model


def make(work):
    wanted = {}
    for name, bits in BITS.items():
        torch.manual_seed(0)
        plain = transformers.AutoModelForCausalLM.from_config(CONFIGS[name.split("_")[0]])
        for parameter in plain.parameters():
            torch.nn.init.normal_(parameter, std=0.2) if parameter.dim() > 1 else None
        source = work / name
        plain.save_pretrained(source)
        # peftlab opens no folder without one.
        shutil.copy(HERE.parent / "causal_models/llama/tokenizer.json", source)
        quantized(source, **bits).save_pretrained(HERE / name)
        (HERE / name / "generation_config.json").unlink(missing_ok=True)
        wanted[name] = logits(with_exact_products(quantized(HERE / name)))
    save_file(wanted, HERE / "expected.safetensors", {"versions": json.dumps(VERSIONS), "tokens": json.dumps(TOKENS)})


def read(folder, source):
    ours, before = logits(with_exact_products(quantized(folder))), logits(quantized(source))
    print("logits", ours.flatten()[:3].tolist(), "largest", before.abs().max().item(), "moved", (ours - before).abs().max().item())
    found, wanted = (load_file(pathlib.Path(f) / "model.safetensors") for f in (folder, HERE / pathlib.Path(source).name))
    same = [name for name in wanted if name in found and torch.equal(found[name], wanted[name])]
    print(f"{len(same)} of {len(found)} tensors are those that bitsandbytes wrote, of {len(wanted)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        read(*sys.argv[2:4])
    else:
        import tempfile
        work = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
        make(work)
        print("made", ", ".join(BITS), "; sources in", work)
