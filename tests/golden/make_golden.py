"""Writes the reference numbers that tests/unit/nn and tests/unit/detect compare with.

    pip install numpy==2.* scipy==1.* safetensors
    python make_golden.py          # rewrites *.safetensors beside this file

Independent of the code under test: convolutions by scipy.signal, their gradients by linearity
(one unit vector at a time), the tail by L-moments (scipy.stats.lmoment) and genpareto.sf.
"""
import pathlib

import numpy as np
import scipy
import scipy.signal
import scipy.stats
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
META = {"numpy": np.__version__, "scipy": scipy.__version__, "script": "make_golden.py"}


def conv1d(x, w, stride, padding):
    """x (t, in), w (kernel, in, out) -> (t', out), without bias."""
    padded = np.pad(x, ((padding, padding), (0, 0)))
    columns = [
        sum(
            scipy.signal.correlate(padded[:, i], w[:, i, o], mode="valid")
            for i in range(w.shape[1])
        )
        for o in range(w.shape[2])
    ]
    return np.stack(columns, axis=1)[::stride]


def conv_transpose1d(x, w, stride, padding):
    """x (t, in), w (in, kernel, out) -> (t', out), without bias: zeros between the samples, then a
    full convolution."""
    stuffed = np.zeros(((x.shape[0] - 1) * stride + 1, x.shape[1]))
    stuffed[::stride] = x
    columns = [
        sum(
            scipy.signal.convolve(stuffed[:, i], w[i, :, o], mode="full")
            for i in range(w.shape[0])
        )
        for o in range(w.shape[2])
    ]
    full = np.stack(columns, axis=1)
    return full[padding : full.shape[0] - padding]


def gradient(f, at, dy):
    """d sum(dy * f) / d at for a linear f."""
    out = np.zeros(at.size)
    for i in range(at.size):
        unit = np.zeros(at.size)
        unit[i] = 1
        out[i] = np.sum(dy * f(unit.reshape(at.shape)))
    return out.reshape(at.shape)


def layers():
    rng = np.random.default_rng(20)
    tensors = {}
    cases = {
        "conv1d.k8s4p2": (conv1d, 32, (8, 3, 9), 4, 2),
        "conv1d.k4s2p1": (conv1d, 15, (4, 2, 8), 2, 1),
        "conv1d.k3s1p0": (conv1d, 7, (3, 1, 1), 1, 0),
        "conv_transpose1d.k8s4p2": (conv_transpose1d, 8, (9, 8, 3), 4, 2),
        "conv_transpose1d.k4s2p1": (conv_transpose1d, 5, (2, 4, 8), 2, 1),
        "conv_transpose1d.k3s1p0": (conv_transpose1d, 4, (1, 3, 1), 1, 0),
    }
    for name, (f, samples, shape, stride, padding) in cases.items():
        inputs = shape[1] if f is conv1d else shape[0]
        # float32 numbers, so that the files hold exactly what was computed with.
        x = rng.normal(size=(samples, inputs)).astype(np.float32).astype(np.float64)
        w = rng.normal(size=shape).astype(np.float32).astype(np.float64)
        b = rng.normal(size=shape[2]).astype(np.float32).astype(np.float64)
        y = f(x, w, stride, padding) + b
        dy = rng.normal(size=y.shape).astype(np.float32).astype(np.float64)
        tensors |= {
            f"{name}.x": x,
            f"{name}.w": w,
            f"{name}.b": b,
            f"{name}.y": y,
            f"{name}.dy": dy,
            f"{name}.dx": gradient(lambda v: f(v, w, stride, padding), x, dy),
            f"{name}.dw": gradient(lambda v: f(x, v, stride, padding), w, dy),
            f"{name}.db": dy.sum(axis=0),
        }
    save_file({k: v.astype(np.float32) for k, v in tensors.items()}, HERE / "layers.safetensors", META)


def calibration():
    rng = np.random.default_rng(21)
    tensors = {}
    for name, scores in {
        "heavy": rng.pareto(4.0, size=400) + 1,  # shape about 1/4
        "light": rng.gamma(30.0, size=400),  # shape below 0: held at 0
    }.items():
        scores = scores.astype(np.float32).astype(np.float64)
        ordered = np.sort(scores)
        n = ordered.size
        u = ordered[n - n // 10 - 1]
        excess = ordered[ordered > u] - u
        l1, l2 = scipy.stats.lmoment(excess, order=[1, 2])
        # Drawn to the exponential as calibration.h says, at the same mean excess.
        shape = max(0.0, (2 - l1 / l2) * excess.size / (excess.size + 30))
        scale = (1 - shape) * l1
        at = np.array([u + k * scale for k in (0.1, 1, 3, 10, 25)]).astype(np.float32).astype(np.float64)
        p = (1 + excess.size) / (n + 1) * scipy.stats.genpareto.sf(at - u, shape, scale=scale)
        tensors |= {
            f"{name}.scores": scores,
            f"{name}.tail": np.array([u, scale, shape]),
            f"{name}.at": at,
            f"{name}.p": p,
        }
    save_file({k: v.astype(np.float32) for k, v in tensors.items()}, HERE / "calibration.safetensors", META)


layers()
calibration()
