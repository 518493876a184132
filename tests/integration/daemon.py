"""Runs the built daemon for a test: a temporary folder, a free port, an end within bounds."""

import http.client
import json
import math
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

SOURCE = pathlib.Path(__file__).resolve().parents[2]
ANOMALYD = os.environ.get("ANOMALYD", str(SOURCE / "build/dev/bin/anomalyd"))
ANOMALYCTL = os.environ.get("ANOMALYCTL", str(SOURCE / "build/dev/bin/anomalyctl"))
START = 1_700_000_000_000_000_000  # event time of the first sample of a test

# Learns a stream from 60 windows of 0.32 s.
DOMAIN = """
[[domain]]
name = "machines"
detector = "zscore"
rate_hz = 100
window_samples = 32
hop_samples = 16
learn_windows = 60
lateness = "0s"
hold = "0s"
false_alerts = "1 per minute"
confirm_windows = 2
"""


def skip(why):
    """Ends the test as skipped."""
    print("skipped:", why)
    sys.exit(77)


def await_that(what, condition, seconds=60):
    """The first true value of condition(); an error names what did not come."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def quote(key):
    return urllib.parse.quote(key, safe="")


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def type(self):
        return (self.headers.get("Content-Type") or "").split(";")[0]

    def json(self):
        return json.loads(self.body)


class Daemon:
    """The daemon as a child process. A context manager: leaving it stops the daemon and wants
    exit status 0, which is what tells of a leak under a sanitizer."""

    def __init__(self, config=DOMAIN, environment=None, tls=None, token=None):
        """With `tls`, an ssl.SSLContext, it is spoken to over TLS; `token` goes with each request."""
        self._tls = tls
        self.token = token
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="anomalyd_"))
        self.config = self.folder / "anomalyd.toml"
        self.store = self.folder / "store"
        self.log = self.folder / "log"
        self._connection = None
        self._arguments = arguments = [ANOMALYD, "--listen", "127.0.0.1:0"]
        if config is not None:  # else on the defaults, as with no config file at all
            self.write_config(config)
            arguments += ["--config", str(self.config)]
        own = {name: value for name, value in os.environ.items()
               if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM",
                               "STATE_DIRECTORY", "XDG_STATE_HOME")}
        self._environment = {**own, "HOME": str(self.folder), **(environment or {})}
        try:
            self.start()
        except BaseException:
            self.process.kill()
            self.process.wait()
            print(self.log_text(), file=sys.stderr)
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def start(self):
        """Once more, after it has ended: on the same folder, at another port."""
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self._arguments, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=self._environment)
        self.port = int(await_that("the daemon says that it is ready", self._ready).group(1))
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def kill(self):
        """As a crash does: at once, with nothing written first."""
        self.process.kill()
        self.process.wait()
        self.disconnect()

    def write_config(self, config):
        self.config.write_text(f'[store]\ndirectory = "{self.store}"\n{config}')

    def _ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"the daemon ended with status {self.process.returncode}")
        return re.search(r"msg=\"?ready\"? .*\bport=(\d+)", self.log_text())

    def log_text(self):
        return self.log.read_text(errors="replace")

    def connection(self, tls=None):
        """A new one."""
        if tls or self._tls:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60,
                                               context=tls or self._tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def send(self, method, target, body=None, headers=None):
        """One request on a kept connection."""
        headers = dict(headers or {})
        if self.token and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.token}"
        for attempt in (0, 1):
            if self._connection is None:
                self._connection = self.connection()
            try:
                self._connection.request(method, target, body=body, headers=headers)
                answer = self._connection.getresponse()
                response = Response(answer.status, answer.headers, answer.read())
                if answer.will_close:
                    self.disconnect()
                return response
            except (ConnectionError, http.client.BadStatusLine):
                # A kept connection that the server has closed meanwhile: once more on a new one.
                self.disconnect()
                if attempt == 1:
                    raise

    def disconnect(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, target):
        return self.send("GET", target)

    def get_json(self, target):
        response = self.get(target)
        if response.status != 200:
            raise AssertionError(f"{target}: {response.status} {response.body!r}")
        return response.json()

    def write(self, lines):
        response = self.send("POST", "/api/v2/write", lines.encode())
        if response.status != 204:
            raise AssertionError(f"{response.status} {response.body!r}")

    def received(self, key):
        response = self.get("/api/v1/streams/" + quote(key))
        return response.json()["samples"]["received"] if response.status == 200 else -1

    def await_received(self, key, samples):
        await_that(f"{samples} samples of {key}", lambda: self.received(key) >= samples)

    def metrics(self):
        """{(name, labels as frozenset of pairs): value}"""
        response = self.get("/metrics")
        if response.status != 200:
            raise AssertionError(f"/metrics: {response.status} {response.body!r}")
        return parse_metrics(response.body.decode())

    def stop(self, seconds=60):
        """Its exit status after SIGTERM."""
        self.disconnect()
        self.process.terminate()
        return self.process.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.disconnect()
        try:
            if self.process.poll() is None:
                try:
                    self.stop()
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            status = self.process.returncode
            if kind is not None or status != 0:
                print(f"the daemon ended with status {status}; the end of its log:",
                      self.log_text()[-4000:], sep="\n", file=sys.stderr)
            if kind is None and status != 0:
                raise AssertionError(f"the daemon ended with status {status}")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def parse_metrics(text):
    found = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)", line)
        if match is None:
            raise ValueError(f"no metric: {line!r}")
        labels = re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', match.group(2) or "")
        found[(match.group(1), frozenset(labels))] = float(match.group(3))
    return found


def total(metrics, name, **labels):
    """The sum over the series of a metric that have these labels."""
    wanted = set(labels.items())
    return sum(v for (n, found), v in metrics.items() if n == name and wanted <= found)


class Machine:
    """A sensor with two channels at 100 Hz: noise around 0 and 1, the first shifted on request."""

    def __init__(self, measurement, seed=1, start=START, period=10_000_000):
        self.measurement = measurement
        self.random = random.Random(seed)
        self.time = start
        self.period = period
        self.sent = 0

    def rows(self, count, shift=0.0):
        for _ in range(count):
            turn = 2 * math.pi * self.sent / 25
            yield (self.time,
                   shift + 0.3 * math.sin(turn) + self.random.gauss(0, 0.1),
                   1 + 0.2 * math.cos(turn) + self.random.gauss(0, 0.1))
            self.time += self.period
            self.sent += 1

    def lines(self, count, shift=0.0):
        return "".join(f"{self.measurement} ax={x:.6f},ay={y:.6f} {t}\n"
                       for t, x, y in self.rows(count, shift))
