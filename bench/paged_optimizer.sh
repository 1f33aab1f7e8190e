#!/usr/bin/env bash
# bench/paged_optimizer.sh [MIB]: full fine-tuning of a model of LLaMA's shape with 103 million random parameters, with AdamW,
# with paged AdamW and with 8-bit moments: first with all the machine's memory, then each in a control group of MIB (1350 if
# left out), into which weights, gradients and plain moments do not fit. Prints losses to the last digit. Wants script/build to
# have run, python3, and to be root with a memory controller of either version of control groups.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
mib=${1:-1350}

mkdir "$work/model"
cp tests/oracle/causal_models/llama/tokenizer.json "$work/model/"
cat >"$work/model/config.json" <<JSON
{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 1024, "intermediate_size": 2816,
 "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 64, "rms_norm_eps": 1e-6,
 "max_position_embeddings": 64, "rope_theta": 10000.0, "tie_word_embeddings": false, "hidden_act": "silu",
 "bos_token_id": 0, "eos_token_id": 0}
JSON
for number in 1 2 3 4 5 6 7 8; do echo "{\"text\": \"$number the cat sat on the mat and looked at the dog\"}"; done >"$work/data.jsonl"
head -n 1 "$work/data.jsonl" >"$work/test.jsonl"
cat >"$work/bench.toml" <<TOML
schema = 1
[experiment]
name = "optimizers"
[model]
path = "model"
init = "random"
[data]
plugin = "text"
train = "data.jsonl"
test = "test.jsonl"
max_length = 32
[train]
steps = 4
batch_size = 2
learning_rate = 1e-4
TOML
for optimizer in adamw paged_adamw adamw8bit; do
  printf '[[method]]\nlabel = "%s"\nplugin = "full"\ntrain.optimizer = "%s"\n' $optimizer $optimizer >>"$work/bench.toml"
done

if [ -d /sys/fs/cgroup/memory ]; then group=/sys/fs/cgroup/memory/peftlab-bench limit=memory.limit_in_bytes
else group=/sys/fs/cgroup/peftlab-bench limit=memory.max; fi
mkdir "$group"
trap 'rmdir "$group"; rm -rf "$work"' EXIT
echo $((mib << 20)) >"$group/$limit"

# table TITLE STORE: what became of the runs
table() {
  printf '\n%s\n\n' "$1"
  "$program" query --store "$2" --format md \
    "SELECT l.label, l.state, json_extract(e.detail_json, '\$.optimizer_bytes') / 1000000 AS moments_MB,
       (SELECT max(c.peak_rss_bytes) / 1000000 FROM run_costs c WHERE c.run_id = r.run_id) AS peak_MB,
       (SELECT group_concat(printf('%.17g', m.value), ' ') FROM v_metric m
        WHERE m.run_uuid = l.run_uuid AND m.metric = 'train/loss') AS losses
     FROM v_runs l JOIN runs r ON r.uuid = l.run_uuid
       LEFT JOIN run_events e ON e.run_id = r.run_id AND e.kind = 'trained' ORDER BY l.label"
}

"$program" run "$work/bench.toml" --store "$work/free" --device cpu --quiet >/dev/null
table "all the machine's memory" "$work/free"
for optimizer in adamw paged_adamw adamw8bit; do
  ( echo "$BASHPID" >"$group/cgroup.procs"
    exec "$program" run "$work/bench.toml" --only "$optimizer" --store "$work/limited" --device cpu --quiet ) >/dev/null 2>&1 || true
done
table "a control group of $mib MiB" "$work/limited"
