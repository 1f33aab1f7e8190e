"""Writes numbers.json: what scipy and statsmodels say of drawn differences. python tests/oracle/statistics/make.py

    uv venv /tmp/statistics && uv pip install --python /tmp/statistics/bin/python scipy==1.17.1 statsmodels==0.15.0
"""

import json
import pathlib

import numpy
import scipy
import scipy.stats
import statsmodels
import statsmodels.stats.contingency_tables
import statsmodels.stats.multitest

random = numpy.random.default_rng(0)
cases = {"scipy": scipy.__version__, "statsmodels": statsmodels.__version__, "paired_t": [], "welch": [], "holm": [], "mcnemar": [],
         "bootstrap": []}
for n in (2, 3, 5, 20):
    for shift in (0.0, 0.5, 3.0):
        first, second = random.normal(shift, 1, n), random.normal(0, 1, n)
        found = scipy.stats.ttest_rel(first, second)
        interval = found.confidence_interval(0.95)
        cases["paired_t"].append({"differences": (first - second).tolist(), "p": found.pvalue, "low": interval.low,
                                  "high": interval.high, "sd": numpy.std(first - second, ddof=1)})
welch = numpy.random.default_rng(1)  # of its own, so that the numbers of the others stay
for n, m in ((2, 2), (3, 5), (5, 3), (20, 4)):
    for shift in (0.0, 2.0):
        first, second = welch.normal(shift, 3, n), welch.normal(0, 1, m)
        found = scipy.stats.ttest_ind(first, second, equal_var=False)
        interval = found.confidence_interval(0.95)
        cases["welch"].append({"first": first.tolist(), "second": second.tolist(), "p": found.pvalue,
                               "low": interval.low, "high": interval.high})
for n in (1, 2, 5, 12):
    p = random.uniform(0, 0.2, n)
    if n == 5:
        p[3] = p[1]
    cases["holm"].append({"p": p.tolist(), "adjusted": statsmodels.stats.multitest.multipletests(p, method="holm")[1].tolist()})
for pair in ((0, 0), (0, 1), (3, 3), (1, 9), (40, 60), (200, 120)):
    table = [[5, pair[0]], [pair[1], 7]]
    cases["mcnemar"].append({"first": pair[0], "second": pair[1],
                             "p": float(statsmodels.stats.contingency_tables.mcnemar(table, exact=True).pvalue)})
for n, shift in ((10, 0.0), (50, 0.3), (400, 0.05)):
    differences = numpy.round(random.normal(shift, 1, n), 6)
    found = scipy.stats.bootstrap((differences,), numpy.mean, n_resamples=200000, method="percentile", rng=1)
    cases["bootstrap"].append({"differences": differences.tolist(), "low": float(found.confidence_interval.low),
                               "high": float(found.confidence_interval.high)})
path = pathlib.Path(__file__).parent / "numbers.json"
path.write_text(json.dumps(cases, indent=1) + "\n")
