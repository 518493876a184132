#!/usr/bin/env python3
"""Published detectors of scikit-learn beside `anomalyctl evaluate`, on the same files.

    benchmark_peers.py ANOMALYCTL --csv DIR [--csv DIR...] [--skab DIR] [--json FILE]

--csv: pairs NAME_train.csv and NAME_test.csv (SMD, MSL). PCA, k-means on windows and isolation
forest with the settings that TSB-AD published as best for multivariate series (Liu and Paparrizos
2024, HP_list.py: 75 % of the variance; 30 clusters of windows of 40; 100 trees on 40 % of the
channels), each fitted on the train file alone and judged on the test file by VUS-PR and VUS-ROC,
which this script computes by itself. First it must agree to 1e-9 with the reference numbers in
tests/golden/metric_golden.txt, which the authors' code made.

TSB-AD spreads a window's distance over its samples, so that a sample's score knows what follows it
for up to a window (mode `lag`). `k-means, causal` is the same model with a window's distance at its
last sample. PCA and isolation forest look at single samples and are causal as they are.

--skab: the repository's or the folder's *.csv. Isolation forest and T-squared with Q as SKAB's
core/ has them (isolation forest with contamination 0.0005, median of 3; T2 scaled, 85 % of the
variance, limits at 0.999, median of 5), fitted on the first 400 rows, judged on the rows behind
them, as the board with the published rows here judges, and on all rows, as a later board does.

k-means and isolation forest are run with three seeds: mean (lowest to highest). Needs numpy, scipy
and scikit-learn.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, str(os.cpu_count() or 1))

import numpy as np  # noqa: E402  after the threads are set
import scipy  # noqa: E402
import sklearn  # noqa: E402
from scipy.spatial.distance import cdist  # noqa: E402
from sklearn.cluster import KMeans  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.ensemble import IsolationForest  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parent.parent
SEEDS = (0, 1, 2)
TRAIN_ROWS = 400  # of SKAB
TOLERANCE = 1e-9
# SKAB's board for rows behind the first 400, 34 files: F1, FAR %, MAR %.
SKAB_PUBLISHED = {"isolation forest": (0.29, 2.56, 82.89), "T-squared+Q": (0.76, 26.62, 24.92)}
# Its later board, which counts the train rows too.
SKAB_PUBLISHED_ALL = {"isolation forest": (0.28, 1.16, 83.28), "T-squared+Q": (0.75, 12.09, 26.62)}


# --- VUS

def events_of(truth):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (truth != 0).astype(np.int8), [0]])))
    return list(zip(edges[::2], edges[1::2]))


def widened(events, half, n):
    spans = []
    for begin, end in events:
        begin, end = max(begin - half, 0), min(end + half, n)
        if spans and spans[-1][1] > begin:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans


def ramps(events, window, n):
    ramp = np.zeros(n)
    half = window // 2
    if half == 0:
        return ramp
    for begin, end in events:
        after = np.arange(end, min(end + half, n))
        ramp[after] += np.sqrt(1 - (after - (end - 1)) / window)
        before = np.arange(max(begin - half, 0), begin)
        ramp[before] += np.sqrt(1 - (begin - before) / window)
    return np.minimum(ramp, 1)


def vus(score, truth, max_window=100, thresholds=250):
    """(VUS-ROC, VUS-PR) by the definition of TSB-AD's RangeAUC_volume_opt."""
    n = len(score)
    events = events_of(truth)
    levels = np.sort(score)[::-1][np.linspace(0, n - 1, thresholds).astype(int)]
    first = np.searchsorted(-levels, -score, side="left")  # the first threshold that alarms it

    def cumulated(which, weights=None):
        return np.cumsum(np.bincount(which, weights, thresholds))

    inside = truth != 0
    alarms, hits = cumulated(first), cumulated(first[inside])
    sums = np.zeros(2)
    for window in range(max_window + 1):
        spans = widened(events, window // 2, n)
        ramp = ramps(events, window, n)
        on_ramp = (ramp > 0) & ~inside
        slopes = cumulated(first[on_ramp], ramp[on_ramp])
        exists = cumulated(np.array([first[a:b].min() for a, b in spans])) / len(spans)
        true = hits + slopes
        expected = inside.sum() + slopes / 2
        recall = np.concatenate([[0], np.minimum(true / expected, 1) * exists, [1]])
        false = np.concatenate([[0], (alarms - true) / (n - expected), [1]])
        sums[0] += np.sum(np.diff(false) * (recall[1:] + recall[:-1]) / 2)
        sums[1] += np.sum(np.diff(recall[:-1]) * true / alarms)
    return tuple(sums / (max_window + 1))


def check_vus():
    cases, name = {}, None
    for line in (TOP / "tests/golden/metric_golden.txt").read_text(encoding="utf-8").splitlines():
        key, *values = line.split()
        if key == "case":
            name = values[0]
            cases[name] = {}
        elif key != "#":
            cases[name][key] = np.array([float(value) for value in values])
    worst, compared = 0.0, 0
    for case in cases.values():
        for key in [key for key in case if key.startswith("vus_")]:
            found = vus(case["score"], case["truth"], int(key.removeprefix("vus_")))
            worst = max(worst, float(np.abs(np.array(found) - case[key]).max()))
            compared += 1
    if compared == 0 or not worst <= TOLERANCE:
        sys.exit(f"VUS differs from the reference by {worst:.2e} in {compared} cases")
    print(f"VUS agrees with {compared} reference numbers to {worst:.1e}", file=sys.stderr)


# --- the peers, prefix-trained

def read(path, separator=","):
    with open(path, encoding="utf-8") as file:
        names = file.readline().strip().split(separator)
        kept = [i for i, name in enumerate(names) if name not in ("time", "datetime")]
        values = np.loadtxt(file, delimiter=separator, usecols=kept, ndmin=2)
    return [names[i] for i in kept], values


def read_pair(train_path):
    """Train, test, truth; z-scored by the train file, channels without a spread left alone."""
    names, train = read(train_path)
    test_path = train_path.with_name(train_path.name.replace("_train.csv", "_test.csv"))
    test_names, test = read(test_path)
    truth = test[:, test_names.index("label")]
    train = train[:, [i for i, name in enumerate(names) if name != "label"]]
    test = test[:, [i for i, name in enumerate(test_names) if name != "label"]]
    spread = train.std(axis=0)
    spread[spread == 0] = 1
    return (train - train.mean(axis=0)) / spread, (test - train.mean(axis=0)) / spread, truth


def pca(train, test, _):
    """Distances to the components, each over its part of the variance."""
    moving = np.any(train != 0, axis=0)
    model = PCA(n_components=0.75, svd_solver="full").fit(train[:, moving])
    return {"PCA": np.sum(cdist(test[:, moving], model.components_) /
                          model.explained_variance_ratio_, axis=1)}


def isolation_forest(train, test, seed):
    model = IsolationForest(n_estimators=100, max_features=0.4, random_state=seed).fit(train)
    return {"isolation forest": -model.decision_function(test)}


def kmeans(train, test, seed, length=40):
    def windows(x):
        view = np.lib.stride_tricks.sliding_window_view(x.astype(np.float32), length, axis=0)
        return view.reshape(len(view), -1)

    model = KMeans(n_clusters=30, random_state=seed).fit(windows(train))
    shown = windows(test)
    distance = np.linalg.norm(shown - model.cluster_centers_[model.predict(shown)], axis=1)
    # The mean of the windows that contain a sample, by sums that are cumulated.
    total = np.concatenate([[0], np.cumsum(distance.astype(np.float64))])
    at = np.arange(len(test))
    low, high = np.maximum(at - length + 1, 0), np.minimum(at, len(distance) - 1) + 1
    causal = np.concatenate([np.full(length - 1, distance.min()), distance])
    return {"k-means (lag)": (total[high] - total[low]) / (high - low), "k-means, causal": causal}


PEERS = ((pca, SEEDS[:1]), (isolation_forest, SEEDS), (kmeans, SEEDS))


def peers_on(folder):
    """{peer: [{vus_pr, vus_roc} a seed]}: means over the files; and how many files."""
    paths = sorted(folder.rglob("*_train.csv"))
    if not paths:
        sys.exit(f"{folder}: no *_train.csv in it")
    found = {}
    for path in paths:
        train, test, truth = read_pair(path)
        if not 0 < np.sum(truth != 0) < len(truth):
            continue
        for run, seeds in PEERS:
            for seed in seeds:
                begin = time.perf_counter()
                for name, score in run(train, test, seed).items():
                    roc, area = vus(score, truth)
                    seconds = time.perf_counter() - begin
                    found.setdefault(name, {}).setdefault(seed, []).append((area, roc, seconds))
        print(f"  {path.name}", file=sys.stderr, flush=True)
    rows = {}
    for name, by_seed in found.items():
        rows[name] = [{"vus_pr": float(np.mean([f[0] for f in files])),
                       "vus_roc": float(np.mean([f[1] for f in files])),
                       "seconds": float(np.sum([f[2] for f in files]))}
                      for files in by_seed.values()]
    return rows, len(paths)


def ours_on(ctl, folder, detectors, mode):
    done = subprocess.run([ctl, "evaluate", "csv", "--data", folder, "--detectors", detectors,
                           "--mode", mode, "--json"], check=True, capture_output=True, text=True)
    rows = {}
    for result in json.loads(done.stdout)["results"]:
        if result["control"] and mode != "causal":
            continue
        name = result["detector"] + (" (control)" if result["control"] else f", {mode}")
        rows[name] = [{"vus_pr": result["metrics"]["vus_pr"],
                       "vus_roc": result["metrics"]["vus_roc"], "seconds": result["seconds"]}]
    return rows


# --- SKAB

def skab_isolation_forest(train, whole, seed):
    model = IsolationForest(random_state=seed, contamination=0.0005, n_jobs=-1).fit(train)
    return median_of(-model.predict(whole), 3) > 0


def skab_t2_q(train, whole, _):
    mean, spread = train.mean(axis=0), train.std(axis=0)
    moving = spread > 0
    train = (train[:, moving] - mean[moving]) / spread[moving]
    whole = (whole[:, moving] - mean[moving]) / spread[moving]
    model = PCA(n_components=0.85, svd_solver="full").fit(train)
    inner = model.transform(train)
    inverse = np.linalg.inv(np.atleast_2d(np.cov(inner.T)))
    shown = model.transform(whole)
    t2 = np.sum(shown @ inverse * shown, axis=1)
    axes = model.components_.T
    outer = np.eye(len(axes)) - axes @ axes.T
    q = np.sum(whole @ outer * whole, axis=1)
    n, m = len(train), model.n_components_
    t2_limit = m * (n - 1) * (n + 1) / (n * (n - m)) * scipy.stats.f.ppf(0.999, m, n - m)
    # As core/t2.py has it: powers of the residual eigenvalues' sum, where Jackson and Mudholkar
    # have sums of their powers.
    residual = np.sort(np.linalg.eigvalsh(np.cov(train.T)))[::-1][m:].sum()
    theta = [residual ** i for i in (1, 2, 3)]
    h = 1 - 2 * theta[0] * theta[2] / (3 * theta[1] ** 2)
    c = scipy.stats.norm.ppf(0.999)
    q_limit = theta[0] * (1 + c * h * np.sqrt(2 * theta[1]) / theta[0] +
                          theta[1] * h * (h - 1) / theta[0] ** 2) ** (1 / h)
    return (median_of(t2, 5) > t2_limit) | (median_of(q, 5) > q_limit)


def median_of(values, length):
    """Of the last `length` values; lowest where there are fewer, as pandas' NaN then compares."""
    view = np.lib.stride_tricks.sliding_window_view(values, length)
    return np.concatenate([np.full(length - 1, -np.inf), np.median(view, axis=1)])


def skab_on(folder):
    paths = sorted(path for path in folder.rglob("*.csv") if "anomaly-free" not in str(path))
    if not paths:
        sys.exit(f"{folder}: no *.csv in it")
    rows = {}
    for name, run, seeds in (("isolation forest", skab_isolation_forest, SEEDS),
                             ("T-squared+Q", skab_t2_q, SEEDS[:1])):
        for judged in ("rest", "all"):
            rows[f"{name}, {judged}"] = []
        for seed in seeds:
            truths, alarms = {"rest": [], "all": []}, {"rest": [], "all": []}
            for path in paths:
                names, table = read(path, ";")
                channels = [i for i, n in enumerate(names) if n not in ("anomaly", "changepoint")]
                values, truth = table[:, channels], table[:, names.index("anomaly")] != 0
                alarm = run(values[:TRAIN_ROWS], values, seed)
                for judged, begin in (("rest", TRAIN_ROWS), ("all", 0)):
                    truths[judged].append(truth[begin:])
                    alarms[judged].append(alarm[begin:])
            for judged in truths:
                rows[f"{name}, {judged}"].append(
                    binary(np.concatenate(truths[judged]), np.concatenate(alarms[judged])))
    return rows, len(paths)


def binary(truth, alarm):
    tp, fp = np.sum(truth & alarm), np.sum(~truth & alarm)
    fn, tn = np.sum(truth & ~alarm), np.sum(~truth & ~alarm)
    return {"f1": float(2 * tp / (2 * tp + fp + fn)), "far": float(100 * fp / (fp + tn)),
            "mar": float(100 * fn / (fn + tp))}


# --- tables

def cell(results, metric, digits):
    values = [result[metric] for result in results]
    text = f"{np.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return text


def table(title, columns, rows):
    print(f"\n| {title} | " + " | ".join(name for _, name, _ in columns) + " |")
    print("|" + "---|" * (1 + len(columns)))
    for name, results in rows.items():
        print(f"| {name} | " + " | ".join(cell(results, metric, digits)
                                          for metric, _, digits in columns) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ctl", metavar="ANOMALYCTL", type=pathlib.Path)
    parser.add_argument("--csv", metavar="DIR", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--skab", metavar="DIR", type=pathlib.Path)
    parser.add_argument("--detectors", default="standard,tiny,full,pca,zscore")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path)
    arguments = parser.parse_args()
    if not arguments.csv and not arguments.skab:
        parser.error("expected --csv or --skab")
    check_vus()
    versions = (f"numpy {np.__version__}, scipy {scipy.__version__}, "
                f"scikit-learn {sklearn.__version__}")
    print(versions)
    out = {"versions": versions}
    for folder in arguments.csv:
        rows, files = peers_on(folder)
        for mode in ("causal", "lag"):
            rows |= ours_on(arguments.ctl, folder, arguments.detectors, mode)
        out[folder.name] = rows
        table(f"{folder.name}, {files} files", (("vus_pr", "VUS-PR", 3), ("vus_roc", "VUS-ROC", 3),
                                                ("seconds", "seconds", 1)), rows)
    if arguments.skab:
        rows, files = skab_on(arguments.skab)
        out["skab"] = dict(rows)
        for published, judged in ((SKAB_PUBLISHED, "rest"), (SKAB_PUBLISHED_ALL, "all")):
            for name, (f1, far, mar) in published.items():
                rows[f"{name}, {judged}: published, 34 files"] = [
                    {"f1": f1, "far": far, "mar": mar}]
        table(f"skab, {files} files", (("f1", "F1", 3), ("far", "FAR %", 2), ("mar", "MAR %", 2)),
              dict(sorted(rows.items())))
    if arguments.json:
        arguments.json.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
