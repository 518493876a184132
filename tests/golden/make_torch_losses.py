"""Writes the reference numbers of losses and optimisers that tests/unit/nn compare with.

    pip install torch numpy safetensors
    python make_torch_losses.py    # rewrites torch_losses.safetensors beside this file

The reference is PyTorch: torch.nn.functional, torch.distributions and torch.optim where they have
the thing, its published formula under torch.autograd where they have not (MMD, CORAL, gradient
penalty by a second backward pass). Computed in float64, optimisers in float32 as they run.
"""
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
META = {"torch": torch.__version__, "numpy": np.__version__, "script": "make_torch_losses.py"}
OUT = {}

rng = np.random.default_rng(20261122)


def numbers(*shape, scale=1.0):
    """float32 numbers as float64 tensors, so that both sides start from the same."""
    return torch.tensor((rng.standard_normal(shape) * scale).astype(np.float32).astype(np.float64))


def record(name, value, inputs):
    """The loss, what it was computed from, and its gradient at each input that has one."""
    value.backward()
    OUT[f"{name}.value"] = value.detach().reshape(1)
    for key, tensor in inputs.items():
        OUT[f"{name}.{key}"] = tensor.detach()
        if tensor.requires_grad:
            OUT[f"{name}.d{key}"] = tensor.grad


def free(*shape, scale=1.0):
    return numbers(*shape, scale=scale).requires_grad_()


def pointwise():
    y, t = free(5, 7), numbers(5, 7)
    record("squared", F.mse_loss(y, t), {"y": y, "t": t})
    y, t = free(5, 7), numbers(5, 7)
    record("absolute", F.l1_loss(y, t), {"y": y, "t": t})
    y, t = free(5, 7, scale=2), numbers(5, 7)
    record("huber", F.huber_loss(y, t, delta=0.7), {"y": y, "t": t})


def logits():
    z = free(6, 3, scale=4)
    t = torch.tensor(rng.uniform(size=(6, 3)).astype(np.float32).astype(np.float64))
    record("binary", F.binary_cross_entropy_with_logits(z, t), {"y": z, "t": t})
    z = free(6, 4, scale=4)
    t = torch.softmax(numbers(6, 4), dim=1).float().double()
    record("softmax", F.cross_entropy(z, t), {"y": z, "t": t})
    z = free(5, 4, scale=2)
    labels = torch.tensor([0, 3, 2, 2, 1])
    record("smoothed", F.cross_entropy(z, labels, label_smoothing=0.1), {"y": z, "t": labels.double()})


def critics():
    bce = F.binary_cross_entropy_with_logits
    critic = {
        "non_saturating": lambda r, f: bce(r, torch.full_like(r, 0.9)) + bce(f, torch.zeros_like(f)),
        "hinge": lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean(),
        "wasserstein": lambda r, f: f.mean() - r.mean(),
    }
    generator = {
        "non_saturating": lambda f: bce(f, torch.ones_like(f)),
        "hinge": lambda f: -f.mean(),
        "wasserstein": lambda f: -f.mean(),
    }
    for name in critic:
        real, fake = free(6, 1, scale=1.5), free(4, 1, scale=1.5)
        record(f"critic.{name}", critic[name](real, fake), {"real": real, "fake": fake})
        fake = free(4, 1, scale=1.5)
        record(f"generator.{name}", generator[name](fake), {"fake": fake})


def latent():
    # two time steps of 3 means and 3 log-variances
    y = free(4, 12)
    parts = y.reshape(4, 2, 2, 3)
    q = torch.distributions.Normal(parts[:, :, 0], torch.exp(0.5 * parts[:, :, 1]))
    p = torch.distributions.Normal(torch.zeros(()).double(), torch.ones(()).double())
    record("kl", torch.distributions.kl_divergence(q, p).sum() / 4, {"y": y})


def distances():
    widths = [0.5, 1.0, 3.0]

    def kernel(x, y):
        squared = ((x[:, None, :] - y[None, :, :]) ** 2).sum(-1)
        return sum(torch.exp(-squared / (2 * w * w)) for w in widths).mean() / len(widths)

    a, b = free(5, 3), free(4, 3)
    record("mmd", kernel(a, a) + kernel(b, b) - 2 * kernel(a, b), {"a": a, "b": b})
    a, b = free(7, 4), free(5, 4, scale=2)
    gap = torch.cov(a.T) - torch.cov(b.T)
    record("coral", (gap**2).sum() / (4 * 4 * 4), {"a": a, "b": b})
    real, fake = numbers(6, 5), free(4, 5)
    record("features", F.mse_loss(fake.mean(0), real.mean(0)), {"real": real, "fake": fake})


def gradient_penalty():
    """Critic 4 -> 6 -> 1 with tanh; weights (in, out), as ours are."""
    for name, penalty in {
        "zero_centred": lambda s: 2.5 * s**2,
        "one_centred": lambda s: 10 * (s - 1) ** 2,
    }.items():
        w1, b1, w2, b2 = free(4, 6), free(6), free(6, 1), free(1)
        x = numbers(5, 4).requires_grad_()
        out = torch.tanh(x @ w1 + b1) @ w2 + b2
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)
        s = slope.norm(dim=1)
        loss = penalty(s).mean()
        # b2 moves D by a constant: PyTorch finds no path to it.
        grads = torch.autograd.grad(loss, [w1, b1, w2, b2], allow_unused=True)
        OUT[f"penalty.{name}.value"] = loss.detach().reshape(1)
        OUT[f"penalty.{name}.x"] = x.detach()
        for key, value, grad in zip(["w1", "b1", "w2", "b2"], [w1, b1, w2, b2], grads):
            OUT[f"penalty.{name}.{key}"] = value.detach()
            OUT[f"penalty.{name}.d{key}"] = torch.zeros_like(value) if grad is None else grad


def optimisers():
    """10 steps, each with a gradient of its own and a rate of its own."""
    count, steps = 11, 10
    start = numbers(count).float()
    gradients = numbers(steps, count).float()
    factors = [1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 2.0, 1.0, 1.0, 0.1]
    OUT["optimiser.start"], OUT["optimiser.gradients"] = start, gradients
    OUT["optimiser.factors"] = torch.tensor(factors)
    kinds = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
        "sgd_decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.05),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.01),
        "adam": lambda p: torch.optim.Adam(p, lr=0.01),
        "adam_decay": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.9), weight_decay=0.1),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.1),
    }
    for name, make in kinds.items():
        w = torch.nn.Parameter(start.clone())
        optimiser = make([w])
        rate = optimiser.param_groups[0]["lr"]
        trace = []
        for gradient, factor in zip(gradients, factors):
            optimiser.param_groups[0]["lr"] = rate * factor
            w.grad = gradient.clone()
            optimiser.step()
            trace.append(w.detach().clone())
        OUT[f"optimiser.{name}"] = torch.stack(trace)

    w = torch.nn.Parameter(start.clone())
    w.grad = gradients[0].clone()
    OUT["clip.norm"] = torch.nn.utils.clip_grad_norm_([w], 1.5).reshape(1)
    OUT["clip.clipped"] = w.grad.clone()

    average = [start.clone()]
    update = torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    trace = []
    for row in gradients:
        update(average, [row], None)
        trace.append(average[0].clone())
    OUT["average.trace"] = torch.stack(trace)

    w = torch.nn.Parameter(start.clone())
    optimiser = torch.optim.SGD([w], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=20, eta_min=0.1)
    rates = []
    for _ in range(21):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        cosine.step()
    OUT["schedule.cosine"] = torch.tensor(rates)


pointwise()
logits()
critics()
latent()
distances()
gradient_penalty()
optimisers()
save_file(
    {k: np.ascontiguousarray(v.numpy().astype(np.float32)) for k, v in OUT.items()},
    HERE / "torch_losses.safetensors",
    META,
)
