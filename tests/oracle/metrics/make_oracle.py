"""Writes expected.json: corpora, and what scikit-learn, rouge-score and sacreBLEU answer for them.

    uv venv --python 3.11 v
    uv pip install --python v/bin/python scikit-learn==1.9.1 rouge-score==0.1.2 sacrebleu==2.6.0
    v/bin/python make_oracle.py
"""

import json
import pathlib
import random
import sys
from importlib.metadata import version

from nltk.stem import porter
from rouge_score import rouge_scorer
from sacrebleu.metrics import CHRF
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

WORDS = "the a red blue cat dog running runs sat on mat quickly of state-of-the-art 42 3.5 it's Zoë naïve".split()
SCRIPTS = ["红色的圆形", "Привет, мир!", "ÅNGSTRÖM Straße İstanbul ΟΔΟΣ", "नमस्ते दुनिया", "👩‍👩‍👧 ok 👍🏽", "\u212aelvin", "ﬁne ǅ"]


def classes(rng):
    """Classifications: references, predictions, and perhaps the class that "binary" looks for."""
    cases = [
        {"name": "all right", "references": ["a", "b", "a"], "predictions": ["a", "b", "a"], "positive": "b"},
        {"name": "all wrong", "references": ["a", "b", "a"], "predictions": ["b", "a", "b"], "positive": "a"},
        {"name": "one answer for all", "references": ["0", "1", "1", "0"], "predictions": ["1"] * 4, "positive": "1"},
        {"name": "one class", "references": ["x"] * 3, "predictions": ["x"] * 3},
        {"name": "no class in common", "references": ["a", "b"], "predictions": ["c", "d"]},
        {"name": "a class nobody wanted", "references": ["a", "b", "b"], "predictions": ["a", "b", "z"]},
        {"name": "a class nobody answered", "references": ["a", "b", "c"], "predictions": ["a", "b", "b"]},
        {"name": "one example", "references": ["a"], "predictions": ["b"]},
        {"name": "an empty answer", "references": ["a", "b"], "predictions": ["", "b"]},
        {"name": "Unicode", "references": ["好", "坏", "好", "ß"], "predictions": ["好", "好", "好", "ss"]},
    ]
    for k, n, skill in [(2, 50, 0.7), (3, 200, 0.5), (5, 300, 0.9), (12, 400, 0.2), (40, 500, 0.6)]:
        names = [f"class {i}" for i in range(k)]
        weights = [1 / (i + 1) for i in range(k)]
        wanted = rng.choices(names, weights, k=n)
        answered = [w if rng.random() < skill else rng.choice(names) for w in wanted]
        cases.append({"name": f"{k} classes at random", "references": wanted, "predictions": answered})
        if k == 2:
            cases[-1]["positive"] = "class 1"
    for case in cases:
        wanted, answered = case["references"], case["predictions"]
        case["accuracy"] = accuracy_score(wanted, answered)
        case["matthews"] = float(matthews_corrcoef(wanted, answered))
        case["f1"] = {a: float(f1_score(wanted, answered, average=a, zero_division=0)) for a in
                      ["macro", "micro", "weighted"]}
        if "positive" in case:
            case["f1"]["binary"] = float(f1_score(wanted, answered, pos_label=case["positive"], zero_division=0))
    return cases


def sentence(rng, low=0, high=14):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def corpora(rng):
    """Texts: predictions, and one to five references each, of which all but one may be missing (None)."""
    cases = [
        {"name": "empty", "predictions": ["", "a b", "", "   ", "!?."], "references": [[""], [""], ["a b"], ["x"], ["x"]]},
        {"name": "equal", "predictions": ["the cat sat", "a"], "references": [["the cat sat"], ["a"]]},
        {"name": "nothing in common", "predictions": ["aaa bbb"], "references": [["ccc ddd"]]},
        {"name": "ties", "predictions": ["a b c d", "x y"], "references": [["a b e f", "c d g h"], ["y x", "x y z w"]]},
        {"name": "lines", "predictions": ["the cat sat.\nthe dog ran.\n\nit was red", "one\ntwo\nthree two one"],
         "references": [["the dog ran far.\nthe red cat sat.", "it was red\n"], ["two one\nthree\none two\nfour"]]},
        {"name": "words with punctuation", "predictions": ["(hello), \"world\"! ... a-b it's _x_ e.g.", "- . ,"],
         "references": [["hello, world! a-b its x e.g.", "(hello) world"], [". - ,"]]},
        {"name": "scripts", "predictions": SCRIPTS, "references": [[s, s[::-1]] for s in reversed(SCRIPTS)]},
        {"name": "scripts, nearly right", "predictions": SCRIPTS,
         "references": [[s.upper(), s.lower(), None] for s in SCRIPTS]},
        {"name": "odd spaces", "predictions": ["a\u00a0b\u3000c\td\u200be\x1cf", " a  b "],
         "references": [["a b c d e f"], ["a b"]]},
        {"name": "missing references", "predictions": ["the cat", "a dog ran"],
         "references": [["a cat", None, "the cat sat"], [None, None, "a dog"]]},
    ]
    for n, most in [(40, 1), (40, 3), (30, 5)]:
        references = [[sentence(rng) for _ in range(most)] for _ in range(n)]
        predictions = []
        for known in references:
            words = rng.choice(known).split()
            rng.shuffle(words) if rng.random() < 0.3 else None
            predictions.append(" ".join(w if rng.random() < 0.7 else rng.choice(WORDS) for w in words))
        cases.append({"name": f"random, {most} references", "predictions": predictions, "references": references})
    paragraphs = ["\n".join(sentence(rng, 1) for _ in range(rng.randint(1, 5))) for _ in range(30)]
    cases.append({"name": "paragraphs", "predictions": paragraphs,
                  "references": [[p, "\n".join(sentence(rng, 1) for _ in range(4))] for p in paragraphs[1:] + paragraphs[:1]]})
    return cases


def rouge(cases):
    kinds = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    result = []
    for case in cases:
        made = {key: case[key] for key in ["name", "predictions", "references"]}
        for key, stemmed in [("plain", False), ("stemmed", True)]:
            scorer = rouge_scorer.RougeScorer(kinds, use_stemmer=stemmed)
            scores = [scorer.score_multi([r for r in known if r is not None], text)
                      for text, known in zip(case["predictions"], case["references"])]
            made[key] = {kind: [float(s[kind].fmeasure) for s in scores] for kind in kinds}
        result.append(made)
    return result


CHRF_OPTIONS = [
    {}, {"word_order": 2}, {"lowercase": True}, {"whitespace": True}, {"eps_smoothing": True}, {"beta": 1},
    {"beta": 3, "char_order": 4}, {"char_order": 1}, {"word_order": 1, "eps_smoothing": True, "whitespace": True},
    {"word_order": 2, "lowercase": True, "beta": 0},
]


def chrf(cases):
    result = []
    for case in cases:
        width = max(len(known) for known in case["references"])
        streams = [[known[i] if i < len(known) else None for known in case["references"]] for i in range(width)]
        made = {key: case[key] for key in ["name", "predictions", "references"]} | {"scores": []}
        for options in CHRF_OPTIONS:
            metric = CHRF(**options)
            score = metric.corpus_score(case["predictions"], streams)
            made["scores"].append({"options": options, "value": float(score.score).hex(),
                                   "signature": str(metric.get_signature())})
        result.append(made)
    return result


def stems():
    """Words with their stems: every suffix the stemmer knows behind stems of every measure, and its irregular words."""
    beginnings = ["", "b", "ab", "tr", "tree", "hop", "fall", "fizz", "motor", "syzyg", "toy", "lov", "probat", "wax",
                  "generali", "y", "yy", "oscillat", "adopt", "geo", "archaeo"]
    endings = ("s es ies sses ss ied ed eed eeds ing ings at ating bl bling iz izing y ies ational tional enci anci izer bli "
               "abli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti iviti biliti fulli "
               "logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion sion "
               "tion ou ism ate iti ous ive ize e ee ll lle le 9 s9 ying yed").split()
    words = {b + e for b in beginnings for e in endings}
    words |= set("sky skies dying lying tying news inning innings outing outings canning cannings howe proceed exceed "
                 "succeed proceeds generalizations oscillators relational enjoy enjoyment spied died flies dies".split())
    stemmer = porter.PorterStemmer()
    return {word: stemmer.stem(word) for word in sorted(words) if len(word) > 3}


def main():
    rng = random.Random(20)
    texts = corpora(rng)
    expected = {
        "versions": {name: version(name) for name in ["scikit-learn", "rouge-score", "nltk", "sacrebleu", "numpy"]}
        | {"python": sys.version.split()[0]},
        "classes": classes(rng),
        "rouge": rouge(texts),
        "chrf": chrf(texts),
        "stems": stems(),
    }
    text = json.dumps(expected, ensure_ascii=False, separators=(",", ":"))
    for key in ['{"name"', '"classes"', '"rouge"', '"chrf"', '"stems"']:
        text = text.replace(key, "\n" + key)
    here = pathlib.Path(__file__).parent
    (here / "expected.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
