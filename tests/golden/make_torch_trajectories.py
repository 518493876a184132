"""Writes what PyTorch does in 20 steps of training; tests/unit/nn/trajectory_test.cpp does the same.

    pip install torch numpy scipy safetensors
    python make_torch_trajectories.py    # rewrites torch_trajectories.safetensors beside this file

Three trainings from weights and batches that are written too: a convolutional autoencoder with
batch norm, a variational one, and a GAN after DCGAN with one-sided label smoothing. Each runs twice,
in float32 and in float64; the float64 losses are written as a float32 and what it lacks.

The noise of the variational autoencoder is that of src/nn/random.h, worked out here once more:
derive_seed() is SplitMix64, and the normal is scipy's inverse of its distribution.
"""
import json
import pathlib

import numpy as np
import scipy
import scipy.special
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent
META = {
    "torch": torch.__version__,
    "numpy": np.__version__,
    "scipy": scipy.__version__,
    "script": "make_torch_trajectories.py",
}
OUT = {}
STEPS, ROWS, SAMPLES, CHANNELS, LATENT = 20, 20, 32, 3, 6
MASK = (1 << 64) - 1
rng = np.random.default_rng(20261122)
torch.manual_seed(20261122)
torch.set_num_threads(1)


def conv(name, kind, i, o, kernel=4, stride=2, padding=1):
    return {"name": name, "type": kind, "in": i, "out": o, "kernel": kernel, "stride": stride,
            "padding": padding}


def norm(name, channels):
    return {"name": name, "type": "batch_norm", "in": channels}


def leaky(name):
    return {"name": name, "type": "leaky_relu", "slope": 0.2}


def dense(name, i, o):
    return {"name": name, "type": "dense", "in": i, "out": o}


def reshape(name, channels):
    return {"name": name, "type": "reshape", "out": channels}


def window(layers, **more):
    return {"input": {"channels": CHANNELS, "samples": SAMPLES}, "layers": layers, **more}


NETWORKS = {
    "autoencoder": window([
        conv("encoder1", "conv1d", CHANNELS, 16), leaky("encoder1_relu"),
        conv("encoder2", "conv1d", 16, 24), norm("encoder2_norm", 24), leaky("encoder2_relu"),
        conv("bottleneck", "conv1d", 24, 8, 1, 1, 0),
        conv("decoder3", "conv_transpose1d", 8, 24, 1, 1, 0), norm("decoder3_norm", 24),
        leaky("decoder3_relu"),
        conv("decoder2", "conv_transpose1d", 24, 16), norm("decoder2_norm", 16),
        leaky("decoder2_relu"), conv("decoder1", "conv_transpose1d", 16, CHANNELS),
    ]),
    "variational": window([
        conv("encoder1", "conv1d", CHANNELS, 12), leaky("encoder1_relu"),
        conv("encoder2", "conv1d", 12, 16), leaky("encoder2_relu"),
        dense("code", 16 * SAMPLES // 4, 2 * LATENT),
        {"name": "draw", "type": "reparameterise", "out": LATENT},
        dense("spread", LATENT, 16 * SAMPLES // 4), reshape("rows", 16), leaky("rows_relu"),
        conv("decoder2", "conv_transpose1d", 16, 12), leaky("decoder2_relu"),
        conv("decoder1", "conv_transpose1d", 12, CHANNELS),
    ], outputs=["decoder1", "code"]),
    "generator": {"input": {"channels": 8, "samples": 1}, "layers": [
        dense("spread", 8, 24 * SAMPLES // 4), reshape("rows", 24), norm("rows_norm", 24),
        {"name": "rows_relu", "type": "relu"},
        conv("middle", "conv_transpose1d", 24, 12), norm("middle_norm", 12),
        {"name": "middle_relu", "type": "relu"},
        conv("last", "conv_transpose1d", 12, CHANNELS), {"name": "bound", "type": "tanh"},
    ]},
    "discriminator": window([
        conv("first", "conv1d", CHANNELS, 12), leaky("first_relu"),
        conv("second", "conv1d", 12, 24), norm("second_norm", 24), leaky("second_relu"),
        dense("verdict", 24 * SAMPLES // 4, 1),
    ]),
}


def derive_seed(seed, index):
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def noise(step_seed, node, rows, numbers):
    """What the reparameterise layer at place `node` of a network draws in a step."""
    layer_seed = derive_seed(step_seed, node)
    drawn = np.empty((rows, numbers))
    for row in range(rows):
        row_seed = derive_seed(layer_seed, row)
        for place in range(numbers):
            middle = (derive_seed(row_seed, place) >> 11) + 0.5
            drawn[row, place] = scipy.special.ndtri(middle * 2.0**-53)
    return torch.tensor(drawn)


class Net(torch.nn.Module):
    """An architecture as PyTorch has it. Values are (n, channels, samples) inside, (n, samples *
    channels) outside and in front of a dense layer."""

    def __init__(self, architecture):
        super().__init__()
        self.architecture = architecture
        self.made = torch.nn.ModuleDict()
        for layer in architecture["layers"]:
            kind = layer["type"]
            if kind in ("conv1d", "conv_transpose1d"):
                make = torch.nn.Conv1d if kind == "conv1d" else torch.nn.ConvTranspose1d
                self.made[layer["name"]] = make(
                    layer["in"], layer["out"], layer["kernel"], layer["stride"], layer["padding"])
            elif kind == "dense":
                self.made[layer["name"]] = torch.nn.Linear(layer["in"], layer["out"])
            elif kind == "batch_norm":
                self.made[layer["name"]] = torch.nn.BatchNorm1d(layer["in"])

    def forward(self, x, step_seed=0):
        heads = {}
        h = x.reshape(len(x), -1, self.architecture["input"]["channels"]).transpose(1, 2)
        for place, layer in enumerate(self.architecture["layers"]):
            kind = layer["type"]
            if kind == "dense":
                h = self.made[layer["name"]](h.transpose(1, 2).reshape(len(x), -1))[:, :, None]
            elif layer["name"] in self.made:
                h = self.made[layer["name"]](h)
            elif kind == "leaky_relu":
                h = F.leaky_relu(h, layer["slope"])
            elif kind == "relu":
                h = F.relu(h)
            elif kind == "tanh":
                h = torch.tanh(h)
            elif kind == "reshape":
                h = h.transpose(1, 2).reshape(len(x), -1, layer["out"]).transpose(1, 2)
            elif kind == "reparameterise":
                mean, log_variance = h[:, : layer["out"], 0], h[:, layer["out"] :, 0]
                h = mean
                if self.training:
                    drawn = noise(step_seed, place, len(x), layer["out"]).to(x.dtype)
                    h = mean + torch.exp(0.5 * log_variance) * drawn
                h = h[:, :, None]
            heads[layer["name"]] = h.transpose(1, 2).reshape(len(x), -1)
        names = self.architecture.get("outputs", [self.architecture["layers"][-1]["name"]])
        return [heads[name] for name in names]

    def ours(self):
        """All arrays by our names and in our order of axes."""
        arrays = {}
        for layer in self.architecture["layers"]:
            if layer["name"] not in self.made:
                continue
            module, name = self.made[layer["name"]], layer["name"]
            w = module.weight.detach()
            arrays[f"{name}.weights"] = {
                "conv1d": lambda: w.permute(2, 1, 0),
                "conv_transpose1d": lambda: w.permute(0, 2, 1),
                "dense": lambda: w.T,
                "batch_norm": lambda: w,
            }[layer["type"]]()
            arrays[f"{name}.bias"] = module.bias.detach()
            if layer["type"] == "batch_norm":
                arrays[f"{name}.mean"] = module.running_mean
                arrays[f"{name}.variance"] = module.running_var
        return {key: value.clone() for key, value in arrays.items()}


def make_net(name):
    net = Net(NETWORKS[name])
    for module in net.made.values():  # away from 1 and 0, which would hide a mistake
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    META[f"{name}.architecture"] = json.dumps(NETWORKS[name])
    for key, value in net.ours().items():
        OUT[f"{name}.{key}"] = value
    return net


def run_autoencoder(net, dtype):
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for step in range(STEPS):
        x = OUT["batches"][step].to(dtype)
        loss = F.mse_loss(net(x)[0], x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append([loss.item()])
    net.eval()
    x = OUT["batches"][0].to(dtype)
    return losses, F.mse_loss(net(x)[0], x).item()


def run_variational(net, dtype):
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    losses = []
    for step in range(STEPS):
        x = OUT["batches"][step].to(dtype)
        made, code = net(x, step_seed=derive_seed(77, step))
        mean, log_variance = code[:, :LATENT], code[:, LATENT:]
        error = F.mse_loss(made, x)
        kl = -0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp()) / len(x)
        loss = error + 0.02 * kl
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append([error.item(), kl.item()])
    net.eval()
    x = OUT["batches"][0].to(dtype)
    return losses, F.mse_loss(net(x)[0], x).item()


def run_gan(nets, dtype):
    generator, critic = nets
    options = {"lr": 1e-3, "betas": (0.5, 0.999)}
    generator_adam = torch.optim.Adam(generator.parameters(), **options)
    critic_adam = torch.optim.Adam(critic.parameters(), **options)
    bce = F.binary_cross_entropy_with_logits
    losses = []
    for step in range(STEPS):
        x, z = OUT["batches"][step].to(dtype), OUT["seeds"][step].to(dtype)
        fake = generator(z)[0]
        real_verdict, fake_verdict = critic(x)[0], critic(fake.detach())[0]
        critic_loss = bce(real_verdict, torch.full_like(real_verdict, 0.9)) + bce(
            fake_verdict, torch.zeros_like(fake_verdict))
        critic_adam.zero_grad()
        critic_loss.backward()
        critic_adam.step()
        verdict = critic(fake)[0]
        generator_loss = bce(verdict, torch.ones_like(verdict))
        generator_adam.zero_grad()
        generator_loss.backward()
        generator_adam.step()
        losses.append([critic_loss.item(), generator_loss.item()])
    generator.eval()
    critic.eval()
    return losses, critic(generator(OUT["seeds"][0].to(dtype))[0])[0].mean().item()


def record(name, run, *nets):
    """The losses of each step, and a number of the trained networks in scoring mode."""
    begun = [{k: v.clone() for k, v in net.state_dict().items()} for net in nets]
    for dtype in (torch.float32, torch.float64):
        for net, state in zip(nets, begun):
            net.load_state_dict(state)
            net.to(dtype).train()
        losses, scored = run(nets[0] if len(nets) == 1 else nets, dtype)
        numbers = np.array([*np.array(losses).reshape(-1), scored])
        key = "float" if dtype == torch.float32 else "double"
        OUT[f"{name}.{key}"] = torch.tensor(numbers.astype(np.float32))
        rest = numbers - numbers.astype(np.float32)
        if key == "double":
            OUT[f"{name}.double_rest"] = torch.tensor(rest.astype(np.float32))
        print(name, key, losses[0], losses[-1], scored)


phase = rng.uniform(0, 6.28, (STEPS, ROWS, 1, CHANNELS))
speed = rng.uniform(0.2, 0.6, (STEPS, ROWS, 1, CHANNELS))
time = np.arange(SAMPLES).reshape(1, 1, SAMPLES, 1)
batches = np.sin(speed * time + phase) + 0.1 * rng.standard_normal((STEPS, ROWS, SAMPLES, CHANNELS))
OUT["batches"] = torch.tensor(batches.reshape(STEPS, ROWS, -1).astype(np.float32))
OUT["seeds"] = torch.tensor(rng.standard_normal((STEPS, ROWS, 8)).astype(np.float32))
record("autoencoder_run", run_autoencoder, make_net("autoencoder"))
record("variational_run", run_variational, make_net("variational"))
record("gan_run", run_gan, make_net("generator"), make_net("discriminator"))
save_file(
    {k: np.ascontiguousarray(v.detach().numpy().astype(np.float32)) for k, v in OUT.items()},
    HERE / "torch_trajectories.safetensors",
    META,
)
(HERE / "torch_trajectories.safetensors").chmod(0o644)
