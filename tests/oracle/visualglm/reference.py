"""VisualGLM out of other people's code: SwissArmyTransformer (SAT) for all networks, transformers' BLIP-2 as a second
opinion on the vision part. Only the glue is ours: reading a model folder, reordering fused rows, the splice, the loss.

Everything runs in float64, so that what is written down is right to the last digit of a float32.
"""

import contextlib
import io
import json
import os
from argparse import Namespace
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import Blip2QFormerConfig, Blip2QFormerModel, Blip2VisionConfig, Blip2VisionModel

with contextlib.redirect_stdout(io.StringIO()):
    from sat.model.base_model import BaseMixin, BaseModel
    from sat.model.official.chatglm_model import ChatGLMModel
    from sat.model.official.vit_model import ViTModel

VIT, QFORMER, PROJ = "image_encoder.vit.", "image_encoder.qformer.", "image_encoder.glm_proj."
LN_VISION_EPSILON = 1e-5  # torch.nn.LayerNorm's own default, which the released model uses for this one norm
NO_LABEL = -100


def load_folder(folder):
    """config.json and all tensors of a model folder, in one file or in shards."""
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text())
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return config, load_file(folder / "model.safetensors")
    weight_map = json.loads(index.read_text())["weight_map"]
    tensors = {}
    for shard in sorted(set(weight_map.values())):
        for name, tensor in load_file(folder / shard).items():
            assert weight_map[name] == shard, name
            tensors[name] = tensor
    assert set(tensors) == set(weight_map)
    return config, tensors


def to_blocks(rows, heads):
    """Rows [heads, 3, width] (per head: q, k, v) to rows [3, heads, width] (all q, all k, all v)."""
    return rows.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2).contiguous()


def to_per_head(rows, heads):
    """The inverse of to_blocks."""
    return rows.unflatten(0, (3, heads, -1)).transpose(0, 1).flatten(0, 2).contiguous()


def is_fused_of_language_model(name):
    return name.startswith("transformer.") and ".query_key_value." in name


class GivenEmbeddings(BaseMixin):
    """Word embeddings are what the caller computed (the splice), or looked up."""

    def word_embedding_forward(self, input_ids, **kwargs):
        given = kwargs.get("embeddings")
        return self.transformer.word_embeddings(input_ids) if given is None else given


class FinalNorm(BaseMixin):
    """ln_vision in place of SAT's classifier."""

    def __init__(self, width):
        super().__init__()
        self.ln_vision = torch.nn.LayerNorm(width, eps=LN_VISION_EPSILON)

    def final_forward(self, logits, **kwargs):
        return self.ln_vision(logits)


class QueriesOnly(BaseMixin):
    """A SAT encoder without positions and without a head: its word embeddings are the learned queries."""

    def position_embedding_forward(self, position_ids, **kwargs):
        return None

    def final_forward(self, logits, **kwargs):
        return logits


def sat_arguments(config, **more):
    return Namespace(**{**config, "model_parallel_size": 1, "skip_init": False, "hidden_dropout": 0.0,
                        "attention_dropout": 0.0, **more})


def quietly(make, *args, **kwargs):
    with contextlib.redirect_stdout(io.StringIO()):
        return make(*args, **kwargs)


class Reference:
    """A model folder as SAT's modules: `lm`, and with pictures `vit`, `qformer`, `proj`."""

    def __init__(self, folder, dtype=torch.float64):
        self.config, self.tensors = load_folder(folder)
        self.dtype = dtype
        self.image_length = self.config.get("image_length", 0)
        self.lm = self._language_model()
        self.has_images = "eva_config" in self.config
        if self.has_images:
            self.vit, self.qformer, self.proj = self._vit(), self._qformer(), self._proj()

    def _load(self, module, tensors):
        missing, unexpected = module.load_state_dict(tensors, strict=False)
        assert not unexpected and all(name.endswith("inv_freq") for name in missing), (missing, unexpected)
        return module.to(self.dtype).eval()

    def _part(self, prefix):
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}

    def _language_model(self):
        c = self.config
        model = quietly(ChatGLMModel, sat_arguments(c, layernorm_order="post"))
        model.add_mixin("given", GivenEmbeddings())
        # SAT takes its own number of layers; the released Hugging Face code always 28.
        model.get_mixin("chatglm-layer").num_layers = c.get("residual_alpha_layers", 28)
        tensors = {}
        for name, tensor in self.tensors.items():
            if not name.startswith("transformer.") or "inv_freq" in name or "position_embeddings" in name:
                continue
            if is_fused_of_language_model(name) and c.get("qkv_layout", "per_head") == "per_head":
                tensor = to_blocks(tensor, c["num_attention_heads"])
            tensors[name] = tensor
        own_head = self.tensors.get("lm_head.weight")
        embeddings = tensors["transformer.word_embeddings.weight"]
        if c["tie_word_embeddings"]:
            assert own_head is None or torch.equal(own_head, embeddings)
            own_head = embeddings
        tensors["mixins.chatglm-final.lm_head.weight"] = own_head
        model = self._load(model, tensors)
        # The angles are float32 from frequencies that were rounded to float16, whatever the rest is computed in.
        rotary = model.get_mixin("chatglm-attn").rotary_emb
        width = c["hidden_size"] // (2 * c["num_attention_heads"])
        rotary.inv_freq = (1.0 / (10000.0 ** (torch.arange(0, width, 2).float() / width))).half().float()
        return model

    def _vit(self):
        c = self.config["eva_config"]
        model = quietly(ViTModel, sat_arguments(c, layernorm_order="pre", vocab_size=1, pre_len=1, post_len=0,
                                                num_classes=1, use_final_layernorm=False))
        model.del_mixin("cls")
        model.add_mixin("cls", FinalNorm(c["hidden_size"]))
        return self._load(model, self._part(VIT))

    def _qformer(self):
        c = dict(self.config["qformer_config"])
        if c["is_decoder"] is True:  # Cross attention in even layers.
            c["is_decoder"] = [i % 2 == 0 for i in range(c["num_layers"])]
        model = quietly(BaseModel, sat_arguments(c, layernorm_order="post", max_sequence_length=0),
                        activation_func=functional.gelu)
        del model.transformer.position_embeddings
        model.add_mixin("queries", QueriesOnly())
        return self._load(model, self._part(QFORMER))

    def _proj(self):
        weight = self.tensors[PROJ + "weight"]
        return self._load(torch.nn.Linear(weight.shape[1], weight.shape[0]), self._part(PROJ))

    def encode_image(self, pixels):
        """pixels [n, 3, height, width] -> ViT (after ln_vision), Q-Former and projection, each [n, tokens, width]."""
        seen = torch.ones(1, 1, dtype=self.dtype)
        n = len(pixels)
        vit = self.vit(input_ids=torch.zeros(n, 1, dtype=torch.long), position_ids=None, attention_mask=seen,
                       image=pixels.to(self.dtype))[0]
        queries = torch.arange(self.config["qformer_config"]["vocab_size"]).expand(n, -1)
        qformer = self.qformer(input_ids=queries, position_ids=None, attention_mask=seen, cross_attention_mask=seen,
                               encoder_outputs=vit)[0]
        return vit, qformer, self.proj(qformer)

    def positions(self, ids):
        """Both rows of positions, [2, tokens]."""
        return self.lm.get_inputs(ids[None])[1][0]

    def forward(self, ids, image_vectors=None, image_at=-1):
        """ids [tokens] -> logits [tokens, vocabulary], hidden states after the final LayerNorm [tokens, hidden]."""
        embeddings = self.lm.transformer.word_embeddings(ids)
        if image_vectors is not None:
            end = image_at + self.image_length
            embeddings = torch.cat([embeddings[:image_at], image_vectors, embeddings[end:]])
        hidden = []
        handle = self.lm.transformer.final_layernorm.register_forward_hook(lambda _m, _i, out: hidden.append(out[0]))
        logits = self.lm(ids[None], embeddings=embeddings[None])[0][0]
        handle.remove()
        return logits, hidden[0]

    def parameter(self, name):
        """The SAT parameter that holds a tensor of the folder (fused rows in SAT's order)."""
        for prefix, module in ((VIT, "vit"), (QFORMER, "qformer"), (PROJ, "proj")):
            if name.startswith(prefix):
                return getattr(self, module).get_parameter(name.removeprefix(prefix))
        return self.lm.get_parameter(name)

    def gradient(self, name):
        """The loss's gradient by a tensor of the folder, after backward(), in the folder's row order."""
        gradient = self.parameter(name).grad
        if name == "transformer.word_embeddings.weight" and self.config["tie_word_embeddings"]:
            gradient = gradient + self.lm.get_mixin("chatglm-final").lm_head.weight.grad
        if is_fused_of_language_model(name) and self.config.get("qkv_layout", "per_head") == "per_head":
            gradient = to_per_head(gradient, self.config["num_attention_heads"])
        return gradient


def loss_of(logits, labels):
    """Mean cross entropy over the labelled positions; labels are shifted already."""
    return functional.cross_entropy(logits, labels, ignore_index=NO_LABEL)


class Blip2:
    """The same vision weights in transformers' BLIP-2 classes."""

    def __init__(self, reference):
        self.t = {name: t.to(reference.dtype) for name, t in reference.tensors.items()}
        self.vit = self._vit(reference.config["eva_config"]).to(reference.dtype).eval()
        self.qformer = self._qformer(reference.config).to(reference.dtype).eval()

    def _vit(self, c):
        model = Blip2VisionModel(Blip2VisionConfig(
            hidden_size=c["hidden_size"], intermediate_size=c["inner_hidden_size"], num_hidden_layers=c["num_layers"],
            num_attention_heads=c["num_attention_heads"], image_size=c["image_size"][0], patch_size=c["patch_size"],
            hidden_act="gelu", layer_norm_eps=c["layernorm_epsilon"], qkv_bias=True))
        model.post_layernorm.eps = LN_VISION_EPSILON
        # transformers sizes this table for square pictures.
        table = self.t[VIT + "transformer.position_embeddings.weight"]
        model.embeddings.position_embedding = torch.nn.Parameter(table[None].clone())
        ours = {"embeddings.class_embedding": self.t[VIT + "transformer.word_embeddings.weight"][None],
                "embeddings.position_embedding": table[None]}
        for end in ("weight", "bias"):
            ours[f"embeddings.patch_embedding.{end}"] = self.t[f"{VIT}mixins.patch_embedding.proj.{end}"]
            ours[f"post_layernorm.{end}"] = self.t[f"{VIT}mixins.cls.ln_vision.{end}"]
            for i in range(c["num_layers"]):
                for theirs, name in (("layer_norm1", "input_layernorm"), ("layer_norm2", "post_attention_layernorm"),
                                     ("self_attn.qkv", "attention.query_key_value"), ("mlp.fc2", "mlp.dense_4h_to_h"),
                                     ("self_attn.projection", "attention.dense"), ("mlp.fc1", "mlp.dense_h_to_4h")):
                    ours[f"encoder.layers.{i}.{theirs}.{end}"] = self.t[f"{VIT}transformer.layers.{i}.{name}.{end}"]
        model.load_state_dict(ours, strict=True)
        return model

    def _qformer(self, config):
        c = config["qformer_config"]
        model = Blip2QFormerModel(Blip2QFormerConfig(
            hidden_size=c["hidden_size"], num_hidden_layers=c["num_layers"],
            num_attention_heads=c["num_attention_heads"], hidden_act="gelu",
            intermediate_size=c.get("inner_hidden_size", 4 * c["hidden_size"]),
            layer_norm_eps=c["layernorm_epsilon"], cross_attention_frequency=2,
            encoder_hidden_size=c["cross_attn_hidden_size"]))
        ours = {}
        for end in ("weight", "bias"):
            def put(theirs, name):
                parts = name.split(":")  # "tensor" or "tensor:k:n", part k of n blocks of rows
                tensor = self.t[f"{QFORMER}transformer.{parts[0]}.{end}"]
                ours[f"{theirs}.{end}"] = tensor.chunk(int(parts[2]))[int(parts[1])] if len(parts) > 1 else tensor

            put("layernorm", "layers.0.input_layernorm")
            for i in range(c["num_layers"]):
                last = i + 1 == c["num_layers"]
                a, b = f"encoder.layer.{i}", f"layers.{i}"
                for k, kind in enumerate(("query", "key", "value")):
                    put(f"{a}.attention.attention.{kind}", f"{b}.attention.query_key_value:{k}:3")
                put(f"{a}.attention.output.dense", f"{b}.attention.dense")
                put(f"{a}.attention.output.LayerNorm", f"{b}.post_attention_layernorm")
                if i % 2 == 0:
                    put(f"{a}.crossattention.attention.query", f"{b}.cross_attention.query")
                    put(f"{a}.crossattention.attention.key", f"{b}.cross_attention.key_value:0:2")
                    put(f"{a}.crossattention.attention.value", f"{b}.cross_attention.key_value:1:2")
                    put(f"{a}.crossattention.output.dense", f"{b}.cross_attention.dense")
                    put(f"{a}.crossattention.output.LayerNorm", f"{b}.post_cross_attention_layernorm")
                put(f"{a}.intermediate_query.dense", f"{b}.mlp.dense_h_to_4h")
                put(f"{a}.output_query.dense", f"{b}.mlp.dense_4h_to_h")
                put(f"{a}.output_query.LayerNorm", "final_layernorm" if last else f"layers.{i + 1}.input_layernorm")
        model.load_state_dict(ours, strict=True)
        return model

    def encode_image(self, pixels):
        """Outputs of ViT (after ln_vision) and Q-Former."""
        vit = self.vit(pixels).last_hidden_state
        queries = self.t[QFORMER + "transformer.word_embeddings.weight"].expand(len(pixels), -1, -1)
        return vit, self.qformer(query_embeds=queries, encoder_hidden_states=vit).last_hidden_state
