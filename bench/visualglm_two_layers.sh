#!/usr/bin/env bash
# bench/visualglm_two_layers.sh [STEPS]: trains LoRA in bfloat16 on two layers of the size of ChatGLM-6B's (width 4096,
# inner width 16384, 32 heads, all 130528 rows of the vocabulary), with random weights, and prints the peak of memory.
# STEPS: 5 if left out. Wants script/build and script/data to have run, and 8 GB of memory.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
steps=${1:-5}
tokenizer=data/models/visualglm-small
[ -e "$tokenizer/ice_text.model" ] || { echo "bench: no $tokenizer: run script/data first" >&2; exit 1; }

mkdir "$work/model"
cp "$tokenizer/ice_text.model" "$tokenizer/tokenizer_config.json" "$work/model/"

# The ids are those of the small model's tokenizer; the rows of the table that it never asks for are there all the same.
id_of() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$tokenizer/config.json" | head -n 1; }
cat >"$work/model/config.json" <<EOF
{"model_type": "chatglm", "num_layers": 2, "hidden_size": 4096, "num_attention_heads": 32, "inner_hidden_size": 16384,
 "vocab_size": 130528, "layernorm_epsilon": 1e-5, "max_sequence_length": 2048, "position_encoding_2d": true,
 "bos_token_id": $(id_of bos_token_id), "eos_token_id": $(id_of eos_token_id),
 "gmask_token_id": $(id_of gmask_token_id), "mask_token_id": $(id_of mask_token_id),
 "pad_token_id": $(id_of pad_token_id), "unk_token_id": $(id_of unk_token_id)}
EOF

for number in $(seq 1 $((2 * steps))); do
  echo "{\"prompt\": \"grinning face $number\", \"completion\": \"smiling cat with heart eyes\"}"
done >"$work/data.jsonl"
head -n 2 "$work/data.jsonl" >"$work/test.jsonl"

cat >"$work/bench.toml" <<EOF
schema = 1
[experiment]
name = "visualglm-two-layers"
[model]
path = "model"
init = "random"
dtype = "bfloat16"
[data]
plugin = "text"
train = "data.jsonl"
test = "test.jsonl"
max_length = 64
[train]
steps = $steps
batch_size = 2
learning_rate = 1e-4
precision = "bf16"
[[method]]
label = "lora-r8"
plugin = "lora"
rank = 8
alpha = 32
EOF

"$program" run "$work/bench.toml" --store "$work/store" --device cpu
"$program" query --store "$work/store" --format table \
  "SELECT label, trainable_parameters, round(train_seconds, 1) AS train_seconds,
          round(peak_memory_bytes / 1e9, 2) AS peak_memory_gb FROM v_runs"
"$program" query --store "$work/store" --format table \
  "SELECT step, round(value, 4) AS loss FROM v_metric WHERE metric = 'train/loss' ORDER BY step"
