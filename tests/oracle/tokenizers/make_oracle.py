"""Trains small tokenizers of every kind and writes what Hugging Face's `tokenizers` and `transformers` answer with them.

    uv venv --python 3.11 v
    uv pip install --python v/bin/python tokenizers==0.22.2 transformers==4.57.6
    v/bin/python make_oracle.py        # needs spm_train of Debian's package sentencepiece

Writes texts.json, NAME/tokenizer.json and NAME/expected.json for each tokenizer, parts.json for single normalizers,
pre-tokenizers and decoders, classes.json for sets of characters, and folders without tokenizer.json.
"""

import json
import pathlib
import subprocess
import tempfile

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import corpus

HERE = pathlib.Path(__file__).parent
VERSIONS = {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__}
TEXTS = corpus.texts()

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+")
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def write(path, content):
    path = HERE / path
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="ascii")


def field(message, wanted):
    """The bytes of a field of a protocol buffer message."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 2:
            size = varint()
            if key >> 3 == wanted:
                return message[at:at + size]
            at += size
        elif key & 7 == 0:
            varint()
        else:
            at += 4 if key & 7 == 5 else 8
    raise KeyError(wanted)


def charsmap(rules):
    """sentencepiece's compiled table of `rules`, from strings to strings, as base64."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        code = lambda text: " ".join("%X" % ord(c) for c in text)
        (folder / "rules.tsv").write_text("".join(f"{code(a)}\t{code(b)}\n" for a, b in rules.items()))
        (folder / "text.txt").write_text("\n".join(corpus.training()), encoding="utf-8")
        subprocess.run(["spm_train", f"--input={folder}/text.txt", f"--model_prefix={folder}/m", "--vocab_size=300",
                        "--hard_vocab_limit=false", f"--normalization_rule_tsv={folder}/rules.tsv", "--minloglevel=2"],
                       check=True, capture_output=True)
        # ModelProto.normalizer_spec is field 3, its precompiled_charsmap field 2.
        return field((field((folder / "m.model").read_bytes(), 3)), 2)


def rules():
    """A table as nmt_nfkc is one, for few characters: full width, ligatures, spaces, kana with marks, and sequences."""
    table = {chr(c): chr(c - 0xFEE0) for c in range(0xFF01, 0xFF5F)}
    table |= {"\u00a0": " ", "\u3000": " ", "\u2003": " ", "\u200b": " ", "\t": " ", "\n": " ", "\r": " ", "\u2028": " ", "\u0085": " ",
              "\ufb01": "fi", "\ufb02": "fl", "\u2122": "TM", "\u2026": "...", "\u00bd": "1\u20442", "\u00b2": "2", "\u2460": "1",
              "\uff76\uff9e": "\u30ac", "\uff76": "\u30ab", "e\u0301": "\u00e9", "\u212b": "\u00c5", "\u3350": "PTE", "\u1100\u1161": "\uac00",
              "\u0001": "", "\u007f": "", "\ufdfa": "salla", "\u200d": "", "\u2764\ufe0f": "<3"}
    return table


def train(tokenizer, trainer):
    tokenizer.train_from_iterator(corpus.training(), trainer)
    return tokenizer


def byte_level(size, specials):
    return trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False,
                               initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def gpt2():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return train(t, byte_level(700, ["<|endoftext|>"]))


def roberta():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    train(t, byte_level(600, ["<s>", "<pad>", "</s>", "<unk>"]))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return t


def split_bytes(expression, size, specials):
    t = Tokenizer(models.BPE(ignore_merges=expression == LLAMA3))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated", False),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, byte_level(size, []))
    t.add_special_tokens(specials)
    return t


def llama3():
    t = split_bytes(LLAMA3, 650, ["<|begin_of_text|>", "<|end_of_text|>"])
    first = t.token_to_id("<|begin_of_text|>")
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", first)])])
    return t


def qwen2():
    t = split_bytes(QWEN2, 500, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    t.normalizer = normalizers.NFC()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    return t


def cl100k():
    return split_bytes(CL100K, 450, ["<|endoftext|>"])


def sentencepiece_bpe(metaspace):
    bytes_ = [f"<0x{b:02X}>" for b in range(256)]
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if metaspace:
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    split = pre_tokenizers.Split("\u2581", "merged_with_next")
    keep, t.pre_tokenizer = t.pre_tokenizer, pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="first"), split] if metaspace else [split])
    train(t, trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<s>", "</s>"] + bytes_, show_progress=False,
                                 limit_alphabet=120))
    content = json.loads(t.to_str())
    content["added_tokens"] = content["added_tokens"][:3]
    content["pre_tokenizer"] = None
    t = Tokenizer.from_str(json.dumps(content))
    if keep:
        t.pre_tokenizer = keep
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def bert(lowercase):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(cleanup=lowercase)
    train(t, trainers.WordPieceTrainer(vocab_size=900, show_progress=False,
                                       special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    if lowercase:
        t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    else:
        t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return t


def unigram(size, specials, unk="<unk>"):
    return trainers.UnigramTrainer(vocab_size=size, special_tokens=specials, unk_token=unk, show_progress=False)


def t5():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap(rules())), normalizers.Strip(False, True),
                                         normalizers.Replace(Regex(" {2,}"), "\u2581")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    t.decoder = decoders.Metaspace()
    train(t, unigram(600, ["<pad>", "</s>", "<unk>"]))
    t.add_special_tokens(["<extra_id_0>", "<extra_id_1>"])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return t


def xlmr():
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "),
                                         normalizers.Strip(True, True)])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    t.decoder = decoders.Metaspace(prepend_scheme="first")
    train(t, unigram(700, ["<s>", "<pad>", "</s>", "<unk>"]))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return t


def unigram_bytes():
    t = Tokenizer(models.Unigram())
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    train(t, unigram(400, ["<unk>"] + [f"<0x{b:02X}>" for b in range(256)]))
    content = json.loads(t.to_str())
    content["added_tokens"] = content["added_tokens"][:1]
    content["model"]["byte_fallback"] = True
    t = Tokenizer.from_str(json.dumps(content))
    t.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(prepend_scheme="never")])
    return t


def added():
    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=True)])
    train(t, trainers.WordLevelTrainer(vocab_size=300, special_tokens=["[UNK]", "[PAD]"], show_progress=False))
    t.add_tokens([AddedToken("LEFT", lstrip=True, normalized=False), AddedToken("RIGHT", rstrip=True, normalized=False),
                  AddedToken("BOTH", lstrip=True, rstrip=True, normalized=False), AddedToken("WORD", single_word=True, normalized=False),
                  AddedToken("new\u00e9token", normalized=True), AddedToken("Lower", normalized=True, single_word=True),
                  AddedToken("token", normalized=False), AddedToken("tok", normalized=True), AddedToken("12", normalized=True, rstrip=True)])
    t.add_special_tokens([AddedToken("[MASK]", normalized=True), AddedToken("<s>", lstrip=True), AddedToken("</s>", rstrip=True, single_word=True)])
    return t


def clip():
    t = Tokenizer(models.BPE(unk_token="<|endoftext|>", continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP), "removed", True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    train(t, trainers.BpeTrainer(vocab_size=700, special_tokens=["<|startoftext|>", "<|endoftext|>"], show_progress=False,
                                 end_of_word_suffix="</w>", initial_alphabet=alphabet))
    t.post_processor = processors.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), False, False)
    return t


def bpe_words():
    """A vocabulary too small for its texts: unknown characters in a row, not fused, and a mark at words' ends."""
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.NFKD()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous")])
    t.decoder = decoders.BPEDecoder()
    return train(t, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], end_of_word_suffix="</w>", limit_alphabet=60,
                                        show_progress=False))


def bpe_prefix():
    t = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=True))
    t.normalizer = normalizers.NFKC()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece(cleanup=False)
    return train(t, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], continuing_subword_prefix="##", limit_alphabet=80,
                                        show_progress=False))


TOKENIZERS = {
    "gpt2": gpt2, "roberta": roberta, "llama3": llama3, "qwen2": qwen2, "cl100k": cl100k, "llama2": lambda: sentencepiece_bpe(False),
    "mistral": lambda: sentencepiece_bpe(True), "bert_uncased": lambda: bert(True), "bert_cased": lambda: bert(False), "t5": t5,
    "xlmr": xlmr, "unigram_bytes": unigram_bytes, "added": added, "clip": clip, "bpe_words": bpe_words, "bpe_prefix": bpe_prefix,
}


def packed(ids):
    return " ".join(map(str, ids))


def answers(tokenizer):
    """Ids and texts of every text; with special tokens, also cut to 8 ids."""
    plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    special = [tokenizer.encode(text).ids for text in TEXTS[:12]]
    tokenizer.enable_truncation(8)
    cut = [tokenizer.encode(text).ids for text in TEXTS[:40]]
    tokenizer.no_truncation()
    out = {"versions": VERSIONS, "size": tokenizer.get_vocab_size(), "ids": list(map(packed, plain)), "special": list(map(packed, special)),
           "cut": list(map(packed, cut)), "decoded": []}
    for text, ids in zip(TEXTS, plain):
        decoded = tokenizer.decode(ids)
        out["decoded"].append(None if decoded == text else decoded)
    return out


PARTS = {
    "normalizer": [
        normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents(),
        normalizers.Strip(True, False), normalizers.Strip(False, True), normalizers.Nmt(), normalizers.ByteLevel(), normalizers.Prepend("x "),
        normalizers.Replace("ll", "L"), normalizers.Replace(Regex(r"[\s_-]*\d+|(?<=a)b"), "#"), normalizers.Replace(Regex(r"(?m:o.w)|x*"), "_"),
        normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False),
        normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=True, strip_accents=True, lowercase=False),
        normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=True),
    ],
    "pre_tokenizer": [
        pre_tokenizers.ByteLevel(True), pre_tokenizers.ByteLevel(False, use_regex=False), pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(False), pre_tokenizers.Digits(True), pre_tokenizers.CharDelimiterSplit("l"),
        pre_tokenizers.Metaspace(), pre_tokenizers.Metaspace("_", "never"), pre_tokenizers.Metaspace(prepend_scheme="first", split=False),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]),
        *[pre_tokenizers.Punctuation(b) for b in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")],
        *[pre_tokenizers.Split(" ", b, i) for b in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")
          for i in (False, True)],
        *[pre_tokenizers.Split(Regex(r"\p{L}+|\d"), b, i) for b in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous")
          for i in (False, True)],
        pre_tokenizers.Split(Regex(r"\b\w|(?=\d)"), "isolated"), pre_tokenizers.Split(Regex(r"[\w&&[^\d_aeiou]]+"), "isolated"),
        pre_tokenizers.Split(Regex(r"[^\W\d]+|[\P{L}x]{2}"), "isolated"), pre_tokenizers.Split(Regex(r"(?i)[h-l]+|\h|^a|d$"), "isolated"),
        pre_tokenizers.Split(Regex(r"\p{Han}+|\p{Lu}\p{Ll}*|\p{^P}{,2}\p{P}"), "isolated"),
        pre_tokenizers.Split(Regex(r"[\x{300}-\x{36f}\u0e00-\u0e7f]+|\p{M}|\R"), "isolated"),
        pre_tokenizers.Split(Regex(r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
                                   r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
                                   r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"), "removed", True),
        pre_tokenizers.FixedLength(3),
    ],
    "decoder": [
        decoders.ByteLevel(), decoders.WordPiece(), decoders.WordPiece("##", False), decoders.Metaspace(), decoders.Metaspace("_", "never"),
        decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 2, 0), decoders.Replace("l", "LL"), decoders.Replace(Regex(r"\s"), "-"),
        decoders.BPEDecoder(), decoders.BPEDecoder("o"),
    ],
}
PIECES = [
    ["hello", " world", "!"], ["\u2581hello", "\u2581\u2581world", "_", "\u2581"], ["He", "##llo", "##", "##wor##ld", ".", "?", "do not", "'s", "n't", "a . b , c"],
    ["<0xE4>", "<0xBD>", "<0xA0>", "x", "<0xFF>", "<0xE4>", "<0x41>", "<0xe4>", "<0xGG>", "<0x1>"], ["\u0120hello", "\u010a", "\u00e4\u00bd", "\u00a0", "\u00e4\u00bd\u0142", "\u4e2d"],
    ["hello</w>", "wor", "ld</w>", "x</w>"], ["   hello   ", "  "], [""], ["\u00ff\u00f0\u0141\u0138\u0122", "\u0122"], ["a", " ' ", "b"],
]


def parts():
    out = {"versions": VERSIONS, "pieces": PIECES}
    for kind, members in PARTS.items():
        out[kind] = []
        for member in members:
            content = json.loads(member.__getstate__())
            if kind == "normalizer":
                results = [None if (r := member.normalize_str(t)) == t else r for t in TEXTS[::2]]
            elif kind == "pre_tokenizer":
                results = [[p for p, _ in member.pre_tokenize_str(t)] for t in TEXTS[::2]]
                if content.get("type") not in ("ByteLevel", "Metaspace", "Sequence"):  # the places where it cuts
                    results = [packed(map(len, r)) if "".join(r) == t else r for t, r in zip(TEXTS[::2], results)]
            else:
                results = [member.decode(p) for p in PIECES]
            out[kind].append({"part": content, "results": results})
    return out


def classes():
    """For \\s, \\w and the like: the ranges of code points that Oniguruma puts into them."""
    out = {"versions": VERSIONS}
    everything = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for name in [r"\s", r"\S", r"\w", r"\d", "."] + [rf"\p{{{p}}}" for p in "L Lu Ll Lm Lo Lt M Mn N Nd Nl No P S Han Hiragana Cyrillic".split()]:
        split = pre_tokenizers.Split(Regex(name), "removed")
        ranges = []
        for i in range(0, len(everything), 4096):
            block = everything[i:i + 4096]
            left = {c for part, _ in split.pre_tokenize_str("".join(map(chr, block))) for c in part}
            for c in block:
                if chr(c) in left:
                    continue
                if ranges and ranges[-1][1] == c - 1:
                    ranges[-1][1] = c
                else:
                    ranges.append([c, c])
        # Each range as its distance from the end of the one before, and its length.
        end, steps = 0, []
        for first, last in ranges:
            steps += [first - end, last - first + 1]
            end = last + 1
        out[name] = packed(steps)
    return out


def slow_folders():
    """Folders without tokenizer.json, as transformers writes and reads them."""
    from transformers import BertTokenizerFast, GPT2TokenizerFast, RobertaTokenizerFast
    done = {}
    for name, cased in (("bert_uncased", False), ("bert_cased", True)):
        folder = HERE / f"folder_{name}"
        folder.mkdir(exist_ok=True)
        vocab = json.loads((HERE / name / "tokenizer.json").read_text())["model"]["vocab"]
        (folder / "vocab.txt").write_text("".join(p + "\n" for p in sorted(vocab, key=vocab.get)), encoding="utf-8")
        config = {"tokenizer_class": "BertTokenizer", "do_lower_case": not cased}
        if cased:
            config |= {"strip_accents": True, "tokenize_chinese_chars": False}
        write(f"{folder.name}/tokenizer_config.json", config)
        done[folder.name] = BertTokenizerFast.from_pretrained(folder)
    for name, kind in (("gpt2", GPT2TokenizerFast), ("roberta", RobertaTokenizerFast)):
        folder = HERE / f"folder_{name}"
        folder.mkdir(exist_ok=True)
        content = json.loads((HERE / name / "tokenizer.json").read_text())
        vocab = dict(content["model"]["vocab"])
        vocab |= {token["content"]: token["id"] for token in content["added_tokens"]}
        write(f"{folder.name}/vocab.json", vocab)
        merges = [m if isinstance(m, str) else " ".join(m) for m in content["model"]["merges"]]
        (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(m + "\n" for m in merges), encoding="utf-8")
        config = {"tokenizer_class": kind.__name__.replace("Fast", "")}
        if name == "roberta":
            config["add_prefix_space"] = True
        write(f"{folder.name}/tokenizer_config.json", config)
        done[folder.name] = kind.from_pretrained(folder)
    for name, tokenizer in done.items():
        write(f"{name}/expected.json", answers(tokenizer.backend_tokenizer))


def main():
    write("texts.json", TEXTS)
    for name, make in TOKENIZERS.items():
        tokenizer = make()
        content = json.loads(tokenizer.to_str())
        write(f"{name}/tokenizer.json", content)
        tokenizer = Tokenizer.from_file(str(HERE / name / "tokenizer.json"))
        write(f"{name}/expected.json", answers(tokenizer))
        print(name, tokenizer.get_vocab_size())
    write("parts.json", parts())
    write("classes.json", classes())
    slow_folders()


if __name__ == "__main__":
    main()
