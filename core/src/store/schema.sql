-- The experiment store, schema version 2 (PRAGMA user_version).
--
-- An experiment has variants (a method with its whole configuration, without the seed); a variant has runs (one a seed
-- and attempt); a run has points, scores, costs and artifacts. What a search tried is kept as variants and runs too. Times are milliseconds since 1970 (`_ms` of a moment) or
-- durations (`wall_ms`, `cpu_ms`); sizes are bytes; sha256 is 64 lower-case hex digits. NULL means: not known.
-- No JSON function stands in here: connections trust the schema with nothing that SQLite does not call innocuous.

CREATE TABLE store_meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A file objects/ab/abcdef..., named by the sha256 of its bytes.
CREATE TABLE objects (
  sha256 TEXT PRIMARY KEY CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE base_models (
  base_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  arch TEXT NOT NULL,
  n_params INTEGER NOT NULL CHECK (n_params >= 0),
  dtype TEXT NOT NULL,
  sha256 TEXT NOT NULL CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
  UNIQUE (sha256, name, arch, n_params, dtype)
) STRICT;

CREATE TABLE datasets (
  dataset_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  split TEXT NOT NULL CHECK (split IN ('train', 'validation', 'test', 'retention')),
  path TEXT NOT NULL,
  n_rows INTEGER NOT NULL CHECK (n_rows >= 0),
  sha256 TEXT NOT NULL CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
  UNIQUE (sha256, split, name, path, n_rows)
) STRICT;

CREATE TABLE plugins (
  plugin_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  file TEXT NOT NULL,
  sha256 TEXT NOT NULL CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
  abi INTEGER NOT NULL,
  torch_version TEXT NOT NULL,
  UNIQUE (sha256, name, kind, file, abi, torch_version)
) STRICT;

-- facts: a JSON object, such as host, CPU, cores, memory, GPU, versions; sha256 is that of its text.
CREATE TABLE environments (
  env_id INTEGER PRIMARY KEY,
  sha256 TEXT NOT NULL UNIQUE CHECK (length(sha256) = 64),
  facts TEXT NOT NULL
) STRICT;

CREATE TABLE experiments (
  experiment_id INTEGER PRIMARY KEY,
  uuid TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL UNIQUE CHECK (name <> ''),
  config_text TEXT NOT NULL,        -- the file of the newest invocation, verbatim
  primary_metric TEXT NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;

-- Every `peftlab run` of an experiment, with the file as it was then.
CREATE TABLE invocations (
  invocation_id INTEGER PRIMARY KEY,
  experiment_id INTEGER NOT NULL REFERENCES experiments (experiment_id) ON DELETE CASCADE,
  at_ms INTEGER NOT NULL,
  config_text TEXT NOT NULL,
  primary_metric TEXT NOT NULL
) STRICT;
CREATE INDEX invocations_experiment ON invocations (experiment_id, invocation_id);

CREATE TABLE variants (
  variant_id INTEGER PRIMARY KEY,
  experiment_id INTEGER NOT NULL REFERENCES experiments (experiment_id) ON DELETE CASCADE,
  variant_key TEXT NOT NULL,        -- what decides the outcome, hashed: see plan::variant_key
  label TEXT NOT NULL CHECK (label <> ''),
  method TEXT NOT NULL,             -- "lora", "lora+prefix"
  method_plugins TEXT NOT NULL,  -- ["lora", "prefix"]
  config_json TEXT NOT NULL,
  position INTEGER NOT NULL,        -- place in the file, from 0
  is_baseline INTEGER NOT NULL CHECK (is_baseline IN (0, 1)),
  is_current INTEGER NOT NULL CHECK (is_current IN (0, 1)),  -- whether the newest file still has it
  -- method: of the comparison; trial: one set of values that [tune] tries; size: one that `match` measures;
  -- base: the base model untouched, for what it could do before.
  role TEXT NOT NULL DEFAULT 'method' CHECK (role IN ('method', 'trial', 'size', 'base')),
  of_label TEXT,                    -- of a trial or size: the method that it is tried for
  CHECK ((of_label IS NOT NULL) = (role IN ('trial', 'size'))),
  CHECK (role = 'method' OR is_baseline = 0),
  UNIQUE (experiment_id, variant_key),
  CHECK (is_baseline = 0 OR is_current = 1)
) STRICT;
CREATE UNIQUE INDEX variants_one_label ON variants (experiment_id, label) WHERE is_current = 1;
CREATE UNIQUE INDEX variants_one_baseline ON variants (experiment_id) WHERE is_baseline = 1;

-- What a search chose for a method: one row an option.
CREATE TABLE choices (
  variant_id INTEGER NOT NULL REFERENCES variants (variant_id) ON DELETE CASCADE,
  option TEXT NOT NULL,             -- "train.learning_rate", "rank"
  chosen_by TEXT NOT NULL CHECK (chosen_by IN ('tune', 'match')),
  value TEXT NOT NULL,              -- JSON
  tried TEXT NOT NULL,              -- a JSON list, in ascending order where that means something
  criterion TEXT NOT NULL,          -- what it was chosen by: "bleu on validation", "trainable parameters of lora"
  flag TEXT,                        -- why the choice is to be doubted: "at the upper edge", "1.21 of the target"
  n_tried INTEGER NOT NULL CHECK (n_tried >= 0),  -- runs of the search, of all options together
  seconds REAL CHECK (seconds >= 0),              -- that they trained, together
  PRIMARY KEY (variant_id, option)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  run_id INTEGER PRIMARY KEY,
  uuid TEXT NOT NULL UNIQUE,
  variant_id INTEGER NOT NULL REFERENCES variants (variant_id) ON DELETE CASCADE,
  seed INTEGER NOT NULL,
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'finished', 'failed', 'interrupted', 'cancelled')),
  segment INTEGER NOT NULL DEFAULT 0 CHECK (segment >= 0),  -- one more at each resume
  continues_run_id INTEGER REFERENCES runs (run_id),        -- the failed attempt whose resume point this one took
  base_id INTEGER REFERENCES base_models (base_id),
  env_id INTEGER REFERENCES environments (env_id),
  worker TEXT, pid INTEGER, boot_id TEXT, pid_start INTEGER,  -- pid_start: clock ticks after boot, tells pids reused
  created_ms INTEGER NOT NULL, started_ms INTEGER, heartbeat_ms INTEGER, ended_ms INTEGER,
  error_kind TEXT, error_text TEXT,
  trainable_parameters INTEGER CHECK (trainable_parameters >= 0),
  total_parameters INTEGER CHECK (total_parameters >= trainable_parameters),
  adapter_sha256 TEXT CHECK (length(adapter_sha256) = 64 AND adapter_sha256 NOT GLOB '*[^0-9a-f]*'),
  UNIQUE (variant_id, seed, attempt),
  CHECK (state <> 'finished' OR (ended_ms IS NOT NULL AND trainable_parameters IS NOT NULL
    AND (adapter_sha256 IS NOT NULL OR trainable_parameters = 0))),
  CHECK (state <> 'failed' OR (error_kind IS NOT NULL AND ended_ms IS NOT NULL)),
  CHECK (state <> 'running' OR (pid IS NOT NULL AND boot_id IS NOT NULL AND pid_start IS NOT NULL))
) STRICT;
CREATE INDEX runs_state ON runs (state);

CREATE TABLE run_datasets (
  run_id INTEGER NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  dataset_id INTEGER NOT NULL REFERENCES datasets (dataset_id),
  PRIMARY KEY (run_id, dataset_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_plugins (
  run_id INTEGER NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  plugin_id INTEGER NOT NULL REFERENCES plugins (plugin_id),
  PRIMARY KEY (run_id, plugin_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_events (
  event_id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  at_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  detail_json TEXT NOT NULL
) STRICT;
CREATE INDEX run_events_run ON run_events (run_id, event_id);

-- A measured quantity. higher_is_better is NULL for a series that nobody ranks by.
CREATE TABLE metrics (
  metric_id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE CHECK (name <> ''),
  higher_is_better INTEGER CHECK (higher_is_better IN (0, 1))
) STRICT;

-- The curves. Append-only; a resumed run writes its steps again under a higher segment.
CREATE TABLE metric_points (
  run_id INTEGER NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  metric_id INTEGER NOT NULL REFERENCES metrics (metric_id),
  step INTEGER NOT NULL CHECK (step >= 0),
  segment INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  value REAL,
  special TEXT CHECK (special IN ('nan', 'inf', '-inf')),
  CHECK ((value IS NULL) = (special IS NOT NULL)),
  PRIMARY KEY (run_id, metric_id, step, segment)
) STRICT, WITHOUT ROWID;

CREATE TABLE run_scores (
  run_id INTEGER NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  metric_id INTEGER NOT NULL REFERENCES metrics (metric_id),
  split TEXT NOT NULL CHECK (split IN ('validation', 'test', 'retention')),
  value REAL NOT NULL,
  n_items INTEGER CHECK (n_items >= 0),
  PRIMARY KEY (run_id, metric_id, split)
) STRICT, WITHOUT ROWID;

-- What a phase cost. Making pictures into what the model takes (features) is a part of train where it was not done before
-- the first step, and all are parts of total. Energy is that of the machine's processors while the phase lasted, whatever
-- else ran on it.
CREATE TABLE run_costs (
  run_id INTEGER NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  segment INTEGER NOT NULL,
  phase TEXT NOT NULL CHECK (phase IN ('load', 'tokenize', 'features', 'train', 'evaluate', 'save', 'total')),
  wall_ms INTEGER CHECK (wall_ms >= 0),
  cpu_ms INTEGER CHECK (cpu_ms >= 0),
  peak_rss_bytes INTEGER CHECK (peak_rss_bytes >= 0),
  peak_device_bytes INTEGER CHECK (peak_device_bytes >= 0),
  energy_uj INTEGER CHECK (energy_uj >= 0),
  energy_source TEXT CHECK (energy_source IN ('rapl', 'nvml')),
  examples INTEGER CHECK (examples >= 0),  -- that went through the model in this phase
  tokens INTEGER CHECK (tokens >= 0),      -- of them, padding not counted
  CHECK ((energy_uj IS NULL) = (energy_source IS NULL)),
  PRIMARY KEY (run_id, segment, phase)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifacts (
  run_id INTEGER NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
  name TEXT NOT NULL CHECK (name NOT GLOB '*[/\]*' AND name NOT IN ('', '.', '..')),
  kind TEXT NOT NULL,
  sha256 TEXT NOT NULL REFERENCES objects (sha256),
  created_ms INTEGER NOT NULL,
  PRIMARY KEY (run_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifacts_sha256 ON artifacts (sha256);

-- The 0.975 quantile of Student's t, df 1 to 1000; the last row, df 1001, holds the normal limit for all above.
CREATE TABLE t_quantiles (
  df INTEGER PRIMARY KEY,
  t975 REAL NOT NULL
) STRICT;

-- What may not happen.

CREATE TRIGGER runs_start_pending BEFORE INSERT ON runs WHEN NEW.state <> 'pending'
BEGIN SELECT RAISE(ABORT, 'a run starts as pending'); END;

CREATE TRIGGER runs_legal_state BEFORE UPDATE OF state ON runs
WHEN OLD.state <> NEW.state AND NOT (
  (OLD.state = 'pending' AND NEW.state IN ('running', 'failed', 'cancelled'))
  OR (OLD.state = 'running' AND NEW.state IN ('finished', 'failed', 'interrupted', 'cancelled'))
  OR (OLD.state = 'interrupted' AND NEW.state IN ('running', 'failed', 'cancelled')))
BEGIN SELECT RAISE(ABORT, 'illegal change of a run''s state'); END;

CREATE TRIGGER runs_frozen BEFORE UPDATE ON runs WHEN OLD.state IN ('finished', 'failed', 'cancelled')
BEGIN SELECT RAISE(ABORT, 'a run that has ended is not changed any more'); END;

CREATE TRIGGER runs_log_state AFTER UPDATE OF state ON runs WHEN OLD.state <> NEW.state
BEGIN
  INSERT INTO run_events (run_id, at_ms, kind, detail_json)
  VALUES (NEW.run_id, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER), 'state',
    '{"from":"' || OLD.state || '","to":"' || NEW.state || '","segment":' || NEW.segment || '}');
END;

CREATE TRIGGER points_append_only BEFORE UPDATE ON metric_points
BEGIN SELECT RAISE(ABORT, 'metric points are append-only'); END;
CREATE TRIGGER points_kept BEFORE DELETE ON metric_points
WHEN EXISTS (SELECT 1 FROM runs WHERE run_id = OLD.run_id)
BEGIN SELECT RAISE(ABORT, 'metric points are append-only'); END;
CREATE TRIGGER points_of_live_runs BEFORE INSERT ON metric_points
WHEN (SELECT state FROM runs WHERE run_id = NEW.run_id) NOT IN ('pending', 'running')
BEGIN SELECT RAISE(ABORT, 'points are written only while a run is running'); END;

CREATE TRIGGER scores_of_running BEFORE INSERT ON run_scores
WHEN (SELECT state FROM runs WHERE run_id = NEW.run_id) <> 'running'
BEGIN SELECT RAISE(ABORT, 'scores are written only while a run is running'); END;
CREATE TRIGGER scores_frozen BEFORE UPDATE ON run_scores
WHEN (SELECT state FROM runs WHERE run_id = NEW.run_id) <> 'running'
BEGIN SELECT RAISE(ABORT, 'scores are written only while a run is running'); END;
CREATE TRIGGER scores_kept BEFORE DELETE ON run_scores
WHEN EXISTS (SELECT 1 FROM runs WHERE run_id = OLD.run_id)
BEGIN SELECT RAISE(ABORT, 'scores are not deleted'); END;

CREATE TRIGGER costs_frozen BEFORE UPDATE ON run_costs
WHEN (SELECT state FROM runs WHERE run_id = NEW.run_id) IN ('finished', 'failed', 'cancelled')
BEGIN SELECT RAISE(ABORT, 'a run that has ended is not changed any more'); END;
CREATE TRIGGER costs_of_live_runs BEFORE INSERT ON run_costs
WHEN (SELECT state FROM runs WHERE run_id = NEW.run_id) IN ('finished', 'failed', 'cancelled')
BEGIN SELECT RAISE(ABORT, 'a run that has ended is not changed any more'); END;

CREATE TRIGGER artifacts_frozen BEFORE UPDATE ON artifacts
BEGIN SELECT RAISE(ABORT, 'an artifact is not changed'); END;

-- What readers look at.

-- The curve a reader should see: of the segments that wrote a step, the newest counts.
CREATE VIEW v_metric AS
SELECT r.uuid AS run_uuid, m.name AS metric, p.step AS step, p.value AS value,
  p.special AS special, p.segment AS segment, p.at_ms AS at_ms
FROM metric_points p JOIN runs r USING (run_id) JOIN metrics m USING (metric_id)
WHERE NOT EXISTS (SELECT 1 FROM metric_points q WHERE q.run_id = p.run_id AND q.metric_id = p.metric_id
  AND q.step = p.step AND q.segment > p.segment);

-- train_seconds is the sum over the segments; absent if one whose steps count has left no time (see v_lost_time).
CREATE VIEW v_lost_time AS
SELECT r.run_id AS run_id
FROM runs r
WHERE r.segment > 0 AND EXISTS (SELECT 1 FROM metric_points p JOIN metrics m USING (metric_id)
  WHERE p.run_id = r.run_id AND m.name = 'train/loss'
    AND NOT EXISTS (SELECT 1 FROM metric_points q WHERE q.run_id = p.run_id AND q.metric_id = p.metric_id
      AND q.step = p.step AND q.segment > p.segment)
    AND NOT EXISTS (SELECT 1 FROM run_costs c WHERE c.run_id = p.run_id AND c.segment = p.segment
      AND c.phase = 'train' AND c.wall_ms IS NOT NULL));

CREATE VIEW v_runs AS
SELECT r.uuid AS run_uuid, e.name AS experiment, v.label AS label, v.method AS method, r.seed AS seed,
  r.state AS state, r.adapter_sha256 AS adapter_sha256, b.sha256 AS base_sha256,
  r.trainable_parameters AS trainable_parameters,
  CASE WHEN r.segment > 0 AND EXISTS (SELECT 1 FROM v_lost_time l WHERE l.run_id = r.run_id) THEN NULL
    ELSE (SELECT sum(c.wall_ms) / 1000.0 FROM run_costs c WHERE c.run_id = r.run_id AND c.phase = 'train')
    END AS train_seconds,
  (SELECT coalesce(max(c.peak_device_bytes), max(c.peak_rss_bytes)) FROM run_costs c
    WHERE c.run_id = r.run_id AND c.phase = 'train') AS peak_memory_bytes,
  r.total_parameters AS total_parameters, r.attempt AS attempt, r.segment AS segment,
  v.is_current AS is_current, v.is_baseline AS is_baseline,
  r.attempt = (SELECT max(a.attempt) FROM runs a WHERE a.variant_id = r.variant_id AND a.seed = r.seed) AS is_newest,
  r.error_kind AS error_kind, r.error_text AS error_text,
  r.created_ms AS created_ms, r.started_ms AS started_ms, r.ended_ms AS ended_ms,
  r.variant_id AS variant_id, v.position AS position, v.experiment_id AS experiment_id,
  v.role AS role, v.of_label AS of_label,
  (SELECT sum(c.examples) * 1000.0 / nullif(sum(c.wall_ms), 0) FROM run_costs c
    WHERE c.run_id = r.run_id AND c.phase = 'train' AND c.examples IS NOT NULL) AS examples_per_second,
  (SELECT sum(c.tokens) * 1000.0 / nullif(sum(c.wall_ms), 0) FROM run_costs c
    WHERE c.run_id = r.run_id AND c.phase = 'train' AND c.tokens IS NOT NULL) AS tokens_per_second
FROM runs r JOIN variants v USING (variant_id) JOIN experiments e USING (experiment_id)
  LEFT JOIN base_models b USING (base_id);

-- v_score with run_id, which gives sums an order: their last digits do not depend on the query's plan. `+` hides the
-- index of states: without statistics SQLite takes it for the best there is, and reads all experiments' finished runs.
CREATE VIEW v_run_score AS
SELECT r.run_id AS run_id, r.uuid AS run_uuid, e.name AS experiment, v.label AS label, r.seed AS seed, m.name AS metric,
  s.split AS split, s.value AS value, s.n_items AS n_items,
  m.higher_is_better AS higher_is_better, v.method AS method, v.is_baseline AS is_baseline,
  v.is_current AS is_current, v.variant_id AS variant_id, v.experiment_id AS experiment_id, v.role AS role,
  v.of_label AS of_label
FROM run_scores s JOIN runs r USING (run_id) JOIN variants v USING (variant_id)
  JOIN experiments e USING (experiment_id) JOIN metrics m USING (metric_id)
WHERE +r.state = 'finished' AND r.attempt = (SELECT max(a.attempt) FROM runs a
  WHERE a.variant_id = r.variant_id AND a.seed = r.seed AND a.state = 'finished');

-- One row a variant, seed, metric and split: the newest finished attempt.
CREATE VIEW v_score AS
SELECT run_uuid, experiment, label, seed, metric, split, value, n_items, higher_is_better, method, is_baseline,
  is_current, variant_id, experiment_id, role, of_label
FROM v_run_score;

-- What searches tried, with what they went by; of a failed trial, value is NULL.
CREATE VIEW v_trials AS
SELECT e.name AS experiment, v.of_label AS label, v.label AS trial, v.role AS role, r.uuid AS run_uuid,
  r.seed AS seed, r.state AS state, m.name AS metric, s.split AS split, s.value AS value, v.is_current AS is_current
FROM runs r JOIN variants v USING (variant_id) JOIN experiments e USING (experiment_id)
  LEFT JOIN run_scores s ON s.run_id = r.run_id
  LEFT JOIN metrics m USING (metric_id)
WHERE v.role IN ('trial', 'size')
  AND r.attempt = (SELECT max(a.attempt) FROM runs a WHERE a.variant_id = r.variant_id AND a.seed = r.seed);

CREATE VIEW v_choices AS
SELECT e.name AS experiment, v.label AS label, c.option AS option, c.chosen_by AS chosen_by, c.value AS value,
  c.tried AS tried, c.criterion AS criterion, c.flag AS flag, c.n_tried AS n_tried, c.seconds AS seconds,
  v.is_current AS is_current
FROM choices c JOIN variants v USING (variant_id) JOIN experiments e USING (experiment_id);

-- Over seeds: mean, standard deviation (n - 1), Student's t interval of 95 %.
-- SQLite hands `experiment = ?` down to the scores through windows whose partitions name the experiment. Through groups
-- of groups it would not: the scores of the whole store would be gathered first.
CREATE VIEW v_compare AS
WITH means AS (
  SELECT experiment, variant_id, metric, split, run_id, value, count(*) OVER seeds AS n, avg(value) OVER seeds AS mean
  FROM v_run_score WHERE is_current = 1 AND role = 'method'
  WINDOW seeds AS (PARTITION BY variant_id, metric, split, experiment ORDER BY run_id
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)),
spreads AS (
  SELECT DISTINCT experiment, variant_id, metric, split, n, mean,
    CASE WHEN n > 1 THEN sqrt(sum((value - mean) * (value - mean)) OVER seeds / (n - 1)) END AS sd
  FROM means
  WINDOW seeds AS (PARTITION BY variant_id, metric, split, experiment ORDER BY run_id
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)),
halves AS (
  SELECT *, sd / sqrt(n) * (SELECT t975 FROM t_quantiles WHERE df <= n - 1 ORDER BY df DESC LIMIT 1) AS half
  FROM spreads)
SELECT h.experiment AS experiment, v.label AS label, h.metric AS metric, h.split AS split, h.n AS n, h.mean AS mean,
  h.sd AS sd, h.mean - h.half AS ci95_low, h.mean + h.half AS ci95_high, m.higher_is_better AS higher_is_better,
  v.method AS method, v.is_baseline AS is_baseline
FROM halves h JOIN variants v USING (variant_id) JOIN metrics m ON m.name = h.metric;

-- A method minus the baseline on the split `test`, seed by seed. Its sums go in the orders that they have in earlier
-- stores of this version: the results are the same to the last digit.
CREATE VIEW v_paired AS
WITH pairs AS (
  SELECT experiment, variant_id, metric, is_baseline,
    value - max(value) FILTER (WHERE is_baseline = 1) OVER of_seed AS difference,
    max(run_id) FILTER (WHERE is_baseline = 1) OVER of_seed AS baseline_run
  FROM v_run_score WHERE is_current = 1 AND role = 'method' AND split = 'test'
  WINDOW of_seed AS (PARTITION BY seed, metric, experiment)),
means AS (
  SELECT experiment, variant_id, metric, baseline_run, difference,
    count(difference) OVER seeds AS n, avg(difference) OVER seeds AS mean
  FROM pairs WHERE is_baseline = 0
  WINDOW seeds AS (PARTITION BY variant_id, metric, experiment ORDER BY baseline_run
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)),
spreads AS (
  SELECT DISTINCT experiment, variant_id, metric, n, mean,
    CASE WHEN n > 1 THEN sqrt(sum((difference - mean) * (difference - mean)) OVER seeds / (n - 1)) END AS sd
  FROM means
  WINDOW seeds AS (PARTITION BY variant_id, metric, experiment ORDER BY difference
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)),
halves AS (
  SELECT *, sd / sqrt(n) * (SELECT t975 FROM t_quantiles WHERE df <= n - 1 ORDER BY df DESC LIMIT 1) AS half
  FROM spreads)
SELECT h.experiment AS experiment, v.label AS label, b.label AS baseline, h.metric AS metric, h.n AS n,
  h.mean AS mean_difference, h.mean - h.half AS ci95_low, h.mean + h.half AS ci95_high,
  CASE
    WHEN h.n < 2 THEN 'too few seeds'
    WHEN h.mean - h.half <= 0 AND h.mean + h.half >= 0 THEN 'no clear difference'
    WHEN (h.mean > 0) = m.higher_is_better THEN 'better'
    ELSE 'worse'
  END AS verdict,
  h.sd AS sd_difference
FROM halves h JOIN variants v USING (variant_id)
  JOIN variants b ON b.experiment_id = v.experiment_id AND b.is_baseline = 1
  JOIN metrics m ON m.name = h.metric;
