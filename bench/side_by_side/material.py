"""What both sides are given: models with random weights and texts, made from fixed seeds."""

import json
import pathlib
import random
import shutil
import string

# GPT-2's shape with half its layers; every drop-out off, so that both sides compute the same.
GPT2 = dict(n_layer=6, n_embd=768, n_head=12, vocab_size=50257, n_positions=1024,
            attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, bos_token_id=50256, eos_token_id=50256)
LETTERS = string.ascii_lowercase


def gpt2_vocabulary(size=GPT2["vocab_size"]):
    """One token a printable character, so that the length of a text is its number of tokens; the rest is never met."""
    pieces = [chr(code) for code in range(33, 127)] + ["Ġ"]
    pieces += [f"<unused{i}>" for i in range(size - len(pieces) - 1)] + ["<|endoftext|>"]
    return {piece: i for i, piece in enumerate(pieces)}


def gpt2(folder, dtype="float32", **changes):
    """A checkpoint of GPT-2's shape in `folder`, for both sides to open."""
    import torch
    import transformers

    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**(GPT2 | changes)))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(gpt2_vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def letters(count, seed):
    return "".join(random.Random(seed).choices(LETTERS, k=count))


def answered(number, length, labelled):
    """Prompts and answers of together `length` tokens, of which `labelled` are the answer's (its end of text counts)."""
    return [{"prompt": letters(length - labelled, 2 * i), "completion": letters(labelled - 1, 2 * i + 1)} for i in range(number)]


def whole(number, length):
    """Texts of `length` tokens, every one of them (but the first) to be foretold."""
    return [{"text": letters(length, i)} for i in range(number)]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def without_dropout(model, folder):
    """The checkpoint `model` with its drop-outs off: links to its files beside a changed config.json."""
    model, folder = pathlib.Path(model).resolve(), pathlib.Path(folder)
    folder.mkdir(parents=True)
    for file in model.iterdir():
        if file.name != "config.json":
            (folder / file.name).symlink_to(file)
    config = json.loads((model / "config.json").read_text())
    for key in config:
        if "dropout" in key and isinstance(config[key], float):
            config[key] = 0.0
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def emptied(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
