#!/usr/bin/env bash
# bench/large_model.sh [LAYERS]: how long a LLaMA-shaped bfloat16 checkpoint takes to open, and what memory it holds, beside
# the time `cat` takes to read its shards. LAYERS: 16 if left out, which is 7.0 GB (width 4096, inner width 11008, 32 heads,
# 32000 rows of the vocabulary). Wants script/build to have run, python3, and disk and memory for the checkpoint.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
layers=${1:-16}
program=build/release/peftlab
[ -x "$program" ] || { echo "bench: no $program: run script/build first" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/model"
cp tests/oracle/causal_models/llama/tokenizer.json "$work/model/"

python3 - "$work/model" "$layers" <<'EOF'
import json, pathlib, random, sys

folder, layers = pathlib.Path(sys.argv[1]), int(sys.argv[2])
width, inner, vocabulary = 4096, 11008, 32000
config = {"model_type": "llama", "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
          "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": vocabulary, "rms_norm_eps": 1e-6,
          "max_position_embeddings": 2048, "rope_theta": 10000.0, "tie_word_embeddings": False, "hidden_act": "silu",
          "bos_token_id": 0, "eos_token_id": 0, "architectures": ["LlamaForCausalLM"]}
(folder / "config.json").write_text(json.dumps(config))

shards = [{"model.embed_tokens.weight": [vocabulary, width]}]
for i in range(layers):
    shard = {}
    for name, shape in {"self_attn.q_proj": [width, width], "self_attn.k_proj": [width, width],
                        "self_attn.v_proj": [width, width], "self_attn.o_proj": [width, width],
                        "mlp.gate_proj": [inner, width], "mlp.up_proj": [inner, width],
                        "mlp.down_proj": [width, inner], "input_layernorm": [width],
                        "post_attention_layernorm": [width]}.items():
        shard[f"model.layers.{i}.{name}.weight"] = shape
    shards.append(shard)
shards.append({"model.norm.weight": [width], "lm_head.weight": [vocabulary, width]})

# Numbers of either sign between 2^-7 and 2^-5, bfloat16.
block = bytearray(1 << 24)
block[0::2] = random.Random(0).randbytes(len(block) // 2)
block[1::2] = bytes(random.Random(1).choices((0x3C, 0xBC), k=len(block) // 2))
weight_map = {}
for number, shard in enumerate(shards):
    file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
    header, at = {}, 0
    for name, shape in shard.items():
        size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        weight_map[name] = file
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / file, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for start in range(0, at, len(block)):
            out.write(block[: min(len(block), at - start)])
(folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
EOF

printf '{"prompt": "a", "completion": "b"}\n' >"$work/data.jsonl"
cat >"$work/bench.toml" <<EOF
schema = 1
[experiment]
name = "large-model"
[model]
path = "model"
dtype = "bfloat16"
[data]
plugin = "text"
train = "data.jsonl"
test = "data.jsonl"
[train]
steps = 1
batch_size = 1
[[method]]
label = "lora-r8"
plugin = "lora"
EOF

sync
# Where the pages may be dropped, the first reading is the disk's.
if { echo 1 >/proc/sys/vm/drop_caches; } 2>/dev/null; then state=cold; else state=warm; fi
read_all() { # what
  local start end
  start=$(date +%s%N)
  cat "$work"/model/*.safetensors >/dev/null
  end=$(date +%s%N)
  echo "cat, $1: $(((end - start) / 1000000)) ms"
}
du -ch "$work"/model/*.safetensors | tail -n 1
read_all "$state"
read_all warm
if [ "$state" = cold ]; then echo 1 >/proc/sys/vm/drop_caches; fi
"$program" run "$work/bench.toml" --store "$work/store" --device cpu --quiet >/dev/null
"$program" query --store "$work/store" --format table \
  "SELECT phase, wall_ms, round(peak_rss_bytes / 1e9, 2) AS peak_gb FROM run_costs ORDER BY phase"
