"""`anomalyctl score` on a recording and the daemon fed the same recording by `anomalyctl replay`
give the same scores to the last bit."""

import json
import pathlib
import struct
import subprocess
import tempfile
import unittest

from daemon import ANOMALYCTL, Daemon, await_that, total

# `lateness` and the jitter of the time stamps make the resampler hold samples back.
TRAINED = """
[models]
directory = "{models}"
[[domain]]
name = "machines"
detector = "machines"
channels = ["ax", "ay", "az"]
rate_hz = 1000.0
window_samples = 64
hop_samples = 32
normaliser = "{normaliser}"
{learn}
false_alerts = "1 per hour"
lateness = "100ms"
[domain.train]
kind = "{kind}"
epochs = 3
seed = 1
"""
ONLINE = """
[[domain]]
name = "machines"
{detector}
window_samples = 64
hop_samples = 32
"""


def bits(value):
    """A number as the bits of its float32; NaN as None."""
    if value is None or value != value:
        return None
    packed = struct.pack("<f", value)
    return packed.hex()


def ctl(*arguments):
    done = subprocess.run([ANOMALYCTL, *map(str, arguments)], capture_output=True, text=True,
                          timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"{arguments[0]}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class SameBits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.normal = cls.folder / "normal.csv"
        start = "2023-11-15T00:00:00Z"  # so that no clock takes it for the future
        ctl("simulate", "--out", cls.normal, "--start", start,
            "--seconds", 40, "--rate", 1000, "--seed", 1)
        cls.recording = cls.folder / "recording.csv"
        ctl("simulate", "--out", cls.recording, "--start", start,
            "--seconds", 30, "--rate", 1000, "--seed", 2, "--fault", "bearing@20+5",
            "--fault", "dropout@12+2*0.2")

    def compare(self, config):
        path = self.folder / "score.toml"
        path.write_text(config)
        scored = {}
        for line in ctl("score", self.recording, "--config", path, "--json").splitlines():
            window = json.loads(line).get("window")
            if window:
                scored[window["time"]] = (bits(window["score"]), bits(window["p_value"]))
        with Daemon(config) as daemon:
            ctl("replay", self.recording, "--to", daemon.url, "--stream", "machine",
                "--batch", 777)
            await_that("every accepted sample is worked through", lambda: (
                lambda found: total(found, "anomalyd_ingest_samples_total")
                == total(found, "anomalyd_stream_samples_total"))(daemon.metrics()))
            ring = daemon.get_json("/api/v1/streams/machine/scores")["scores"]
            windows = daemon.get_json("/api/v1/streams/machine")["windows"]["scored"]
        served = {p["time"]: (bits(p["score"]), bits(p["p_value"])) for p in ring}
        self.assertEqual(windows, len(scored))
        self.assertEqual(len(served), len(ring))
        self.assertGreater(len(served), 300)
        self.assertLessEqual(len(served), len(scored))
        different = {t: (scored.get(t), s) for t, s in served.items() if scored.get(t) != s}
        self.assertEqual(different, {})
        # The ring has the newest windows: none is missing between.
        self.assertEqual(sorted(served), sorted(scored)[-len(served):])
        self.assertGreater(len({s for s, _ in served.values()}), len(served) // 2, "all alike")

    def train_and_compare(self, kind, normaliser, learn=""):
        models = self.folder / f"{kind}_{normaliser}"
        models.mkdir()
        config = TRAINED.format(models=models, kind=kind, normaliser=normaliser, learn=learn)
        path = self.folder / "train.toml"
        path.write_text(config)
        ctl("train", "--config", path, "--domain", "machines", "--data", self.normal)
        self.assertTrue((models / "machines.safetensors").exists())
        self.compare(config)

    def test_autoencoder(self):
        self.train_and_compare("autoencoder", "domain")

    def test_autoencoder_with_the_streams_own_normaliser(self):
        self.train_and_compare("autoencoder", "stream", "learn_windows = 50")

    def test_pca_of_windows_without_loudness(self):
        self.train_and_compare("pca", "window")

    def test_zscore_without_a_file(self):
        self.compare(ONLINE.format(detector='detector = "zscore"'))

    def test_the_default_detector(self):
        self.compare(ONLINE.format(detector=""))


if __name__ == "__main__":
    unittest.main()
