"""A checkpoint of LLaMA's shape in bfloat16 with random weights, one shard a layer: python3 bench/random_llama.py FOLDER."""

import argparse
import json
import pathlib
import random

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--layers", type=int, required=True)
parser.add_argument("--width", type=int, required=True)
parser.add_argument("--inner", type=int, required=True)
given = parser.parse_args()
folder, layers, width, inner, vocabulary = given.folder, given.layers, given.width, given.inner, 32000
config = {"model_type": "llama", "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
          "num_attention_heads": width // 128, "num_key_value_heads": width // 128, "vocab_size": vocabulary, "rms_norm_eps": 1e-6,
          "max_position_embeddings": 2048, "rope_theta": 10000.0, "tie_word_embeddings": False, "hidden_act": "silu",
          "bos_token_id": 0, "eos_token_id": 0, "architectures": ["LlamaForCausalLM"]}
(folder / "config.json").write_text(json.dumps(config))

shards = [{"model.embed_tokens.weight": [vocabulary, width]}]
for i in range(layers):
    shard = {}
    for name, shape in {"self_attn.q_proj": [width, width], "self_attn.k_proj": [width, width],
                        "self_attn.v_proj": [width, width], "self_attn.o_proj": [width, width],
                        "mlp.gate_proj": [inner, width], "mlp.up_proj": [inner, width],
                        "mlp.down_proj": [width, inner], "input_layernorm": [width],
                        "post_attention_layernorm": [width]}.items():
        shard[f"model.layers.{i}.{name}.weight"] = shape
    shards.append(shard)
shards.append({"model.norm.weight": [width], "lm_head.weight": [vocabulary, width]})

# Numbers of either sign between 2^-7 and 2^-5, bfloat16.
block = bytearray(1 << 24)
block[0::2] = random.Random(0).randbytes(len(block) // 2)
block[1::2] = bytes(random.Random(1).choices((0x3C, 0xBC), k=len(block) // 2))
weight_map = {}
for number, shard in enumerate(shards):
    file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
    header, at = {}, 0
    for name, shape in shard.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        weight_map[name] = file
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / file, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, at, len(block)):
            out.write(block[: min(len(block), at - start)])
(folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
