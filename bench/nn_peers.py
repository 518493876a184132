#!/usr/bin/env python3
"""The neural engine beside PyTorch and ONNX Runtime, on the same weights, in one run.

`anomalyctl bench nn --out FILE` writes the reference net, 64 windows and its own results. The peers
load the weights; their results must agree to 1e-4 before anything is timed. Then rounds: the engine,
each mode of each peer, the engine again, and so on, so that a machine whose speed changes does not
favour one. One thread each, by the thread's CPU clock; training with two threads by the wall clock.
Figures are medians over the rounds, the peer's that of its best mode.

Needs numpy, safetensors, torch, onnx and onnxruntime; what is not installed is left out.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  after the threads are pinned
from safetensors import safe_open  # noqa: E402

TOLERANCE = 1e-4
BATCHES = (1, 64)


def load(path):
    with safe_open(path, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        architecture = json.loads(file.metadata()["architecture"])
    return architecture, tensors


def seconds_of(call, seconds, clock=time.thread_time):
    """Median time of one call over repeats of about 3 ms."""
    call()
    begin = clock()
    call()
    calls = max(1, int(3e-3 / max(clock() - begin, 1e-7)))
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 7 or time.perf_counter() < end:
        begin = clock()
        for _ in range(calls):
            call()
        times.append((clock() - begin) / calls)
    return statistics.median(times)


def check(name, got, expected):
    scale = max(1.0, float(np.abs(expected).max()))
    worst = float(np.abs(got - expected).max()) / scale
    if not worst <= TOLERANCE:
        sys.exit(f"{name}: differs by {worst:.2e} of the largest output, at most {TOLERANCE} expected")
    return worst


class Torch:
    """The net as torch modules; windows are (n, channels, samples)."""

    def __init__(self, architecture, tensors, with_compile):
        import torch

        self.torch = torch
        self.name = f"PyTorch {torch.__version__}"
        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)
        if with_compile:
            # A batch size, mode or thread count is compiled for; past the limit it would run eagerly.
            import torch._dynamo

            torch._dynamo.config.recompile_limit = 256
            torch._dynamo.config.accumulated_recompile_limit = 1024
        self.architecture = architecture
        self.tensors = tensors
        self.with_compile = with_compile
        self.x = torch.from_numpy(np.ascontiguousarray(tensors["x"].transpose(0, 2, 1)))
        self.modes = self.inference_modes()

    def module(self, flat=True):
        """As 1-D layers, or as 2-D ones of height 1, which have a channels-last form."""
        torch, nn = self.torch, self.torch.nn
        layers = []
        for spec in self.architecture["layers"]:
            weights = self.tensors.get(spec["name"] + ".weights")
            bias = self.tensors.get(spec["name"] + ".bias")
            kind = spec["type"]
            if kind in ("conv1d", "conv_transpose1d"):
                size = (spec["in"], spec["out"])
                one = [spec.get(key, default) for key, default in
                       (("kernel", 1), ("stride", 1), ("padding", 0))]
                if not flat:
                    one = [(1, one[0]), (1, one[1]), (0, one[2])]
                if kind == "conv1d":  # (kernel, in, out) -> (out, in, kernel)
                    layer = (nn.Conv1d if flat else nn.Conv2d)(*size, *one)
                    weights = weights.transpose(2, 1, 0)
                else:  # (in, kernel, out) -> (in, out, kernel)
                    layer = (nn.ConvTranspose1d if flat else nn.ConvTranspose2d)(*size, *one)
                    weights = weights.transpose(0, 2, 1)
            elif kind == "batch_norm":
                layer = (nn.BatchNorm1d if flat else nn.BatchNorm2d)(
                    spec["in"], eps=spec.get("epsilon", 1e-5))
                layer.running_mean.data = torch.from_numpy(self.tensors[spec["name"] + ".mean"])
                layer.running_var.data = torch.from_numpy(self.tensors[spec["name"] + ".variance"])
            elif kind == "leaky_relu":
                layers.append(nn.LeakyReLU(spec["slope"]))
                continue
            else:
                sys.exit(f"layer {spec['name']}: no torch module for type {kind}")
            with torch.no_grad():
                layer.weight.copy_(
                    torch.from_numpy(np.ascontiguousarray(weights)).reshape(layer.weight.shape))
                layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
            layers.append(layer)
        return nn.Sequential(*layers)

    def inference_modes(self):
        torch = self.torch
        x4 = self.x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        flat = self.module().eval()
        last = self.module(flat=False).eval().to(memory_format=torch.channels_last)

        def frozen(module, x):
            return torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(module, x[:1])))

        makers = {
            "eager": lambda: (flat, self.x),
            "eager, channels last": lambda: (last, x4),
            "jit frozen": lambda: (frozen(flat, self.x), self.x),
            "jit frozen, channels last": lambda: (frozen(last, x4), x4),
        }
        if self.with_compile:
            makers["compile"] = lambda: (torch.compile(flat), self.x)
            makers["compile, channels last"] = lambda: (torch.compile(last), x4)
        expected = self.tensors["y"].transpose(0, 2, 1)
        modes = {}
        for name, make in makers.items():
            try:
                with torch.inference_mode():
                    module, x = make()
                    for batch in BATCHES:
                        got = module(x[:batch]).reshape(batch, *expected.shape[1:]).numpy()
                        worst = check(f"{self.name}, {name}", got, expected[:batch])
            except SystemExit:
                raise
            except Exception as error:  # a mode that this build of torch does not have
                print(f"  {self.name}, {name}: left out: {str(error).splitlines()[0][:100]}")
                continue
            print(f"  {self.name}, {name}: agrees to {worst:.1e}")
            modes[name] = (module, x)
        return modes

    def inference(self, batch, seconds):
        times = {}
        with self.torch.inference_mode():
            for name, (module, x) in self.modes.items():
                window = x[:batch].clone(memory_format=self.torch.preserve_format)
                times[name] = seconds_of(lambda: module(window), seconds) / batch
        return times

    def training(self, seconds, threads):
        """Seconds of a step of Adam on the mean squared error of 64 windows, batch norm training."""
        torch = self.torch
        torch.set_num_threads(threads)
        makers = {
            "eager, Adam": lambda: (self.module().train(), {}, self.x),
            "eager, fused Adam": lambda: (self.module().train(), {"fused": True}, self.x),
            "eager, fused Adam, channels last": lambda: (
                self.module(flat=False).train().to(memory_format=torch.channels_last),
                {"fused": True},
                self.x.unsqueeze(2).contiguous(memory_format=torch.channels_last)),
        }
        if self.with_compile:
            makers["compile, fused Adam"] = lambda: (
                torch.compile(self.module().train()), {"fused": True}, self.x)
        times = {}
        for name, make in makers.items():
            key = (name, threads)
            try:
                if key not in self.trained:
                    module, options, x = make()
                    self.trained[key] = (
                        module, torch.optim.Adam(module.parameters(), 1e-3, **options), x)
                module, optimiser, x = self.trained[key]
            except Exception as error:
                print(f"  {self.name}, {name}: left out: {str(error).splitlines()[0][:100]}")
                continue

            def step():
                optimiser.zero_grad()
                torch.nn.functional.mse_loss(module(x), x).backward()
                optimiser.step()

            clock = time.thread_time if threads == 1 else time.perf_counter
            times[name] = seconds_of(step, seconds, clock)
        torch.set_num_threads(1)
        return times

    trained = {}


class OnnxRuntime:
    """The net as an ONNX graph, batch norm as its own nodes: folding them is the peer's affair."""

    def __init__(self, architecture, tensors):
        import onnx
        import onnxruntime

        self.runtime = onnxruntime
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        onnxruntime.set_default_logger_severity(3)
        helper, F = onnx.helper, onnx.TensorProto.FLOAT
        self.x = np.ascontiguousarray(tensors["x"].transpose(0, 2, 1))
        expected = tensors["y"].transpose(0, 2, 1)
        nodes, weights, value = [], [], "x"

        def add(name, array):
            weights.append(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
            return name

        for spec in architecture["layers"]:
            name, kind, out = spec["name"], spec["type"], spec["name"] + ".out"
            if kind in ("conv1d", "conv_transpose1d"):
                axes = (2, 1, 0) if kind == "conv1d" else (0, 2, 1)
                inputs = [value, add(name + ".w", tensors[name + ".weights"].transpose(axes)),
                          add(name + ".b", tensors[name + ".bias"])]
                padding = spec.get("padding", 0)
                nodes.append(helper.make_node(
                    "Conv" if kind == "conv1d" else "ConvTranspose", inputs, [out],
                    kernel_shape=[spec.get("kernel", 1)], strides=[spec.get("stride", 1)],
                    pads=[padding, padding]))
            elif kind == "batch_norm":
                inputs = [value] + [add(f"{name}.{part}", tensors[f"{name}.{part}"])
                                    for part in ("weights", "bias", "mean", "variance")]
                nodes.append(helper.make_node("BatchNormalization", inputs, [out],
                                              epsilon=spec.get("epsilon", 1e-5)))
            elif kind == "leaky_relu":
                nodes.append(helper.make_node("LeakyRelu", [value], [out], alpha=spec["slope"]))
            else:
                sys.exit(f"layer {name}: no ONNX node for type {kind}")
            value = out

        def session(nodes, weights, out):
            shape = ["n", *self.x.shape[1:]]
            graph = helper.make_graph(
                nodes, "net", [helper.make_tensor_value_info("x", F, shape)],
                [helper.make_tensor_value_info(out, F, shape)], weights)
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)],
                                      ir_version=8)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.inter_op_num_threads = 1
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
            return onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"])

        self.session = session(nodes, weights, value)
        self.nothing = session([helper.make_node("Identity", ["x"], ["same"])], [], "same")
        for batch in BATCHES:
            worst = check(self.name, self.session.run(None, {"x": self.x[:batch]})[0],
                          expected[:batch])
        print(f"  {self.name}: agrees to {worst:.1e}")

    def inference(self, batch, seconds):
        """Bound memory; the time of a call that does nothing is taken off, for it is Python's."""
        def timed(session):
            binding = session.io_binding()
            x = self.runtime.OrtValue.ortvalue_from_numpy(self.x[:batch])
            y = self.runtime.OrtValue.ortvalue_from_numpy(np.empty_like(self.x[:batch]))
            binding.bind_ortvalue_input("x", x)
            binding.bind_ortvalue_output(session.get_outputs()[0].name, y)
            return seconds_of(lambda: session.run_with_iobinding(binding), seconds)

        return {"all optimisations": (timed(self.session) - timed(self.nothing)) / batch}


def run_engine(ctl, seconds, threads, out=None):
    command = [str(ctl), "bench", "nn", "--json", "--seconds", str(seconds),
               "--threads", str(threads)]
    if out:
        command += ["--out", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return json.loads(done.stdout)


def best(rounds):
    """Of {mode: seconds} a round: the mode whose median is least, and that."""
    modes = {mode: statistics.median(one[mode] for one in rounds) for mode in rounds[0]}
    mode = min(modes, key=modes.get)
    return mode, modes[mode]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ctl", type=pathlib.Path, help="the anomalyctl to measure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each figure in a round")
    parser.add_argument("--threads", type=int, default=2, help="of the second training figure")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    arguments = parser.parse_args()

    print("Outputs compared first:")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "net.safetensors"
        run_engine(arguments.ctl, 0.01, 1, path)
        architecture, tensors = load(path)
    peers = []
    for make in (lambda: Torch(architecture, tensors, not arguments.no_compile),
                 lambda: OnnxRuntime(architecture, tensors)):
        try:
            peers.append(make())
        except ImportError as error:
            print(f"  left out: {error}")

    threads = sorted({1, arguments.threads})
    ours, theirs, trainings = [], {}, {}
    for _ in range(arguments.rounds):
        ours.append(run_engine(arguments.ctl, arguments.seconds, arguments.threads))
        for peer in peers:
            for batch in BATCHES:
                theirs.setdefault((peer.name, batch), []).append(
                    peer.inference(batch, arguments.seconds))
            if isinstance(peer, Torch):
                for count in threads:
                    trainings.setdefault((peer.name, count), []).append(
                        peer.training(arguments.seconds, count))

    def mine(*path):
        def get(one):
            for key in path:
                one = one[key]
            return one
        return statistics.median(get(one) for one in ours)

    kept = ours[0]
    print(f"\nanomalyctl {kept['version']}, {kept['instruction_set']}, "
          f"peak {mine('peak_gflops'):.1f} GFLOP/s; median of {arguments.rounds} rounds\n")
    for i, row in enumerate(kept["inference"]):
        print(f"  {row['instruction_set']:9}{row['channels']:3} x {row['samples']:<4}"
              f"batch 1 {100 * mine('inference', i, 'batch1_share_of_peak'):5.1f} % of peak"
              f"   batch 64 {100 * mine('inference', i, 'batch64_share_of_peak'):5.1f} %")
    print(f"\n{'one thread':38}{'us/window':>10}{'ours':>8}{'ratio':>8}  best mode")
    for (name, batch), rounds in theirs.items():
        mode, seconds = best(rounds)
        us = mine(f"inference_batch{batch}_us")
        print(f"{name + f', batch {batch}':38}{seconds * 1e6:10.1f}{us:8.1f}"
              f"{seconds * 1e6 / us:8.2f}  {mode}")
    print(f"\n{'training, batch 64':38}{'steps/s':>10}{'ours':>8}{'ratio':>8}  best mode")
    for (name, count), rounds in trainings.items():
        mode, seconds = best(rounds)
        i = threads.index(count)
        rate = mine("training", i, "steps_per_cpu_second" if count == 1 else "steps_per_second")
        label = f"{name}, {count} thread" + ("" if count == 1 else "s, wall clock")
        print(f"{label:38}{1 / seconds:10.1f}{rate:8.1f}{rate * seconds:8.2f}  {mode}")
    if len(threads) > 1:
        wall = [mine("training", i, "steps_per_second") for i in range(len(threads))]
        print(f"\nours, {threads[-1]} threads against one, by the wall clock: "
              f"{wall[-1] / wall[0]:.2f}")
    print(f"load and compile {mine('load_ms'):.2f} ms, "
          f"heap allocations a score {mine('allocations_per_score'):g}")


if __name__ == "__main__":
    main()
