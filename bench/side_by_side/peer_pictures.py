"""The peers' side of pictures.py: a BLIP-2 of the sizes of experiments/visualglm-small.json, its language model an OPT."""

import time

import PIL.Image
import torch
import transformers

SIZE, QUERIES, VOCABULARY = 64, 8, 4096
PLACE = VOCABULARY  # the id that stands for a picture's vectors


def model():
    torch.manual_seed(0)
    vision = dict(hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, image_size=SIZE, patch_size=8)
    queries = dict(hidden_size=96, intermediate_size=384, num_hidden_layers=2, num_attention_heads=4, cross_attention_frequency=1,
                   encoder_hidden_size=128, vocab_size=8, attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0)
    language = transformers.OPTConfig(hidden_size=192, word_embed_proj_dim=192, num_hidden_layers=4, num_attention_heads=6, ffn_dim=768,
                                      vocab_size=VOCABULARY + 1, max_position_embeddings=128, dropout=0.0, bos_token_id=9,
                                      eos_token_id=10, pad_token_id=3)
    return transformers.Blip2ForConditionalGeneration(transformers.Blip2Config(
        vision_config=vision, qformer_config=queries, text_config=language.to_dict(), num_query_tokens=QUERIES,
        image_token_index=PLACE))


def processor():
    return transformers.BlipImageProcessor(size={"height": SIZE, "width": SIZE})


def pixels_of(files, processed):
    pictures = []
    for file in files:
        with PIL.Image.open(file) as picture:
            pictures.append(picture.convert("RGB"))
    return processed(pictures, return_tensors="pt")["pixel_values"]


def ids_of(sequence):
    question, answer = sequence
    return [PLACE if i is None else i for i in question], answer


def padded(rows, filler):
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def train(given):
    import peft

    adapted = peft.get_peft_model(model(), peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0,
                                                           target_modules=["q_proj", "k_proj", "v_proj"]))
    adapted.train()
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=given["rate"], weight_decay=0.0, fused=True)
    processed, sequences = processor(), [ids_of(one) for one in given["sequences"]]
    losses, seconds, tokens, size = [], [], 0, given["batch"]
    for _ in range(given["epochs"]):
        for at in range(0, len(sequences), size):
            start = time.perf_counter()
            some = sequences[at:at + size]
            loss = adapted(
                pixel_values=pixels_of(given["pictures"][at:at + size], processed),
                input_ids=padded([question + answer for question, answer in some], 3),
                attention_mask=padded([[1] * len(question + answer) for question, answer in some], 0),
                labels=padded([[-100] * (len(question) + 1) + answer[1:] for question, answer in some], -100)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
            seconds.append(time.perf_counter() - start)
            tokens += sum(len(question + answer) for question, answer in some)
    return {"losses": losses, "seconds": seconds, "tokens": tokens}


def captions(given):
    captioning = model().eval()
    processed, seconds, count = processor(), [], given["new_tokens"]
    sequences = [ids_of(one) for one in given["sequences"]]
    for at in range(0, len(sequences), given["batch"]):
        start = time.perf_counter()
        asked = torch.tensor([question + answer[:1] for question, answer in sequences[at:at + given["batch"]]])
        with torch.no_grad():
            made = captioning.generate(pixel_values=pixels_of(given["pictures"][at:at + given["batch"]], processed), input_ids=asked,
                                       attention_mask=torch.ones_like(asked), do_sample=False, max_new_tokens=count, min_new_tokens=count)
        assert made.shape == (len(asked), count) or made.shape[1] == asked.shape[1] + count, made.shape
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds[1:]}
