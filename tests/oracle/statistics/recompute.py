"""Recomputes a comparison from the raw scores of a store and holds `peftlab compare --format json` to it.

    peftlab compare EXPERIMENT --store STORE --format json >compare.json
    python tests/oracle/statistics/recompute.py STORE compare.json      # with scipy and statsmodels, see make.py
"""

import json
import pathlib
import sqlite3
import sys

import numpy
import scipy.stats
import statsmodels.stats.multitest

store, told = pathlib.Path(sys.argv[1]) / "store.db", json.loads(pathlib.Path(sys.argv[2]).read_text())
rows = sqlite3.connect(f"file:{store}?mode=ro", uri=True).execute(
    """SELECT v.label, m.name, r.seed, s.value, max(r.attempt) FROM run_scores s JOIN runs r USING (run_id)
       JOIN variants v USING (variant_id) JOIN experiments e USING (experiment_id) JOIN metrics m USING (metric_id)
       WHERE e.name = ? AND v.is_current AND v.role = 'method' AND s.split = 'test' AND r.state = 'finished'
       GROUP BY v.label, m.name, r.seed""", (told["experiment"],)).fetchall()
scores = {}
for label, metric, seed, value, _ in rows:
    scores.setdefault(metric, {}).setdefault(label, {})[seed] = value

worst, compared = 0.0, 0


def same(name, found, wanted):
    global worst, compared
    difference = abs(found - wanted) / max(1.0, abs(wanted))
    worst, compared = max(worst, difference), compared + 1
    if difference > 1e-9:
        print(f"{name}: peftlab says {found}, here it is {wanted}")


def interval(values):
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * numpy.std(values, ddof=1) / numpy.sqrt(len(values))
    return numpy.mean(values) - half, numpy.mean(values) + half


methods = {method["label"]: method for method in told["methods"]}
for metric, by_label in scores.items():
    tested, p_values = [], []
    for label, by_seed in by_label.items():
        entry, values = methods[label]["test"][metric], list(by_seed.values())
        same(f"{label} {metric} n", entry["n"], len(values))
        same(f"{label} {metric} mean", entry["mean"], numpy.mean(values))
        if len(values) < 2:
            continue
        same(f"{label} {metric} sd", entry["sd"], numpy.std(values, ddof=1))
        for key, wanted in zip(("ci95_low", "ci95_high"), interval(values)):
            same(f"{label} {metric} {key}", entry[key], wanted)
        base = by_label.get(told["baseline"], {})
        seeds = sorted(set(by_seed) & set(base))
        if label == told["baseline"] or len(seeds) < 2:
            continue
        differences = [by_seed[seed] - base[seed] for seed in seeds]
        same(f"{label} {metric} difference", entry["difference"]["mean"], numpy.mean(differences))
        for key, wanted in zip(("ci95_low", "ci95_high"), interval(differences)):
            same(f"{label} {metric} difference {key}", entry["difference"][key], wanted)
        if numpy.std(differences) > 0:
            p = scipy.stats.ttest_rel([by_seed[seed] for seed in seeds], [base[seed] for seed in seeds]).pvalue
        else:
            p = 1.0 if differences[0] == 0 else 0.0
        same(f"{label} {metric} p", entry["difference"]["p"], p)
        tested.append((label, numpy.mean(differences), entry))
        p_values.append(p)
    if not tested:
        continue
    for (label, mean, entry), p in zip(tested, statsmodels.stats.multitest.multipletests(p_values, method="holm")[1]):
        same(f"{label} {metric} p after Holm", entry["difference"]["p_holm"], p)
        better = (mean > 0) == entry["higher_is_better"]
        wanted = "no clear difference" if p >= 0.05 else "better" if better else "worse"
        if entry["difference"]["verdict"] != wanted:
            sys.exit(f"{label} {metric}: peftlab says {entry['difference']['verdict']}, here it is {wanted}")
print(f"{compared} numbers of {len(methods)} methods and {len(scores)} metrics; the largest relative difference is {worst:.1e}")
