"""Writes the reference numbers that tests/unit/evaluate compares with.

    pip install numpy scikit-learn prts
    pip download --no-deps TSB-AD && unzip TSB_AD-*.whl -d tsb_ad   # without its many needs
    python make_metric_golden.py tsb_ad      # rewrites metric_golden.txt beside this file

Where each figure comes from:

    auc_roc, auc_pr, best_f1        scikit-learn
    vus_roc, vus_pr                 the authors' code, TSB-AD's RangeAUC_volume_opt
    affiliation_*                   the authors' code (Huet et al.), as TSB-AD carries it
    range_*                         prts (Tatbul et al.), and TSB-AD's for the recall: both agree
    pa_f1                           TSB-AD's metric_PointF1PA
    fc1                             written here: Garg et al. 2022, every threshold tried in turn
    nab_*                           written here from the rules of NAB v1.1's sweeper, row by row
                                    and threshold by threshold
    skab_*                          written here from the rules of SKAB's chp_score

Each series is a block of lines `name value...`; `case NAME` begins one.
"""
import math
import pathlib
import sys

import numpy as np
import prts
import sklearn
from sklearn import metrics

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(pathlib.Path(sys.argv[1]).resolve() / "TSB_AD"))
from evaluation.affiliation.generics import convert_vector_to_events  # noqa: E402
from evaluation.affiliation.metrics import pr_from_events  # noqa: E402
from evaluation.basic_metrics import basic_metricor, generate_curve  # noqa: E402

PROFILES = {"standard": (1.0, 0.11, 1.0), "low_fp": (1.0, 0.22, 1.0), "low_fn": (1.0, 0.11, 2.0)}


def events(truth):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], truth, [0]])))
    return list(zip(edges[::2], edges[1::2]))


def best_fc1(score, truth):
    best = 0.0
    for threshold in np.unique(score):
        alarm = score >= threshold
        precision = np.sum(alarm & (truth == 1)) / np.sum(alarm)
        recall = np.mean([alarm[a:b].any() for a, b in events(truth)])
        if precision + recall > 0:
            best = max(best, 2 * precision * recall / (precision + recall))
    return best


def best_f1(score, truth):
    return max(metrics.f1_score(truth, score >= t) for t in np.unique(score))


def curve(x):
    return -1.0 if x >= 3 else 2 / (1 + math.exp(5 * x)) - 1


def nab_raw(files, weights, threshold):
    """files: (scores, truth). Sum over all files, and the number of windows that count."""
    tp, fp, fn = weights
    total, windows = 0.0, 0
    for score, truth in files:
        n = len(score)
        probation = min(math.floor(0.15 * n), 0.15 * 5000)
        spans = events(truth)
        for a, b in spans:
            hits = [i for i in range(a, b) if i >= probation and score[i] >= threshold]
            windows += b > probation
            if b <= probation:
                continue
            total += tp * curve(-(b - hits[0]) / (b - a)) / curve(-1) if hits else -fn
        for i in range(n):
            if i < probation or truth[i] or score[i] < threshold:
                continue
            past = [s for s in spans if s[1] <= i]
            x = 3.0
            if past and past[-1][1] - past[-1][0] > 1:
                a, b = past[-1]
                x = (i - (b - 1)) / (b - a - 1)
            total += fp * curve(x)
    return total, windows


def nab_best(files, weights):
    tp, _, fn = weights
    levels = np.unique(np.concatenate([s for s, _ in files]))[::-1]
    best = None
    for level in [math.inf, *levels]:
        raw, windows = nab_raw(files, weights, level)
        if best is None or raw > best + 1e-12:
            best = raw
    return 100 * (best + fn * windows) / ((tp + fn) * windows)


def skab(files, width=60):
    """files: (true change times, found times) in seconds."""
    scale = np.linspace(-np.pi / 2, np.pi / 2, 1000)
    out = []
    for hit, false, miss in [(1, -0.11, -1), (1, -0.22, -1), (1, -0.11, -2)]:
        total = changes = 0
        y = (hit - false) / 2 * -np.tanh(scale) / np.tanh(np.pi / 2) + (hit - false) / 2 + false
        for truth, found in files:
            windows = [[t, t + width] for t in truth]
            for left, right in zip(windows, windows[1:]):
                if left[1] >= right[0]:
                    right[0] = left[1]
            changes += len(windows)
            inside = np.zeros(len(found), bool)
            for a, b in windows:
                here = [t for t in found if a <= t <= b]
                inside |= [a <= t <= b for t in found]
                if here:
                    step = int((here[0] - a) / (b - a) * 1000)
                    total += y[min(step, 999)]
                else:
                    total += miss
            total += false * np.sum(~inside)
        out.append(100 * (total - miss * changes) / (hit * changes - miss * changes))
    return out


def text(name, values):
    return f"{name} " + " ".join(repr(float(v)) for v in np.atleast_1d(values)) + "\n"


def series_case(name, score, truth, quantile):
    alarm = (score >= np.quantile(score, quantile)).astype(int)
    grader = basic_metricor()
    lines = f"case {name}\n" + text("score", score) + text("truth", truth) + text("alarm", alarm)
    lines += text("auc_roc", metrics.roc_auc_score(truth, score))
    lines += text("auc_pr", metrics.average_precision_score(truth, score))
    lines += text("best_f1", best_f1(score, truth))
    lines += text("f1", metrics.f1_score(truth, alarm))
    for window in (0, 7, 100):
        *_, roc, pr = generate_curve(truth, score, window, "opt", 250)
        lines += text(f"vus_{window}", [roc, pr])
    lines += text("pa_f1", grader.metric_PointF1PA(truth, score))
    lines += text("fc1", best_fc1(score, truth))
    precision = prts.ts_precision(truth, alarm, cardinality="reciprocal", bias="flat")
    recall = prts.ts_recall(truth, alarm, alpha=0.2, cardinality="reciprocal", bias="flat")
    assert np.isclose(recall, grader.range_recall_new(truth, alarm, 0.2)[0])
    lines += text("range", [precision, recall])
    found = pr_from_events(convert_vector_to_events(alarm), convert_vector_to_events(truth),
                           (0, len(truth)))
    lines += text("affiliation", [found["Affiliation_Precision"], found["Affiliation_Recall"]])
    return lines


def make_truth(rng, n, count, longest, at_start=False, at_end=False):
    truth = np.zeros(n, int)
    for _ in range(count):
        length = int(rng.integers(1, longest + 1))
        begin = int(rng.integers(1, n - length))
        truth[begin : begin + length] = 1
    if at_start:
        truth[:3] = 1
    if at_end:
        truth[-4:] = 1
    return truth


def main():
    rng = np.random.default_rng(20260101)
    out = f"# make_metric_golden.py, numpy {np.__version__}, scikit-learn {sklearn.__version__}\n"
    shapes = [("short", 60, 2, 6, {}), ("ends", 300, 3, 25, {"at_start": True, "at_end": True}),
              ("close", 400, 12, 20, {}), ("points", 350, 6, 1, {}), ("long", 500, 1, 200, {})]
    for name, n, count, longest, ends in shapes:
        truth = make_truth(rng, n, count, longest, **ends)
        score = rng.normal(size=n) + 1.2 * np.convolve(truth, np.ones(5) / 5, "same")
        out += series_case(name, score, truth, 0.9)
        out += series_case(name + "_ties", np.round(score), truth, 0.85)
    files = []
    for n in (120, 400, 777, 6000):
        truth = np.zeros(n, int)
        for begin in (n // 3, n // 2, 4 * n // 5):
            truth[begin : begin + n // 20] = 1
        score = np.round(rng.random(n) + 0.25 * truth, 2 if n < 1000 else 1)
        files.append((score, truth))
        out += f"case nab_file\n" + text("score", score) + text("truth", truth)
    out += "case nab\n"
    for name, weights in PROFILES.items():
        out += text(f"best_{name}", nab_best(files, weights))
        out += text(f"raw_{name}", nab_raw(files, weights, 1.1)[0])
    changes = []
    for count in (0, 2, 5):
        truth = np.sort(rng.choice(1000, count, replace=False))
        found = np.sort(rng.choice(1100, 9, replace=False))
        changes.append((truth, found))
        out += "case skab_file\n" + text("changes", truth) + text("found", found)
    out += "case skab\n" + text("score", skab(changes))
    (HERE / "metric_golden.txt").write_text(out)


main()
