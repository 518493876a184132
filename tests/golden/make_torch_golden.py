"""Writes the outputs and gradients of every layer that tests/unit/nn/torch_golden_test.cpp compares
with.

    pip install torch numpy scipy safetensors
    python make_torch_golden.py    # rewrites torch_layers.safetensors beside this file

The reference is PyTorch's functional interface and its autograd in float64; numbers that go in are
those that float32 holds. Parameters are leaves in our layout and permuted into PyTorch's, so that
autograd gives the gradients in our layout as well. What is random here (dropout, noise) is drawn by
a second implementation of nn/random.h.

In the file, for each case: metadata "case.<name>" is an architecture of one layer, "mode.<name>"
training or scoring; tensors "<name>.x0", "<name>.x1" inputs (n, steps, channels), "<name>.y",
"<name>.dy", "<name>.dx0", "<name>.<parameter>", "<name>.d.<parameter>", and of buffers
"<name>.before.<buffer>" and "<name>.after.<buffer>".
"""
import json
import pathlib

import numpy as np
import scipy
import scipy.stats
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20261122
META = {
    "torch": torch.__version__,
    "numpy": np.__version__,
    "scipy": scipy.__version__,
    "script": "make_torch_golden.py",
    "seed": str(SEED),
}
OUT = {}

rng = np.random.default_rng(7)


def numbers(*shape, scale=1.0):
    values = (rng.standard_normal(shape) * scale).astype(np.float32).astype(np.float64)
    return torch.tensor(values)


def channels_first(x):
    return x.permute(0, 2, 1)


channels_last = channels_first


def record(name, spec, inputs, parameters, compute, buffers=None, mode="training"):
    """`compute(xs, parameters, buffers)` gives y and moves the buffers in place."""
    xs = [x.clone().requires_grad_() for x in inputs]
    leaves = {key: value.clone().requires_grad_() for key, value in parameters.items()}
    held = {key: value.clone() for key, value in (buffers or {}).items()}
    for key, value in held.items():
        OUT[f"{name}.before.{key}"] = value.clone()
    y = compute(xs, leaves, held)
    n, steps, channels = inputs[0].shape
    layer = {"name": "layer", **spec}
    if len(inputs) > 1:
        layer["inputs"] = ["input"] * len(inputs)
    META[f"case.{name}"] = json.dumps(
        {"input": {"samples": steps, "channels": channels}, "layers": [layer]}
    )
    META[f"mode.{name}"] = mode
    OUT[f"{name}.y"] = y
    for i, x in enumerate(xs):
        OUT[f"{name}.x{i}"] = x
    for key, value in leaves.items():
        OUT[f"{name}.{key}"] = value
    for key, value in held.items():
        OUT[f"{name}.after.{key}"] = value
    if mode == "scoring":
        return
    dy = numbers(*y.shape)
    (y * dy).sum().backward()
    OUT[f"{name}.dy"] = dy
    for i, x in enumerate(xs):
        OUT[f"{name}.dx{i}"] = x.grad
    for key, value in leaves.items():
        OUT[f"{name}.d.{key}"] = value.grad


# Convolutions: W (kernel, in / groups, out) here, (out, in / groups, kernel) in PyTorch.

CONVOLUTIONS = {
    "plain": (dict(i=3, o=5, k=4, s=2, p=1, d=1, g=1), 12),
    "dilated_groups": (dict(i=4, o=6, k=3, s=1, p=2, d=2, g=2), 9),
    "pointwise": (dict(i=7, o=3, k=1, s=1, p=0, d=1, g=1), 5),
    "one_channel": (dict(i=1, o=1, k=5, s=3, p=0, d=1, g=1), 11),
    "stride_beyond": (dict(i=2, o=3, k=2, s=5, p=1, d=1, g=1), 4),
    "one_sample": (dict(i=3, o=4, k=3, s=1, p=1, d=1, g=1), 1),
    "wide": (dict(i=16, o=33, k=4, s=2, p=1, d=1, g=1), 16),
    "depthwise": (dict(i=5, o=5, k=3, s=2, p=2, d=2, g=5), 10),
}


def conv_spec(kind, c):
    spec = {"type": kind, "in": c["i"], "out": c["o"], "kernel": c["k"], "stride": c["s"]}
    return {**spec, "padding": c["p"], "dilation": c["d"], "groups": c["g"]}


def convolutions():
    for name, (c, steps) in CONVOLUTIONS.items():
        inputs = [numbers(3, steps, c["i"])]
        parameters = {
            "weights": numbers(c["k"], c["i"] // c["g"], c["o"], scale=0.5),
            "bias": numbers(c["o"]),
        }

        def forward(xs, w, _):
            return channels_last(
                F.conv1d(
                    channels_first(xs[0]), w["weights"].permute(2, 1, 0), w["bias"],
                    c["s"], c["p"], c["d"], c["g"],
                )
            )

        record(f"conv1d_{name}", conv_spec("conv1d", c), inputs, parameters, forward)
        # W (in, kernel, out / groups) here, (in, out / groups, kernel) in PyTorch.
        parameters = {
            "weights": numbers(c["i"], c["k"], c["o"] // c["g"], scale=0.5),
            "bias": numbers(c["o"]),
        }
        if (steps - 1) * c["s"] + c["d"] * (c["k"] - 1) + 1 - 2 * c["p"] < 1:
            continue

        def transposed(xs, w, _):
            return channels_last(
                F.conv_transpose1d(
                    channels_first(xs[0]), w["weights"].permute(0, 2, 1), w["bias"],
                    c["s"], c["p"], 0, c["g"], c["d"],
                )
            )

        spec = conv_spec("conv_transpose1d", c)
        record(f"conv_transpose1d_{name}", spec, inputs, parameters, transposed)


def dense():
    for i, o, steps, channels in [(12, 5, 4, 3), (6, 1, 1, 6), (40, 33, 20, 2)]:
        record(
            f"dense_{i}_{o}",
            {"type": "dense", "in": i, "out": o},
            [numbers(4, steps, channels)],
            {"weights": numbers(i, o, scale=0.5), "bias": numbers(o)},
            lambda xs, w, _: (xs[0].flatten(1) @ w["weights"] + w["bias"])[:, None, :],
        )


# Spectral norm: PyTorch's own hooks hold W as a matrix of its own layout; u and v are carried over.
# Ours begins with v from u, as Miyato et al. and torch.nn.utils.spectral_norm do.


def normalised(v):
    return v / v.norm()


def spectral():
    def hooked(module, weight, u, forward, dim):
        """One step of power iteration and W / sigma by PyTorch's hook, on a weight in our hands."""
        module = torch.nn.utils.spectral_norm(module.double(), dim=dim)
        hook = next(iter(module._forward_pre_hooks.values()))
        module.train()
        del module.weight_orig
        module.weight_orig = weight
        module.weight_u = u.clone()
        module.weight_v = torch.zeros(weight.numel() // u.numel(), dtype=torch.float64)
        divided = hook.compute_weight(module, do_power_iteration=True)
        return forward(divided), module.weight_u, module.weight_v

    i, o, k = 3, 5, 4
    u = normalised(numbers(o)).float().double()
    zeros = torch.zeros

    def dense_forward(xs, w, held):
        y, held["u"][:], held["v"][:] = hooked(
            torch.nn.Linear(i, o), w["weights"].T, held["u"],
            lambda weight: F.linear(xs[0].flatten(1), weight, w["bias"])[:, None, :], 0,
        )
        return y

    record(
        "dense_spectral", {"type": "dense", "in": i, "out": o, "spectral_norm": True},
        [numbers(4, 1, i)], {"weights": numbers(i, o), "bias": numbers(o)}, dense_forward,
        {"u": u, "v": zeros(i, dtype=torch.float64)},
    )

    c = dict(i=i, o=o, k=k, s=2, p=1, d=1, g=1)

    def conv_forward(xs, w, held):
        # W_mat of the hook is (out, in * kernel), ours the transpose of (kernel * in, out).
        y, held["u"][:], v = hooked(
            torch.nn.Conv1d(i, o, k), w["weights"].permute(2, 1, 0), held["u"],
            lambda weight: channels_last(
                F.conv1d(channels_first(xs[0]), weight, w["bias"], c["s"], c["p"])
            ), 0,
        )
        held["v"][:] = v.reshape(i, k).T.flatten()
        return y

    record(
        "conv1d_spectral", {**conv_spec("conv1d", c), "spectral_norm": True},
        [numbers(3, 8, i)], {"weights": numbers(k, i, o), "bias": numbers(o)}, conv_forward,
        {"u": u, "v": zeros(k * i, dtype=torch.float64)},
    )

    def transposed_forward(xs, w, held):
        # W_mat of the hook is (out, in * kernel), ours the transpose of (in * kernel, out).
        y, held["u"][:], held["v"][:] = hooked(
            torch.nn.ConvTranspose1d(i, o, k), w["weights"].permute(0, 2, 1), held["u"],
            lambda weight: channels_last(
                F.conv_transpose1d(channels_first(xs[0]), weight, w["bias"], c["s"], c["p"])
            ), 1,
        )
        return y

    record(
        "conv_transpose1d_spectral", {**conv_spec("conv_transpose1d", c), "spectral_norm": True},
        [numbers(3, 8, i)], {"weights": numbers(i, k, o), "bias": numbers(o)},
        transposed_forward, {"u": u, "v": zeros(i * k, dtype=torch.float64)},
    )


# Norms.


def norms():
    def parameters(channels):
        return {"weights": numbers(channels), "bias": numbers(channels)}

    for steps, channels in [(6, 3), (1, 4), (5, 1), (4, 17)]:
        x = numbers(4, steps, channels, scale=2) + numbers(channels)
        x = x.float().double()
        statistics = {
            "mean": numbers(channels),
            "variance": (numbers(channels) ** 2 + 0.5).float().double(),
        }
        for mode in ["training", "scoring"]:
            record(
                f"batch_norm_{steps}_{channels}_{mode}",
                {"type": "batch_norm", "in": channels, "epsilon": 1e-3, "momentum": 0.3},
                [x], parameters(channels),
                lambda xs, w, held: channels_last(
                    F.batch_norm(
                        channels_first(xs[0]), held["mean"], held["variance"], w["weights"],
                        w["bias"], mode == "training", 0.3, 1e-3,
                    )
                ),
                statistics, mode,
            )
        record(
            f"layer_norm_{steps}_{channels}",
            {"type": "layer_norm", "in": channels, "epsilon": 1e-3},
            [x], parameters(channels),
            lambda xs, w, _: F.layer_norm(xs[0], (channels,), w["weights"], w["bias"], 1e-3),
        )
        if steps == 1:
            continue  # PyTorch refuses a single step
        record(
            f"instance_norm_{steps}_{channels}",
            {"type": "instance_norm", "in": channels, "epsilon": 1e-3},
            [x], parameters(channels),
            lambda xs, w, _: channels_last(
                F.instance_norm(
                    channels_first(xs[0]), weight=w["weights"], bias=w["bias"], eps=1e-3
                )
            ),
        )


# Activations.


def activations():
    x = [numbers(3, 5, 7, scale=3)]
    kinds = {
        "leaky_relu": ({"slope": 0.2}, lambda x: F.leaky_relu(x, 0.2)),
        "relu": ({}, F.relu),
        "gelu": ({}, F.gelu),
        "tanh": ({}, torch.tanh),
        "sigmoid": ({}, torch.sigmoid),
        "softmax": ({"in": 7}, lambda x: F.softmax(x, dim=2)),
    }
    for name, (fields, f) in kinds.items():
        record(name, {"type": name, **fields}, x, {}, lambda xs, w, _: f(xs[0]))


# Pools.


def pools():
    for steps, channels, kernel, stride in [(9, 3, 3, 2), (4, 1, 3, 9), (8, 17, 2, 2), (1, 2, 1, 1)]:
        x = [numbers(3, steps, channels)]
        fields = {"in": channels, "kernel": kernel, "stride": stride}
        for name, f in [("max_pool", F.max_pool1d), ("average_pool", F.avg_pool1d)]:
            record(
                f"{name}_{steps}_{channels}", {"type": name, **fields}, x, {},
                lambda xs, w, _: channels_last(f(channels_first(xs[0]), kernel, stride)),
            )
    record(
        "upsample", {"type": "upsample", "in": 3, "stride": 4}, [numbers(2, 5, 3)], {},
        lambda xs, w, _: channels_last(F.interpolate(channels_first(xs[0]), scale_factor=4)),
    )


# Recurrent: W (in, gates), U (out, gates) here, both transposed in PyTorch.


def recurrent():
    for kind, module, gates in [("gru", torch.nn.GRU, 3), ("lstm", torch.nn.LSTM, 4)]:
        for steps, i, o in [(6, 3, 5), (1, 2, 3), (4, 1, 1), (9, 4, 20)]:
            parameters = {
                "weights": numbers(i, gates * o, scale=0.5),
                "recurrent_weights": numbers(o, gates * o, scale=0.4),
                "bias": numbers(gates * o),
            }
            if kind == "gru":
                parameters["recurrent_bias"] = numbers(gates * o)

            def forward(xs, w, _):
                layer = module(i, o, batch_first=True).double()
                zeros = torch.zeros(gates * o, dtype=torch.float64)
                theirs = {
                    "weight_ih_l0": w["weights"].T,
                    "weight_hh_l0": w["recurrent_weights"].T,
                    "bias_ih_l0": w["bias"],
                    "bias_hh_l0": w.get("recurrent_bias", zeros),
                }
                return torch.func.functional_call(layer, theirs, xs[0])[0]

            record(
                f"{kind}_{steps}_{i}_{o}", {"type": kind, "in": i, "out": o},
                [numbers(3, steps, i)], parameters, forward,
            )


# What is random: nn/random.h once more.

MASK64 = (1 << 64) - 1
MASK32 = (1 << 32) - 1


def derive_seed(seed, index):
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & MASK64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
    return z ^ (z >> 31)


def random_bits(seed, index):
    def mix(x):
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK32
        x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK32
        return x ^ (x >> 16)

    return mix(mix((index + seed) & MASK32) ^ (seed >> 32))


def normal_at(seed, index):
    return scipy.stats.norm.ppf(((derive_seed(seed, index) >> 11) + 0.5) * 2.0**-53)


def randomness():
    n, steps, channels = 3, 4, 5
    rate = 0.4
    least = int(rate * 2**32)
    kept = [
        [random_bits(derive_seed(SEED, row), i) >= least for i in range(steps * channels)]
        for row in range(n)
    ]
    mask = torch.tensor(kept).reshape(n, steps, channels).double() / (1 - rate)
    record(
        "dropout", {"type": "dropout", "rate": rate}, [numbers(n, steps, channels)], {},
        lambda xs, w, _: xs[0] * mask,
    )
    noise = torch.tensor(
        [[normal_at(derive_seed(SEED, row), i) for i in range(steps * channels)]
         for row in range(n)]
    ).reshape(n, steps, channels)
    record(
        "reparameterise", {"type": "reparameterise", "out": channels},
        [numbers(n, steps, 2 * channels)], {},
        lambda xs, w, _: xs[0][:, :, :channels]
        + torch.exp(xs[0][:, :, channels:] / 2) * noise,
    )


# The rest.


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.scale = scale
        return x.clone()

    @staticmethod
    def backward(ctx, dy):
        return -ctx.scale * dy, None


def rest():
    record(
        "add", {"type": "add"}, [numbers(2, 3, 4) for _ in range(3)], {},
        lambda xs, w, _: xs[0] + xs[1] + xs[2],
    )
    record(
        "concat", {"type": "concat", "out": 7}, [numbers(2, 3, c) for c in (2, 1, 4)], {},
        lambda xs, w, _: torch.cat(xs, dim=2),
    )
    record(
        "reshape", {"type": "reshape", "out": 6}, [numbers(2, 4, 3)], {},
        lambda xs, w, _: xs[0].reshape(2, 2, 6),
    )
    record(
        "gradient_reversal", {"type": "gradient_reversal"}, [numbers(2, 4, 3)], {},
        lambda xs, w, held: Reversal.apply(xs[0], held["scale"].item()),
        {"scale": torch.tensor([0.75], dtype=torch.float64)},
    )


for section in [
    convolutions, dense, spectral, norms, activations, pools, recurrent, randomness, rest,
]:
    section()

tensors = {
    key: np.ascontiguousarray(value.detach().numpy().astype(np.float32))
    for key, value in OUT.items()
}
save_file(tensors, HERE / "torch_layers.safetensors", metadata=META)
