"""Writes the tiny VisualGLM folders and expected.safetensors beside this file; README.md says what is in them.

    python make.py           writes them, after every check passed
    python make.py --check   writes to a temporary folder and compares with what is here
"""

import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from mistakes import check_mistakes
from reference import NO_LABEL, VIT, Blip2, Reference, loss_of
from safetensors.torch import load_file, save_file
from weights import EOP, GMASK, MASK, PAD, SEED, SOP, UNK, write_folders

HERE = Path(__file__).parent
OPEN, CLOSE = [46, 26, 33], [47, 26, 33]
IMAGE_AT = len(OPEN)
GENERATED = 8
LEAST_MARGIN = 0.05  # between the best and the second best logit of each greedy step

# Gradients of the loss of case "image" by these tensors of model/.
GRADIENTS = [
    "transformer.layers.0.attention.query_key_value.weight",
    "transformer.word_embeddings.weight",
    VIT + "mixins.patch_embedding.proj.weight",
    "image_encoder.qformer.transformer.layers.0.cross_attention.key_value.weight",
]


def picture(placeholder):
    return OPEN + [placeholder] * 3 + CLOSE


# name: (prompt, answer, number of the picture or None)
CASES = {
    "image": (picture(UNK) + [21, 12, 9, 30, 4, 15, 12], [17, 40, 22, 51, 8], 0),
    "image2": (picture(UNK) + [21, 12, 35, 9, 50, 11, 28, 4, 15, 12], [24, 13, 37, 6], 1),
    "text": ([5, 14, 27, 33, 19, 6], [12, 44, 7, 10], None),
}


def ids_of(prompt, answer):
    """Token ids; labels, shifted (labels[i] is what position i predicts; [GMASK] predicts sop); the context."""
    ids = torch.tensor(prompt + [GMASK, SOP] + answer + [EOP])
    context = len(prompt) + 1
    labels = torch.full_like(ids, NO_LABEL)
    labels[context - 1:-1] = ids[context:]
    return ids, labels, context


def greedy(reference, prompt, image_vectors):
    """The next GENERATED ids, each from a whole forward pass; none may be a close call or a special token."""
    ids, generated = torch.tensor(prompt + [GMASK, SOP]), []
    for _ in range(GENERATED):
        logits = reference.forward(ids, image_vectors, IMAGE_AT)[0][-1]
        best = logits.topk(2)
        margin = (best.values[0] - best.values[1]).item()
        assert margin > LEAST_MARGIN, f"a close call: {best}"
        assert best.indices[0] < MASK, "a special token"
        generated.append(best.indices[0].item())
        ids = torch.cat([ids, best.indices[:1]])
    assert len(set(generated)) >= 3, f"too dull: {generated}"
    return torch.tensor(generated)


def run_case(reference, case, pixels, expected, prefix):
    """Records one case's outputs under prefix; returns its logits and labels, with their graph."""
    prompt, answer, which = CASES[case]
    ids, labels, context = ids_of(prompt, answer)
    vectors = None
    if which is not None:
        images = pixels[which:which + 1]
        vit, qformer, projected = reference.encode_image(images)
        expected |= {prefix + "pixels": images, prefix + "vit": vit, prefix + "qformer": qformer,
                     prefix + "image_vectors": projected, prefix + "image_at": torch.tensor([IMAGE_AT])}
        vectors = projected[0]
    logits, hidden = reference.forward(ids, vectors, IMAGE_AT)
    expected |= {prefix + "ids": ids, prefix + "labels": labels, prefix + "context": torch.tensor([context]),
                 prefix + "positions": reference.positions(ids), prefix + "hidden": hidden, prefix + "logits": logits,
                 prefix + "loss": loss_of(logits, labels)[None]}
    with torch.no_grad():
        expected[prefix + "greedy"] = greedy(reference, prompt, vectors)
    return logits, labels


def compute(root):
    """All expected values of the folders under root."""
    reference = Reference(root / "model")
    pixels = torch.randn(2, 3, *reference.config["eva_config"]["image_size"],
                         generator=torch.Generator().manual_seed(SEED + 1))
    expected = {}
    outputs = {case: run_case(reference, case, pixels, expected, case + ".") for case in CASES}
    for name in ("image", "image2"), ("image", "image2", "text"):
        logits, labels = (torch.cat([outputs[case][k] for case in name]) for k in (0, 1))
        expected["+".join(name) + ".loss"] = loss_of(logits, labels)[None]
    expected["image.loss"].backward()
    expected |= {"image.grad." + name: reference.gradient(name) for name in GRADIENTS}

    run_case(Reference(root / "model_text"), "text", pixels, expected, "model_text.text.")
    return {name: (t.detach().float() if t.is_floating_point() else t).contiguous() for name, t in expected.items()}


def largest(a, b):
    return (a - b).abs().max().item()


def say_close(what, difference, limit):
    print(f"{difference:8.1e}  {what}")
    assert difference <= limit, f"{what}: {difference} > {limit}"


@torch.no_grad()
def check(root, expected):
    """What must agree, and how far apart it is."""
    reference = Reference(root / "model")
    pixels = torch.cat([expected["image.pixels"], expected["image2.pixels"]])
    vit, qformer, vectors = reference.encode_image(pixels)
    blip2 = Blip2(reference).encode_image(pixels.double())
    print("largest difference of")
    say_close("ViT: SAT and transformers' Blip2VisionModel", largest(vit, blip2[0]), 1e-12)
    say_close("Q-Former: SAT and transformers' Blip2QFormerModel", largest(qformer, blip2[1]), 1e-12)

    single, shards = Reference(root / "model", torch.float32), Reference(root / "model_shards")
    for case, (_, _, which) in CASES.items():
        ids, logits = expected[case + ".ids"], expected[case + ".logits"]
        given = None if which is None else vectors[which]
        say_close(f"{case}: float32 and float64 logits",
                  largest(logits, single.forward(ids, None if given is None else given.float(), IMAGE_AT)[0]), 1e-5)
        other = None if which is None else shards.encode_image(pixels)[2][which]
        say_close(f"{case}: model/ and model_shards/ logits", largest(logits, shards.forward(ids, other, IMAGE_AT)[0]),
                  1e-6)
        if which is not None:
            padded = ids.clone()
            padded[IMAGE_AT:IMAGE_AT + 3] = PAD
            say_close(f"{case}: placeholder <unk> and <pad> logits",
                      largest(logits, reference.forward(padded, given, IMAGE_AT)[0]), 1e-6)


def main():
    torch.set_num_threads(1)
    print("python", platform.python_version(), *(f"{name} {version(name)}" for name in (
        "torch", "transformers", "SwissArmyTransformer", "safetensors")))
    checking = sys.argv[1:] == ["--check"]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) if checking else HERE
        write_folders(root)
        expected = compute(root)
        check(root, expected)
        check_mistakes(root / "model", expected)
        if not checking:
            save_file(expected, HERE / "expected.safetensors", {"format": "pt"})
            return
        files = sorted(p.relative_to(root) for p in root.rglob("*.*"))
        for file in files:
            assert (root / file).read_bytes() == (HERE / file).read_bytes(), f"{file} is not what is written now"
        here = load_file(HERE / "expected.safetensors")
        assert set(here) == set(expected)
        difference = max(largest(here[name], t) for name, t in expected.items())
        say_close("expected.safetensors and now", difference, 1e-6)
        print(f"{len(files)} files are the same")


if __name__ == "__main__":
    main()
