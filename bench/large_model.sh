#!/usr/bin/env bash
# bench/large_model.sh [LAYERS]: how long a LLaMA-shaped bfloat16 checkpoint takes to open, and what memory it holds, beside
# the time `cat` takes to read its shards. LAYERS: 16 if left out, which is 7.0 GB (width 4096, inner width 11008, 32 heads,
# 32000 rows of the vocabulary). Wants script/build to have run, python3, and disk and memory for the checkpoint.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
layers=${1:-16}

mkdir "$work/model"
cp tests/oracle/causal_models/llama/tokenizer.json "$work/model/"

python3 bench/random_llama.py "$work/model" --layers "$layers" --width 4096 --inner 11008

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
