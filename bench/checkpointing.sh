#!/usr/bin/env bash
# bench/checkpointing.sh [STEPS]: LoRA on a model of GPT-2's shape (12 layers, width 768, random weights) with and without
# gradient checkpointing, at several lengths: peak of memory and seconds a step. STEPS: 3 if left out. Wants script/build
# to have run, and 6 GB of memory.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
steps=${1:-3}

mkdir "$work/model"
cp tests/oracle/causal_models/gpt2/tokenizer.json "$work/model/"
cat >"$work/model/config.json" <<JSON
{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 12, "n_embd": 768, "n_head": 12,
 "n_positions": 1024, "vocab_size": 50257, "bos_token_id": 0, "eos_token_id": 0}
JSON

# Longer than any length below, to which it is cut.
words=$(printf 'the cat sat on the mat and looked at the dog %.0s' $(seq 1 60))
for number in $(seq 1 16); do echo "{\"text\": \"$number $words\"}"; done >"$work/data.jsonl"
head -n 1 "$work/data.jsonl" >"$work/test.jsonl"

for length in 128 256 512; do
  cat >"$work/bench.toml" <<TOML
schema = 1
[experiment]
name = "checkpointing-$length"
[model]
path = "model"
init = "random"
[data]
plugin = "text"
train = "data.jsonl"
test = "test.jsonl"
max_length = $length
[train]
steps = $steps
batch_size = 4
threads = 2
[[method]]
label = "length $length"
plugin = "lora"
[[method]]
label = "length $length, checkpointing"
plugin = "lora"
train.gradient_checkpointing = true
TOML
  "$program" run "$work/bench.toml" --store "$work/store" --device cpu --jobs 1 >&2
done
"$program" query --store "$work/store" --format md \
  "SELECT label, round(train_seconds / $steps, 2) AS seconds_a_step, round(peak_memory_bytes / 1e9, 2) AS peak_memory_gb
   FROM v_runs"
