"""Makes tiny BERT and RoBERTa folders and what transformers computes from them.

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
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import DynamicCache

HERE = pathlib.Path(__file__).resolve().parent
VOCABULARY = 64
LENGTHS = [1, 4, 9, 17]
PREFIX, VIRTUAL = 3, 2
LABELS = {0: "bad", 1: "fair", 2: "good"}
TEXT = "the cat sat on the mat and the dog ran to the tree while a bird sang in the rain over the hill"

BERT = dict(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=24)
ROBERTA = dict(BERT, max_position_embeddings=26, type_vocab_size=1)

# folder: (class, configuration, how its weights are saved)
FOLDERS = {
    "bert": ("BertModel", dict(BERT), {}),
    "bert_old": ("BertModel", dict(BERT, num_attention_heads=1, hidden_act="relu"),
                 {"no_pooler": True, "old": True, "buffers": True}),
    "bert_class": ("BertForSequenceClassification", dict(BERT, num_attention_heads=4, hidden_act="gelu_new",
                                                         type_vocab_size=1, layer_norm_eps=1e-3, id2label=LABELS), {}),
    "bert_masked": ("BertForMaskedLM", dict(BERT, hidden_act="relu"), {}),
    "bert_untied": ("BertForMaskedLM", dict(BERT, tie_word_embeddings=False, num_attention_heads=4), {}),
    "bert_pretraining": ("BertForPreTraining", dict(BERT), {"old": True, "buffers": True, "decoder": "cls.predictions."}),
    "roberta": ("RobertaModel", dict(ROBERTA, hidden_act="gelu_new"), {}),
    "roberta_class": ("RobertaForSequenceClassification", dict(ROBERTA, num_attention_heads=4, id2label=LABELS), {}),
    "roberta_masked": ("RobertaForMaskedLM", dict(ROBERTA, hidden_act="relu"), {"decoder": "lm_head."}),
    "roberta_pad": ("RobertaForMaskedLM", dict(ROBERTA, pad_token_id=3, max_position_embeddings=32, type_vocab_size=2,
                                               tie_word_embeddings=False), {"pads": True}),
}


def dump(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def make_tokenizer(folder, config):
    """WordPiece for BERT, byte-level BPE for RoBERTa; the special tokens around a text as the released ones put them."""
    if folder.name.startswith("bert"):
        letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + letters + ["##" + c for c in letters] + TEXT.split()
        vocabulary = {}
        for word in words:
            if len(vocabulary) < VOCABULARY:
                vocabulary.setdefault(word, len(vocabulary))
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    else:
        specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        if config.get("pad_token_id", 1) == 3:
            specials = ["<s>", "<unk>", "</s>", "<pad>", "<mask>"]
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=specials,
                                                                  show_progress=False))
        tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)


def draw(model, seed):
    """Values large enough that every part of the model is seen in its output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if "LayerNorm.weight" in name or "layer_norm.weight" in name:
                parameter.copy_(1.0 + 0.2 * noise)
            else:
                parameter.copy_(0.25 * noise)


def open_model(folder, config, kind, how):
    architecture = getattr(transformers, kind)
    options = {"add_pooling_layer": False} if how.get("no_pooler") or kind == "RobertaModel" else {}
    config = architecture.config_class(**copy.deepcopy(config))
    return architecture.from_pretrained(folder, config=config, attn_implementation="eager", **options).eval()


def sequences(seed, pads):
    """Ids from 5 on: no special tokens, and a pad in the middle of the longest where `pads`."""
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randint(5, VOCABULARY, (n,), generator=generator).tolist() for n in LENGTHS]
    if pads:
        rows[-1][4] = rows[-1][5] = rows[-1][9] = 3
    return rows


def output_of(model, **inputs):
    with torch.no_grad():
        out = model(**inputs)
    if hasattr(out, "prediction_logits"):
        return out.prediction_logits[0]
    return out.logits[0] if hasattr(out, "logits") else out.last_hidden_state[0]


def loss_of(output, labels):
    kept = [i for i, label in enumerate(labels) if label >= 0]
    return torch.nn.functional.cross_entropy(output.double()[kept], torch.tensor(labels)[kept]).item()


def case_of(folder, config, kind, how, floats):
    model = open_model(folder, config, kind, how)
    case = {"kind": kind, "sequences": []}
    for number, ids in enumerate(sequences(11, how.get("pads"))):
        # All attend to all, pads written in a text too.
        output = output_of(model, input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)))
        one = {"ids": ids}
        if kind.endswith("ForSequenceClassification"):
            one["label"] = number % len(LABELS)
            output = output[None]
            one["loss"] = loss_of(output, [one["label"]])
        elif not kind.endswith("Model"):
            one["labels"] = [(7 * token) % VOCABULARY if i % 3 == 0 else -100 for i, token in enumerate(ids)]
            one["loss"] = loss_of(output, one["labels"])
        floats[f"{folder.name}.{number}"] = output.contiguous()
        case["sequences"].append(one)
    return case


def method_cases(folder, config, kind, how, floats):
    """The stack's rows with keys and values before the sequence (peft's prefix tuning) and with vectors before the words
    (its prompt tuning), which are left out again."""
    ids = torch.tensor([sequences(11, how.get("pads"))[2]])
    whole = open_model(folder, config, kind, how)
    model = whole.base_model
    c = model.config
    width = c.hidden_size // c.num_attention_heads
    generator = torch.Generator().manual_seed(3)
    name = folder.name
    pairs = []
    for layer in range(c.num_hidden_layers):
        keys, values = torch.randn((2, 1, c.num_attention_heads, PREFIX, width), generator=generator)
        pairs.append((keys, values))
        floats[f"{name}.prefix.{layer}.keys"] = keys[0].transpose(0, 1).contiguous()
        floats[f"{name}.prefix.{layer}.values"] = values[0].transpose(0, 1).contiguous()
    cache = DynamicCache(config=c)
    for layer, (keys, values) in enumerate(pairs):
        cache.update(keys, values, layer)
    mask = torch.ones(1, PREFIX + ids.shape[1])
    floats[f"{name}.prefix"] = output_of(model, input_ids=ids, attention_mask=mask, past_key_values=cache).contiguous()
    prompt = torch.randn((1, VIRTUAL, c.hidden_size), generator=generator)
    embedded = torch.cat([prompt, model.get_input_embeddings()(ids)], 1)
    floats[f"{name}.prompt.vectors"] = prompt[0].contiguous()
    floats[f"{name}.prompt"] = output_of(model, inputs_embeds=embedded)[VIRTUAL:].contiguous()


def save(model, how, folder):
    model.save_pretrained(folder)
    file = folder / "model.safetensors"
    weights = load_file(file)
    prefix = "" if type(model).__name__.endswith("Model") else model.base_model_prefix + "."
    if how.get("buffers"):
        weights[prefix + "embeddings.position_ids"] = torch.arange(24)[None]
    if how.get("decoder"):  # what is tied, stored too
        weights[how["decoder"] + "decoder.weight"] = model.get_input_embeddings().weight.detach().clone()
        weights[how["decoder"] + "decoder.bias"] = weights[how["decoder"] + "bias"].clone()
    if how.get("old"):
        renamed = {}
        for name, tensor in weights.items():
            name = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            renamed[name] = tensor
        weights = renamed
    save_file(weights, file, {"format": "pt"})


def make(out):
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    floats = {}
    expected = {"versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__,
                             "tokenizers": tokenizers.__version__, "safetensors": safetensors.__version__},
                "cases": {}}
    for seed, (name, (kind, config, how)) in enumerate(FOLDERS.items()):
        folder = out / name
        folder.mkdir()
        architecture = getattr(transformers, kind)
        options = {"add_pooling_layer": False} if how.get("no_pooler") else {}
        model = architecture(architecture.config_class(**copy.deepcopy(config)), **options).eval()
        draw(model, 100 + seed)
        model.config.architectures = [kind]
        save(model, how, folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        make_tokenizer(folder, config)
        expected["cases"][name] = case_of(folder, config, kind, how, floats)
        method_cases(folder, config, kind, how, floats)
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
