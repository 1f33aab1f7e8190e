"""Writes what Hugging Face peft and `adapters` save for freshly attached methods; README.md says what for.

    python make.py           writes the folders beside this file
    python make.py --check   writes to a temporary folder and compares with what is here

Sizes are those of the toy model of the tests: 32 tokens, width 16, two layers of two heads, feed-forward width 24.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import adapters
import torch
from peft import (
    IA3Config, LNTuningConfig, LoraConfig, PrefixTuningConfig, PromptTuningConfig, VeraConfig, get_peft_model,
    get_peft_model_state_dict,
)
from torch import nn
from transformers import (
    AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, GPT2Config, GPT2LMHeadModel, LlamaConfig,
    LlamaForCausalLM,
)

from making import make

HERE = Path(__file__).resolve().parent
NAMES = ["adapter", "adapter_houlsby", "ia3", "ia3_pattern", "layernorm", "layernorm_bf16", "lora", "lora_bf16", "prefix",
         "prefix_flat", "prompt", "prompt_vocabulary", "rslora", "vera", "vera_unsaved", "defaults.json", "versions.txt"]
SEED = 5
HIDDEN, INNER, VOCABULARY, LAYERS = 16, 24, 32, 2


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query_key_value = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.dense = nn.Linear(HIDDEN, HIDDEN)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense_h_to_4h = nn.Linear(HIDDEN, INNER)
        self.dense_4h_to_h = nn.Linear(INNER, HIDDEN)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm = nn.LayerNorm(HIDDEN)
        self.attention = Attention()
        self.post_attention_layernorm = nn.LayerNorm(HIDDEN)
        self.mlp = Mlp()


class Toy(nn.Module):
    """The linear maps and norms of the toy model, under their names. It is never run."""

    def __init__(self):
        super().__init__()
        self.transformer = nn.Module()
        self.transformer.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.transformer.final_layernorm = nn.LayerNorm(HIDDEN)

    def prepare_inputs_for_generation(self):
        raise NotImplementedError


def llama(kv_heads=2):
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=2, num_key_value_heads=kv_heads, max_position_embeddings=64,
    )
    model = LlamaForCausalLM(config)
    # Row i of the embeddings is full of i, so that a prompt shows which ids it started from.
    rows = torch.arange(VOCABULARY, dtype=torch.float32).unsqueeze(1).expand(-1, HIDDEN)
    model.get_input_embeddings().weight.data.copy_(rows)
    return model


def write_peft(folder, model, config):
    torch.manual_seed(SEED)
    get_peft_model(model, config).save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    tidy(folder)


def write_adapters(folder, config):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=HIDDEN, n_layer=LAYERS, n_head=2, n_positions=64))
    adapters.init(model)
    torch.manual_seed(SEED)
    model.add_adapter("peftlab", config=config)
    model.save_adapter(str(folder), "peftlab", use_safetensors=True, with_head=False)
    tidy(folder)


def default_targets():
    """Names and shapes of what is saved where no targets are given, by model folder and method."""
    chosen = {}
    for name in ("causal_models/gpt2", "causal_models/llama", "causal_models/mistral", "causal_models/qwen2",
                 "bert/bert_class", "bert/roberta_class"):
        config = AutoConfig.from_pretrained(HERE.parent / name)
        make = AutoModelForSequenceClassification if name.endswith("_class") else AutoModelForCausalLM
        # peft has no norms for BERT and RoBERTa.
        norms = {} if name.startswith("bert/") else {"layernorm": LNTuningConfig()}
        for method, its in {"ia3": IA3Config(), "vera": VeraConfig(r=4), **norms}.items():
            saved = get_peft_model_state_dict(get_peft_model(make.from_config(config), its))
            chosen.setdefault(name, {})[method] = {key: list(value.shape) for key, value in saved.items()}
    return chosen


def tidy(folder):
    """Names of modules are sets there, in another order every time."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    for key in ("target_modules", "feedforward_modules"):
        if isinstance(config.get(key), list):
            config[key].sort()
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


def write_all(to):
    two = ["query_key_value", "dense_4h_to_h"]
    causal = {"task_type": "CAUSAL_LM"}
    prefix = {"num_virtual_tokens": 3, **causal}
    write_peft(to / "lora", Toy(), LoraConfig(r=4, lora_alpha=32, lora_dropout=0.1, target_modules=two, **causal))
    write_peft(to / "lora_bf16", Toy().to(torch.bfloat16), LoraConfig(r=4, target_modules=["dense"], **causal))
    write_peft(to / "rslora", Toy(), LoraConfig(r=2, use_rslora=True, target_modules=r".*\.1\.mlp\..*", **causal))
    write_peft(to / "ia3", Toy(), IA3Config(target_modules=two, feedforward_modules=["dense_4h_to_h"], **causal))
    pattern = {"target_modules": r".*\.1\.(attention|mlp)\..*", "feedforward_modules": r".*\.mlp\..*"}
    write_peft(to / "ia3_pattern", Toy().to(torch.bfloat16), IA3Config(**pattern, **causal))
    norms = ["input_layernorm", "final_layernorm"]
    write_peft(to / "layernorm", Toy(), LNTuningConfig(target_modules=norms, **causal))
    norms = r".*\.1\..*norm"
    write_peft(to / "layernorm_bf16", Toy().to(torch.bfloat16), LNTuningConfig(target_modules=norms, **causal))
    write_peft(to / "vera", Toy(), VeraConfig(r=4, vera_dropout=0.1, target_modules=two, **causal))
    own = {"projection_prng_key": 7, "d_initial": 0.25, "save_projection": False}
    write_peft(to / "vera_unsaved", Toy(), VeraConfig(r=3, target_modules=r".*\.0\.mlp\..*", **own, **causal))
    write_peft(to / "prefix", llama(), PrefixTuningConfig(prefix_projection=True, **prefix))
    write_peft(to / "prefix_flat", llama(kv_heads=1), PrefixTuningConfig(**prefix))
    write_peft(to / "prompt", llama(), PromptTuningConfig(**prefix))
    write_peft(to / "prompt_vocabulary", llama(), PromptTuningConfig(prompt_tuning_init="SAMPLE_VOCAB", **prefix))
    write_adapters(to / "adapter", "double_seq_bn")
    houlsby = adapters.DoubleSeqBnConfig(init_weights="houlsby", reduction_factor=4, non_linearity="relu")
    write_adapters(to / "adapter_houlsby", houlsby)
    (to / "defaults.json").write_text(json.dumps(default_targets(), indent=1, sort_keys=True) + "\n")
    names = ["torch", "peft", "adapters", "transformers", "safetensors"]
    (to / "versions.txt").write_text("".join(f"{name} {version(name)}\n" for name in names))


if __name__ == "__main__":
    sys.exit(make(write_all, HERE, NAMES))
