"""Plausible misreadings of the model, each made on purpose: the expected logits must tell every one of them apart."""

from contextlib import ExitStack
from unittest import mock

import torch
from reference import Reference, is_fused_of_language_model, to_blocks
from sat.model.official import chatglm_model
from torch.nn import functional

CASE = "image"


def layers(reference, part="lm"):
    return getattr(reference, part).transformer.layers


def set_epsilon(module, epsilon):
    for part in module.modules():
        if isinstance(part, torch.nn.LayerNorm):
            part.eps = epsilon


def alpha_of_own_layers(r, _):
    r.lm.get_mixin("chatglm-layer").num_layers = r.config["num_layers"]


def rotary_interleaved(_, stack):
    def turn(x, cos, sin, position):
        cos, sin = (t[position][..., :x.shape[-1] // 2].repeat_interleave(2, -1) for t in (cos, sin))
        return x * cos + torch.stack([-x[..., 1::2], x[..., ::2]], -1).flatten(-2) * sin

    stack.enter_context(mock.patch.object(
        chatglm_model, "apply_rotary_pos_emb_index",
        lambda q, k, cos, sin, position: (turn(q, cos, sin, position), turn(k, cos, sin, position))))


def frequencies_not_rounded(r, _):
    rotary = r.lm.get_mixin("chatglm-attn").rotary_emb
    width = 2 * len(rotary.inv_freq)
    rotary.inv_freq = 1.0 / (10000.0 ** (torch.arange(0, width, 2).float() / width))


def change_positions(change):
    def apply(r, _):
        right = r.lm.get_position_ids

        def wrong(*args, **kwargs):
            positions = right(*args, **kwargs)
            change(positions[0, 0], positions[0, 1])
            return positions

        r.lm.get_position_ids = wrong
    return apply


def one_row_of_positions(row, block):
    block.copy_(row)


def counting_goes_on(row, _):
    row.copy_(torch.arange(len(row)))


def sop_has_block_zero(_, block):
    block.sub_(1).clamp_(min=0)


def change_mask(change):
    def apply(r, _):
        right = r.lm.get_masks

        def wrong(*args, **kwargs):
            mask = right(*args, **kwargs)
            change(mask[0, 0])
            return mask

        r.lm.get_masks = wrong
    return apply


def causal_everywhere(mask):
    mask.tril_()


def sop_seen_by_all(mask):
    mask[:, int(mask[0].sum())] = 1


def fused_rows_as_they_are(r, _):
    # What was put in the right order is reordered once more, as if the file had been the other kind.
    for name, parameter in r.lm.named_parameters():
        if is_fused_of_language_model(name):
            parameter.data = to_blocks(parameter.data, r.config["num_attention_heads"])


def residual_of_block_input(r, _):
    alpha = (2 * 28) ** 0.5

    def layer_forward(x, mask, *args, **kwargs):
        layer = layers(r)[kwargs["layer_id"]]
        x = alpha * x + layer.attention(layer.input_layernorm(x), mask, **kwargs)
        return alpha * x + layer.mlp(layer.post_attention_layernorm(x), **kwargs)

    r.lm.hooks["layer_forward"] = layer_forward


def activation(part, function):
    def apply(r, _):
        for layer in layers(r, part):
            layer.mlp.activation_func = function
    return apply


def epsilon(part, value):
    return lambda r, _: set_epsilon(getattr(r, part).transformer, value)


def ln_vision_epsilon(r, _):
    r.vit.get_mixin("cls").ln_vision.eps = 1e-6


def patches_by_columns(r, _):
    tall, wide = r.vit.transformer.property.grid_size
    table = r.vit.transformer.position_embeddings.weight
    by_columns = table.data[1:].view(wide, tall, -1).transpose(0, 1).flatten(0, 1)
    table.data = torch.cat([table.data[:1], by_columns])


def qformer_without_class_token(r, _):
    right = r.vit.get_mixin("cls").final_forward
    r.vit.hooks["final_forward"] = lambda logits, **kwargs: right(logits, **kwargs)[:, 1:]


def cross_attention_in_first_layer_only(r, _):
    layers(r, "qformer")[2].is_decoder = False


def cross_values_before_keys(r, _):
    for layer in layers(r, "qformer"):
        if layer.is_decoder:
            for parameter in layer.cross_attention.key_value.parameters():
                parameter.data = torch.cat(parameter.data.chunk(2)[::-1])


def vision_rows_per_head(part):
    def apply(r, _):
        for layer in layers(r, part):
            for parameter in layer.attention.query_key_value.parameters():
                parameter.data = to_blocks(parameter.data, layer.attention.num_attention_heads)
    return apply


def splice_one_late(r, _):
    right = r.forward
    r.forward = lambda ids, vectors, at: right(ids, vectors, at + 1)


def tanh_gelu(x):
    return functional.gelu(x, approximate="tanh")


# What is wired wrongly changes logits in the first digit, whose standard deviation is about 1.
WIRING = {
    "alpha from the model's own 2 layers": alpha_of_own_layers,
    "residual from the block's input": residual_of_block_input,
    "rotary pairs interleaved": rotary_interleaved,
    "both halves of a head turned by row 0": change_positions(one_row_of_positions),
    "row 0 counts on after sop": change_positions(counting_goes_on),
    "row 1 is 0 at sop": change_positions(sop_has_block_zero),
    "causal in the context": change_mask(causal_everywhere),
    "sop seen by the context": change_mask(sop_seen_by_all),
    "query_key_value rows in the other layout": fused_rows_as_they_are,
    "image vectors one place late": splice_one_late,
    "ViT rows per head": vision_rows_per_head("vit"),
    "patches column by column": patches_by_columns,
    "Q-Former without the class token": qformer_without_class_token,
    "Q-Former rows per head": vision_rows_per_head("qformer"),
    "cross attention in the first layer only": cross_attention_in_first_layer_only,
    "cross attention's values before its keys": cross_values_before_keys,
}
# A wrong constant or formula changes less, and still more than ten times what a test forgives.
CONSTANTS = {
    "frequencies not rounded to float16": frequencies_not_rounded,
    "language model with exact GELU": activation("lm", functional.gelu),
    "language model with LayerNorm epsilon 1e-6": epsilon("lm", 1e-6),
    "ln_vision with epsilon 1e-6": ln_vision_epsilon,
    "ViT with epsilon 1e-5": epsilon("vit", 1e-5),
    "ViT with tanh GELU": activation("vit", tanh_gelu),
    "Q-Former with epsilon 1e-5": epsilon("qformer", 1e-5),
    "Q-Former with tanh GELU": activation("qformer", tanh_gelu),
}
LEAST = {**dict.fromkeys(WIRING, 0.1), **dict.fromkeys(CONSTANTS, 1e-4)}


@torch.no_grad()
def check_mistakes(folder, expected):
    """Prints how far each mistake moves the logits. Throws: AssertionError if one would pass unseen."""
    right = expected[CASE + ".logits"]
    print(f"largest change of a logit of case {CASE} (their standard deviation is {right.std():.2f}) by")
    for name, make in {"nothing": lambda *_: None, **WIRING, **CONSTANTS}.items():
        with ExitStack() as stack:
            reference = Reference(folder)
            make(reference, stack)
            vectors = reference.encode_image(expected[CASE + ".pixels"])[2][0]
            logits = reference.forward(expected[CASE + ".ids"], vectors, expected[CASE + ".image_at"].item())[0]
        change = (logits - right).abs().max().item()
        print(f"{change:8.1e}  {name}")
        if name == "nothing":
            assert change < 1e-6, change
        else:
            assert change > LEAST[name], name
