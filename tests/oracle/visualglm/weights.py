"""The tiny model's sizes and random weights, and the three folders they are written to."""

import json

import torch
from reference import PROJ, QFORMER, VIT, is_fused_of_language_model, to_blocks
from safetensors.torch import save_file

SEED = 3290  # chosen so that greedy generation has neither close calls nor one id eight times
UNK, PAD, MASK, GMASK, SOP, EOP = 0, 3, 58, 59, 60, 61

TEXT_CONFIG = {
    "model_type": "chatglm", "architectures": ["ChatGLMModel"], "num_layers": 2, "hidden_size": 48,
    "num_attention_heads": 3, "inner_hidden_size": 80, "vocab_size": 64, "layernorm_epsilon": 1e-5,
    "max_sequence_length": 64, "position_encoding_2d": True, "tie_word_embeddings": True, "qkv_layout": "per_head",
    "bos_token_id": SOP, "eos_token_id": EOP, "mask_token_id": MASK, "gmask_token_id": GMASK, "pad_token_id": PAD,
    "unk_token_id": UNK,
}
IMAGE_CONFIG = {
    "image_length": 3,
    "eva_config": {"num_layers": 2, "hidden_size": 24, "num_attention_heads": 2, "inner_hidden_size": 40,
                   "layernorm_epsilon": 1e-6, "image_size": [28, 42], "patch_size": 14, "in_channels": 3},
    "qformer_config": {"num_layers": 3, "hidden_size": 20, "num_attention_heads": 4, "inner_hidden_size": 80,
                       "vocab_size": 3, "layernorm_epsilon": 1e-12, "cross_attn_hidden_size": 24,
                       "is_decoder": [True, False, True]},
}


class Weights(dict):
    """Named random tensors, drawn in the order of the calls."""

    def __init__(self, seed):
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, name, *shape, std, mean=0.0):
        self[name] = mean + std * torch.randn(*shape, generator=self.generator)

    def linear(self, name, out, into, std, bias_std=None):
        self.normal(f"{name}.weight", out, into, std=std)
        self.normal(f"{name}.bias", out, std=std if bias_std is None else bias_std)

    def norm(self, name, width, scale=1.0, bias_std=0.3):
        self.normal(f"{name}.weight", width, std=0.3 * scale, mean=scale)
        self.normal(f"{name}.bias", width, std=bias_std)


def language_weights(w, c):
    """Embeddings are small, so that layernorm_epsilon shows; the last norm makes up for it in the logits."""
    hidden, inner = c["hidden_size"], c["inner_hidden_size"]
    w.normal("transformer.word_embeddings.weight", c["vocab_size"], hidden, std=0.05)
    for i in range(c["num_layers"]):
        p = f"transformer.layers.{i}."
        w.norm(p + "input_layernorm", hidden)
        w.linear(p + "attention.query_key_value", 3 * hidden, hidden, std=0.2)
        w.linear(p + "attention.dense", hidden, hidden, std=1.2, bias_std=0.3)
        w.norm(p + "post_attention_layernorm", hidden)
        w.linear(p + "mlp.dense_h_to_4h", inner, hidden, std=0.2)
        w.linear(p + "mlp.dense_4h_to_h", hidden, inner, std=1.5, bias_std=0.3)
    w.norm("transformer.final_layernorm", hidden, scale=3.0, bias_std=0.2)


def vit_weights(w, c):
    """The residual stream stays near 0.1, so that the epsilon of the LayerNorms shows."""
    hidden, inner, patch = c["hidden_size"], c["inner_hidden_size"], c["patch_size"]
    tokens = 1 + (c["image_size"][0] // patch) * (c["image_size"][1] // patch)
    w.normal(VIT + "transformer.word_embeddings.weight", 1, hidden, std=0.05)
    w.normal(VIT + "transformer.position_embeddings.weight", tokens, hidden, std=0.03)
    w.normal(VIT + "mixins.patch_embedding.proj.weight", hidden, c["in_channels"], patch, patch, std=0.002)
    w.normal(VIT + "mixins.patch_embedding.proj.bias", hidden, std=0.02)
    for i in range(c["num_layers"]):
        p = f"{VIT}transformer.layers.{i}."
        w.norm(p + "input_layernorm", hidden)
        w.linear(p + "attention.query_key_value", 3 * hidden, hidden, std=0.3)
        w.linear(p + "attention.dense", hidden, hidden, std=0.01)
        w.norm(p + "post_attention_layernorm", hidden)
        w.linear(p + "mlp.dense_h_to_4h", inner, hidden, std=0.3)
        w.linear(p + "mlp.dense_4h_to_h", hidden, inner, std=0.01)
    w.norm(VIT + "mixins.cls.ln_vision", hidden)


def qformer_weights(w, c):
    hidden, inner, vit = c["hidden_size"], c["inner_hidden_size"], c["cross_attn_hidden_size"]
    w.normal(QFORMER + "transformer.word_embeddings.weight", c["vocab_size"], hidden, std=0.05)
    for i in range(c["num_layers"]):
        p = f"{QFORMER}transformer.layers.{i}."
        w.norm(p + "input_layernorm", hidden)
        w.linear(p + "attention.query_key_value", 3 * hidden, hidden, std=0.3)
        w.linear(p + "attention.dense", hidden, hidden, std=0.3)
        w.norm(p + "post_attention_layernorm", hidden)
        if c["is_decoder"][i]:
            w.linear(p + "cross_attention.query", hidden, hidden, std=0.3)
            w.linear(p + "cross_attention.key_value", 2 * hidden, vit, std=0.3)
            w.linear(p + "cross_attention.dense", hidden, hidden, std=0.3)
            w.norm(p + "post_cross_attention_layernorm", hidden)
        w.linear(p + "mlp.dense_h_to_4h", inner, hidden, std=0.3)
        w.linear(p + "mlp.dense_4h_to_h", hidden, inner, std=0.3)
    w.norm(QFORMER + "transformer.final_layernorm", hidden)


def write_config(folder, config):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def write_folders(root):
    """model/, model_shards/ (the same weights, written otherwise) and model_text/ (language model alone)."""
    config = TEXT_CONFIG | IMAGE_CONFIG
    w = Weights(SEED)
    language_weights(w, TEXT_CONFIG)
    language_names = list(w)
    vit_weights(w, IMAGE_CONFIG["eva_config"])
    qformer_weights(w, IMAGE_CONFIG["qformer_config"])
    w.linear(PROJ.removesuffix("."), TEXT_CONFIG["hidden_size"], IMAGE_CONFIG["qformer_config"]["hidden_size"],
             std=0.02)
    write_config(root / "model", config)
    save_file(dict(w), root / "model/model.safetensors", {"format": "pt"})

    # The text-only model: another N of alpha and a head of its own.
    text = {name: w[name] for name in language_names}
    w.normal("lm_head.weight", TEXT_CONFIG["vocab_size"], TEXT_CONFIG["hidden_size"], std=0.05)
    text["lm_head.weight"] = w.pop("lm_head.weight")
    write_config(root / "model_text", TEXT_CONFIG | {"residual_alpha_layers": 5, "tie_word_embeddings": False})
    save_file(text, root / "model_text/model.safetensors", {"format": "pt"})

    write_shards(root / "model_shards", config, w)


def write_shards(folder, config, weights):
    """Fused rows in blocks, a stored head, three shards, and tensors to be ignored, of nonsense values."""
    eva, qformer = dict(config["eva_config"]), dict(config["qformer_config"])
    qformer["is_decoder"] = True
    del qformer["inner_hidden_size"]  # 80 is its default, 4 times hidden_size.
    write_config(folder, config | {"qkv_layout": "blocks", "residual_alpha_layers": 28, "eva_config": eva,
                                   "qformer_config": qformer})
    heads = config["num_attention_heads"]
    tensors = {}
    for name, tensor in weights.items():
        tensors[name] = to_blocks(tensor, heads) if is_fused_of_language_model(name) else tensor
    for i in range(config["num_layers"]):
        name = f"transformer.layers.{i}.attention.rotary_emb.inv_freq"
        tensors[name] = torch.full((config["hidden_size"] // (4 * heads),), 7.0, dtype=torch.float16)
    tensors["transformer.position_embeddings.weight"] = torch.full(
        (config["max_sequence_length"], config["hidden_size"]), 7.0)
    tensors["lm_head.weight"] = tensors["transformer.word_embeddings.weight"].clone()

    # Dealt out in turn, so that no module lies in one shard.
    names = sorted(tensors)
    weight_map = {}
    for k in range(3):
        shard = f"model-{k + 1:05}-of-00003.safetensors"
        save_file({name: tensors[name] for name in names[k::3]}, folder / shard, {"format": "pt"})
        weight_map |= {name: shard for name in names[k::3]}
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
