#!/usr/bin/env bash
# bench/qlora_memory.sh [LAYERS]: peak memory of QLoRA (NF4, double quantization) on a random LLaMA-shaped model in bfloat16
# of 1.2 billion parameters (22 layers, width 2048, 32000 rows of the vocabulary, which stay in 16 bits), beside the bytes of
# the quantized base. What the program takes by itself is measured with a model of 15,008 parameters, and is in the peaks: the
# last ratio is without it. Wants script/build to have run, python3, and 2.5 GB of disk.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
layers=${1:-22}

mkdir "$work/model"
cp tests/oracle/causal_models/llama/tokenizer.json "$work/model/"
python3 bench/random_llama.py "$work/model" --layers "$layers" --width 2048 --inner 5504

words=$(printf 'the cat sat on the mat and looked at the dog %.0s' $(seq 1 60))
for number in 1 2 3; do echo "{\"text\": \"$number $words\"}"; done >"$work/data.jsonl"
head -n 1 "$work/data.jsonl" >"$work/test.jsonl"
for number in 0 1 2 3 4; do
  lengths=(16 64 64 512 512) checkpointings=(false false true false true)
  length=${lengths[$number]} checkpointing=${checkpointings[$number]} model=$work/model
  if [ "$number" = 0 ]; then model=$PWD/tests/oracle/causal_models/llama; fi
  cat >"$work/bench.toml" <<TOML
schema = 1
[experiment]
name = "memory-$number"
[model]
path = "$model"
dtype = "bfloat16"
[data]
plugin = "text"
train = "data.jsonl"
test = "test.jsonl"
max_length = $length
[train]
steps = 3
batch_size = 1
gradient_checkpointing = $checkpointing
[[method]]
label = "$number: $length tokens, checkpointing $checkpointing"
plugin = "qlora"
targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TOML
  "$program" run "$work/bench.toml" --store "$work/store" --device cpu --quiet >/dev/null
done
"$program" query --store "$work/store" --format md \
  "WITH peaks AS (
     SELECT v.label AS label, r.total_parameters AS parameters, json_extract(e.detail_json, '\$.bytes') AS base_bytes,
       max(CASE c.phase WHEN 'load' THEN c.peak_rss_bytes END) AS peak_loading,
       max(CASE c.phase WHEN 'train' THEN c.peak_rss_bytes END) AS peak_training,
       round(max(CASE c.phase WHEN 'train' THEN c.wall_ms END) / 3000.0, 2) AS seconds_a_step
     FROM v_runs v JOIN runs r ON r.uuid = v.run_uuid JOIN run_costs c ON c.run_id = r.run_id
       JOIN run_events e ON e.run_id = r.run_id AND e.kind = 'base'
     GROUP BY v.label)
   SELECT *, round(1.0 * peak_training / base_bytes, 2) AS peak_by_base,
     round(1.0 * (peak_training - (SELECT min(peak_training) FROM peaks)) / base_bytes, 2) AS without_program
   FROM peaks ORDER BY label"
