"""Makes tiny GPT-2, LLaMA, Mistral and Qwen2 folders and what transformers computes from them.

    python make_oracle.py            # writes the folders, expected.json and expected.safetensors beside this file
    python make_oracle.py --check    # makes them again elsewhere and compares

See README.md for what is in them.
"""

import argparse
import copy
import filecmp
import json
import pathlib
import shutil
import sys
import tempfile

import safetensors
import tokenizers
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import DynamicCache

HERE = pathlib.Path(__file__).resolve().parent
VOCABULARY = 64
SPECIALS = ["<|endoftext|>", "<|stop|>"]  # ids 0 and 1
LENGTHS = [3, 7, 14]  # of the sequences whose logits are kept; prompts take two thirds
PROMPT_LENGTHS = [2, 4, 5, 9, 12, 17]
NEW_TOKENS = 12
BEAM_SETTINGS = [(1.0, False), (1.0, True), (2.0, False), (2.0, True), (1.0, "never"), (-1.0, False)]
PREFIX = 3

TEXT = """the cat sat on the mat and the dog ran to the tree. a bird sang in the rain while the sun set over the hill.
she told him that the train had gone, and he said that it would return at noon. no one hears the sea at night."""

GPT2 = dict(vocab_size=VOCABULARY, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
LLAMA = dict(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2,
             max_position_embeddings=64, bos_token_id=0, eos_token_id=0)
LABELS = {0: "bad", 1: "fair", 2: "good"}

# folder: (class, configuration, how its weights are saved)
FOLDERS = {
    "gpt2": ("GPT2LMHeadModel", dict(GPT2), {}),
    "gpt2_untied": ("GPT2LMHeadModel", dict(GPT2, n_inner=24, n_head=4, tie_word_embeddings=False,
                                            scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True,
                                            activation_function="relu", n_positions=40, eos_token_id=[0, 1]), {}),
    "gpt2_old": ("GPT2Model", dict(GPT2, n_head=1, layer_norm_epsilon=1e-3), {"shards": True, "masks": True}),
    "gpt2_class": ("GPT2ForSequenceClassification", dict(GPT2, pad_token_id=0, id2label=LABELS), {}),
    "llama": ("LlamaForCausalLM", dict(LLAMA, hidden_size=32, num_attention_heads=4, num_key_value_heads=2,
                                       intermediate_size=24, max_position_embeddings=48), {}),
    "llama_wide": ("LlamaForCausalLM", dict(LLAMA, head_dim=12, num_key_value_heads=1, attention_bias=True,
                                            mlp_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-3, rope_theta=500.0,
                                            hidden_act="gelu", eos_token_id=[0, 1]), {"tied_head": True}),
    "llama_bare": ("LlamaModel", dict(LLAMA, tie_word_embeddings=True), {"shards": True, "frequencies": True}),
    "llama_class": ("LlamaForSequenceClassification", dict(LLAMA, pad_token_id=0, id2label=LABELS), {}),
    "mistral": ("MistralForCausalLM", dict(LLAMA, num_attention_heads=4, num_key_value_heads=1, sliding_window=5), {}),
    "mistral_class": ("MistralForSequenceClassification", dict(LLAMA, num_key_value_heads=2, sliding_window=None,
                                                               pad_token_id=0, id2label=LABELS), {}),
    "qwen2": ("Qwen2ForCausalLM", dict(LLAMA, num_key_value_heads=1, use_sliding_window=True, sliding_window=4,
                                       max_window_layers=1, tie_word_embeddings=True, rope_theta=1e6), {}),
    "qwen2_class": ("Qwen2ForSequenceClassification", dict(LLAMA, num_key_value_heads=2, pad_token_id=0,
                                                           id2label=LABELS), {}),
}

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 24}
# name: (folder, what is changed in its config.json); the weights stay
VARIANTS = {
    "gpt2.gelu": ("gpt2", {"activation_function": "gelu"}),
    "gpt2.silu": ("gpt2", {"activation_function": "silu"}),
    "gpt2.gelu_pytorch_tanh": ("gpt2", {"activation_function": "gelu_pytorch_tanh"}),
    "gpt2.gelu_fast": ("gpt2", {"activation_function": "gelu_fast"}),
    "gpt2.gelu_10": ("gpt2", {"activation_function": "gelu_10"}),
    "gpt2.gelu_accurate": ("gpt2", {"activation_function": "gelu_accurate"}),
    "gpt2.quick_gelu": ("gpt2", {"activation_function": "quick_gelu"}),
    "gpt2.relu2": ("gpt2", {"activation_function": "relu2"}),
    "gpt2.relu6": ("gpt2", {"activation_function": "relu6"}),
    "gpt2.leaky_relu": ("gpt2", {"activation_function": "leaky_relu"}),
    "gpt2.mish": ("gpt2", {"activation_function": "mish"}),
    "gpt2.sigmoid": ("gpt2", {"activation_function": "sigmoid"}),
    "gpt2.tanh": ("gpt2", {"activation_function": "tanh"}),
    "gpt2.laplace": ("gpt2", {"activation_function": "laplace"}),
    "gpt2.linear": ("gpt2", {"activation_function": "linear"}),
    "gpt2.unscaled": ("gpt2", {"scale_attn_weights": False}),
    "gpt2.inverse_layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    "gpt2.unscaled_inverse_layer": ("gpt2", {"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}),
    "gpt2.epsilon": ("gpt2", {"layer_norm_epsilon": 0.1}),
    "llama.theta": ("llama", {"rope_theta": 100.0}),
    "llama.default": ("llama", {"rope_scaling": {"rope_type": "default"}}),
    "llama.linear": ("llama", {"rope_scaling": {"type": "linear", "factor": 4.0}}),
    "llama.dynamic": ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "max_position_embeddings": 6}),
    "llama.dynamic_old": ("llama", {"rope_scaling": {"type": "dynamic", "factor": 3.5}, "max_position_embeddings": 10,
                                    "rope_theta": 50.0}),
    "llama.llama3": ("llama", {"rope_scaling": LLAMA3}),
    "llama.llama3_theta": ("llama", {"rope_scaling": dict(LLAMA3, factor=3.0, high_freq_factor=2.5),
                                     "rope_theta": 20.0}),
    "llama.relu": ("llama", {"hidden_act": "relu"}),
    "mistral.linear": ("mistral", {"rope_scaling": {"type": "linear", "factor": 2.0}}),
    "mistral.wide_window": ("mistral", {"sliding_window": 9}),
    "mistral.no_window": ("mistral", {"sliding_window": None}),
    "qwen2.no_window": ("qwen2", {"use_sliding_window": False, "layer_types": None}),
    "qwen2.all_windows": ("qwen2", {"max_window_layers": 0, "layer_types": None}),
    "qwen2.layer_types": ("qwen2", {"layer_types": ["sliding_attention", "full_attention"]}),
    "qwen2.dynamic": ("qwen2", {"rope_scaling": {"rope_type": "dynamic", "factor": 4.0}, "max_position_embeddings": 5,
                                "use_sliding_window": False, "layer_types": None}),
}


def draw(model, seed):
    """Weights large enough that a mistake shows; norms and biases are random too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            values = torch.randn(p.shape, generator=generator)
            if p.dim() == 1:
                is_norm = name.endswith("weight")
                p.copy_(values * 0.2 + (1.0 if is_norm else 0.0))
            elif "embed" in name or ".wte" in name or ".wpe" in name or name.startswith(("wte", "wpe")):
                p.copy_(values * 0.6)
            else:
                p.copy_(values * 1.2 / p.shape[0] ** 0.5)


def make_tokenizer(folder):
    """A byte-level BPE of 64 pieces; ids 0 and 1 are the special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=SPECIALS, initial_alphabet=[],
                                  show_progress=False)
    tokenizer.train_from_iterator([TEXT], trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY
    tokenizer.save(str(folder / "tokenizer.json"))


def dump(file, data):
    """JSON with a line for each entry of each table at the top."""
    parts = []
    for key, table in sorted(data.items()):
        rows = [f"{json.dumps(k)}: {json.dumps(v, sort_keys=True)}" for k, v in sorted(table.items())]
        parts.append(f"{json.dumps(key)}: {{\n" + ",\n".join(rows) + "\n}")
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def open_model(folder, config, kind, dtype=torch.float32):
    """A fresh model of the saved weights under `config`: dynamic rotary positions keep a state that no call may share."""
    config = copy.deepcopy(config)
    if dtype == torch.float64:
        config.pop("reorder_and_upcast_attn", None)  # means float32 there, and changes nothing but that
    made = getattr(transformers, kind)(getattr(transformers, kind).config_class(**config))
    made.config._attn_implementation = "eager"
    weights = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights.update(load_file(file))
    bare = made.base_model_prefix + "."
    fitted = {}
    for name in made.state_dict():
        source = name if name in weights else name[len(bare):] if name.startswith(bare) else None
        if source in weights:
            fitted[name] = weights[source]
    missing = made.load_state_dict(fitted, strict=False).missing_keys
    made.tie_weights()
    allowed = ["lm_head.weight"] if made.config.tie_word_embeddings else []
    assert [name for name in missing if name not in allowed] == [], missing
    return made.eval().to(dtype)


def sequences(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(2, VOCABULARY, (n,), generator=generator).tolist() for n in LENGTHS]


def labels_of(ids):
    """By the rule for a prompt and its completion: the last third is the completion (its last id the end of text)."""
    prompt = len(ids) * 2 // 3
    return [-100] * (prompt - 1) + ids[prompt:] + [-100]


def language_case(folder, config, kind, key, floats, whole):
    case = {"sequences": [], "folder": folder.name}
    for number, ids in enumerate(sequences(11)):
        model = open_model(folder, config, kind)
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        labels = labels_of(ids)
        kept = [i for i, label in enumerate(labels) if label >= 0]
        loss = torch.nn.functional.cross_entropy(logits.double()[kept], torch.tensor(labels)[kept])
        floats[f"{key}.{number}"] = (logits if whole else logits[-1:]).contiguous()
        case["sequences"].append({"ids": ids, "labels": labels, "loss": loss.item()})
    return case


def prefix_case(folder, config, kind, key, floats):
    """Keys and values put before the sequence as peft's prefix tuning does: they take the first positions."""
    ids = sequences(11)[2]
    model = open_model(folder, config, kind)
    c = model.config
    kv_heads = getattr(c, "num_key_value_heads", None) or c.num_attention_heads
    width = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    generator = torch.Generator().manual_seed(3)
    cache = DynamicCache(config=c)
    for layer in range(c.num_hidden_layers):
        keys, values = torch.randn((2, 1, kv_heads, PREFIX, width), generator=generator)
        cache.update(keys, values, layer, {"cache_position": torch.arange(PREFIX)})
        floats[f"{key}.prefix.{layer}.keys"] = keys[0].transpose(0, 1).contiguous()
        floats[f"{key}.prefix.{layer}.values"] = values[0].transpose(0, 1).contiguous()
    with torch.no_grad():
        logits = model(torch.tensor([ids]), past_key_values=cache, use_cache=True).logits[0]
    floats[f"{key}.prefix.logits"] = logits[-4:].contiguous()


def class_case(folder, config, kind, key, floats):
    case = {"sequences": [], "folder": folder.name}
    for number, ids in enumerate(sequences(12)):
        model = open_model(folder, config, kind)
        label = number % len(LABELS)
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        loss = torch.nn.functional.cross_entropy(logits.double()[None], torch.tensor([label]))
        floats[f"{key}.{number}"] = logits[None].contiguous()
        case["sequences"].append({"ids": ids, "label": LABELS[label], "loss": loss.item()})
    return case


def answer(folder, config, kind, prompt, dtype=torch.float32, **options):
    model = open_model(folder, config, kind, dtype)
    out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones((1, len(prompt)), dtype=torch.int64),
                         max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0, return_dict_in_generate=True,
                         output_scores=True, **options)
    ids = out.sequences[0][len(prompt):].tolist()
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    for i, token in enumerate(ids):
        if token in ends:
            ids = ids[: i + 1]
            break
    return ids, out.sequences_scores[0].item() if "num_beams" in options else None


def generation_case(folder, config, kind):
    prompts = []
    generator = torch.Generator().manual_seed(21)
    for n in PROMPT_LENGTHS:
        prompt = torch.randint(16, VOCABULARY, (n,), generator=generator).tolist()
        one = {"prompt": prompt, "beams": []}
        one["greedy"] = answer(folder, config, kind, prompt)[0]
        agree = one["greedy"] == answer(folder, config, kind, prompt, torch.float64)[0]
        for length_penalty, early_stopping in BEAM_SETTINGS:
            options = dict(num_beams=3, length_penalty=length_penalty, early_stopping=early_stopping)
            ids, score = answer(folder, config, kind, prompt, **options)
            agree = agree and ids == answer(folder, config, kind, prompt, torch.float64, **options)[0]
            one["beams"].append({"num_beams": 3, "length_penalty": length_penalty, "early_stopping": early_stopping,
                                 "ids": ids, "score": score})
        # A choice between two ids that float32 cannot tell apart would bind nobody.
        if agree:
            prompts.append(one)
    assert len(prompts) >= 4, (folder.name, len(prompts))
    return {"folder": folder.name, "max_new_tokens": NEW_TOKENS, "prompts": prompts}


def choose_end(model, config):
    """Makes ids 0 and 1 two that random answers really give, by swapping rows of the tables (prompts hold neither)."""
    generator = torch.Generator().manual_seed(21)
    prompts = [torch.randint(16, VOCABULARY, (n,), generator=generator).tolist() for n in PROMPT_LENGTHS]
    config = copy.deepcopy(model.generation_config)
    config.eos_token_id = None
    seen = {token: 0 for token in range(2, 16)}
    for prompt in prompts:
        for beams in (1, 3):
            out = model.generate(torch.tensor([prompt]), generation_config=config, max_new_tokens=NEW_TOKENS,
                                 do_sample=False, num_beams=beams, pad_token_id=0)[0][len(prompt):].tolist()
            for token in set(out) & set(seen):
                seen[token] += 1
    # One that about a third of the answers hold ends some early and leaves others.
    ranked = sorted(seen, key=lambda token: (abs(seen[token] - 4), token))
    tables = {model.get_input_embeddings().weight.data_ptr(): model.get_input_embeddings().weight,
              model.get_output_embeddings().weight.data_ptr(): model.get_output_embeddings().weight}
    with torch.no_grad():
        for table in tables.values():
            for target, token in enumerate(ranked[:2]):
                table[[target, token]] = table[[token, target]].clone()


def save(model, config, kind, how, folder):
    folder.mkdir()
    model.config.architectures = [kind]
    if how.get("shards"):
        model.save_pretrained(folder, max_shard_size="12KB")
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        first = sorted(set(index["weight_map"].values()))[0]
        weights = load_file(folder / first)
        extra = {}
        for layer in range(2):
            if how.get("masks"):
                extra[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 4, 4, dtype=torch.uint8).tril()
                extra[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
            if how.get("frequencies"):
                extra[f"layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.full((4,), 7.0)
        weights.update(extra)
        save_file(weights, folder / first, {"format": "pt"})
        index["weight_map"].update({name: first for name in extra})
        dump(folder / "model.safetensors.index.json", index)
    else:
        model.save_pretrained(folder)
    if how.get("tied_head"):
        weights = load_file(folder / "model.safetensors")
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "generation_config.json").unlink(missing_ok=True)  # it would say again what config.json says
    make_tokenizer(folder)


def make(out):
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    floats = {}
    expected = {"versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__,
                             "tokenizers": tokenizers.__version__, "safetensors": safetensors.__version__},
                "cases": {}, "classes": {}, "generation": {}, "variants": {}, "variants_generation": {}}
    for seed, (name, (kind, config, how)) in enumerate(FOLDERS.items()):
        folder = out / name
        is_class = kind.endswith("ForSequenceClassification")
        whole = {"GPT2Model": "GPT2LMHeadModel", "LlamaModel": "LlamaForCausalLM"}.get(kind, kind)
        model = getattr(transformers, whole)(getattr(transformers, whole).config_class(**copy.deepcopy(config))).eval()
        draw(model, 100 + seed)
        if not is_class:
            choose_end(model, config)
        save(model.base_model if whole != kind else model, config, kind, how, folder)
        if is_class:
            expected["classes"][name] = class_case(folder, config, whole, name, floats)
            continue
        expected["cases"][name] = language_case(folder, config, whole, name, floats, True)
        expected["generation"][name] = generation_case(folder, config, whole)
        prefix_case(folder, config, whole, name, floats)
    for name, (base, changes) in VARIANTS.items():
        kind, config, _ = FOLDERS[base]
        case = language_case(out / base, dict(config, **changes), kind, name, floats, False)
        expected["variants"][name] = {"folder": base, "changes": changes,
                                      "losses": [s["loss"] for s in case["sequences"]]}
        if "dynamic" in name:
            case = generation_case(out / base, dict(config, **changes), kind)
            expected["variants_generation"][name] = dict(case, changes=changes)
    dump(out / "expected.json", expected)
    save_file(floats, out / "expected.safetensors")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        for name in FOLDERS:
            shutil.rmtree(HERE / name, ignore_errors=True)
        make(HERE)
        return 0
    with tempfile.TemporaryDirectory() as made:
        made = pathlib.Path(made)
        make(made)
        files = [str(p.relative_to(made)) for p in sorted(made.rglob("*")) if p.is_file()]
        _, different, missing = filecmp.cmpfiles(HERE, made, files, shallow=False)
        print("different:", different, "missing:", missing)
        return 1 if different or missing else 0


if __name__ == "__main__":
    sys.exit(main())
