"""The daemon as a service: what it tells systemd, its flags and exit statuses, its defaults."""

import datetime
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from daemon import ANOMALYD, DOMAIN, SOURCE, Daemon, Machine, await_that, total


class Notified:
    """The datagram socket that systemd would listen on."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="anomalyd_notify_")
        self.path = self.folder + "/socket"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(30)

    def next(self):
        """The next message that is no watchdog's or status line, as {name: value}."""
        while True:
            message = dict(line.split("=", 1)
                           for line in self.socket.recv(65536).decode().splitlines())
            if set(message) - {"STATUS", "WATCHDOG"}:
                return message

    def watchdogs(self, count):
        """When that many of the watchdog's came."""
        times = []
        while len(times) < count:
            if b"WATCHDOG=1" in self.socket.recv(65536):
                times.append(time.monotonic())
        return times

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def run(*arguments, **environment):
    return subprocess.run([ANOMALYD, *arguments], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **environment})


def nanoseconds(text):
    """A time of the API as nanoseconds since 1970."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole + "+00:00").timestamp()
    return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0") or 0)


class Service(unittest.TestCase):
    def test_systemd_is_told_of_every_step(self):
        with Notified() as notified:
            with Daemon(DOMAIN, {"NOTIFY_SOCKET": notified.path,
                                 "WATCHDOG_USEC": "2000000"}) as daemon:
                # A large database takes its time.
                self.assertEqual(notified.next(), {"STATUS": "checks the database",
                                                   "EXTEND_TIMEOUT_USEC": "1800000000"})
                self.assertEqual(notified.next(), {"READY": "1"})
                times = notified.watchdogs(3)
                # Twice as often as the time after which systemd would kill it.
                self.assertLess(max(b - a for a, b in zip(times, times[1:])), 2)

                for config, good in ((DOMAIN, 1), ("[domian]\n", 0), (DOMAIN, 1)):
                    daemon.write_config(config)
                    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                    daemon.process.send_signal(signal.SIGHUP)
                    reloading = notified.next()
                    self.assertEqual(reloading.get("RELOADING"), "1")
                    self.assertGreaterEqual(int(reloading["MONOTONIC_USEC"]), now)
                    self.assertEqual(notified.next(), {"READY": "1"})
                    self.assertEqual(total(daemon.metrics(),
                                           "anomalyd_config_last_reload_successful"), good)
                self.assertIn(":3:2: ", daemon.log_text(), "the refusal says where")
                self.assertIn("domian", daemon.log_text())

                daemon.process.terminate()
                self.assertEqual(notified.next(), {"STOPPING": "1"})
                self.assertEqual(daemon.process.wait(60), 0)

    def test_a_stop_leaves_nothing_acknowledged_undone(self):
        with Daemon(DOMAIN) as daemon:
            machine = Machine("s")
            daemon.write(machine.lines(1400) + machine.lines(20000) + machine.lines(320, 5))
            self.assertEqual(daemon.stop(), 0)
            self.assertIn("alert fires", daemon.log_text())
            self.assertNotIn("stopped before all was done", daemon.log_text())

    def test_sigint_ends_it_as_well(self):
        with Daemon(DOMAIN) as daemon:
            daemon.process.send_signal(signal.SIGINT)
            self.assertEqual(daemon.process.wait(60), 0)

    def test_it_runs_on_defaults_without_a_config_file(self):
        state = tempfile.mkdtemp(prefix="anomalyd_state_")
        try:
            with Daemon(None, {"XDG_STATE_HOME": state}) as daemon:
                self.assertEqual(daemon.get("/-/ready").status, 200)
                daemon.write("pump ax=1\n")
                daemon.await_received("pump", 1)
                self.assertTrue((pathlib.Path(state) / "anomalyd/anomalyd.db").exists())
                self.assertEqual(daemon.get_json("/api/v1/detectors")["detectors"][0]["kind"],
                                 "standard")
        finally:
            shutil.rmtree(state, ignore_errors=True)

    def test_on_defaults_a_fault_raises_one_alert_and_nothing_before_it_does(self):
        state = tempfile.mkdtemp(prefix="anomalyd_state_")
        try:
            with Daemon(None, {"XDG_STATE_HOME": state}) as daemon:
                machine = Machine("pump")
                # 100 windows of 128 samples, 64 apart, and as long again and more.
                daemon.write(machine.lines(8000) + machine.lines(12000))
                fault = machine.time
                daemon.write(machine.lines(1000, 3))
                after = machine.time
                # The alert is held for 5 s; samples wait for 2 s for late ones.
                daemon.write(machine.lines(3000))
                daemon.await_received("pump", machine.sent)
                alerts = await_that("an alert that is over", lambda: [
                    alert for alert in daemon.get_json("/api/v1/alerts")["alerts"]
                    if alert["state"] == "resolved"])
                self.assertEqual(len(daemon.get_json("/api/v1/alerts")["alerts"]), 1)
                self.assertEqual(alerts[0]["detector"], "standard")
                self.assertEqual(alerts[0]["end_reason"], "cleared")
                self.assertEqual(alerts[0]["contributions"][0]["channel"], "ax")
                window = 128 * machine.period
                self.assertLess(abs(nanoseconds(alerts[0]["start"]) - fault), 2 * window)
                # It lasts as long as the fault.
                self.assertGreater(nanoseconds(alerts[0]["end"]), after - 4 * window)
                self.assertLess(nanoseconds(alerts[0]["end"]), after + 4 * window)
                self.assertEqual(daemon.get_json("/api/v1/streams/pump")["state"], "normal")
        finally:
            shutil.rmtree(state, ignore_errors=True)

    def test_a_port_that_is_taken_is_named(self):
        with socket.socket() as taken, tempfile.TemporaryDirectory() as state:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = run("--listen", address, XDG_STATE_HOME=state)
            self.assertEqual(done.returncode, 1)
            self.assertIn(address, done.stderr)


class Flags(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def file(self, text):
        path = self.folder / "test.toml"
        path.write_text(text)
        return str(path)

    def test_check_config_says_good_bad_or_usage_by_its_status(self):
        good = run("--check-config", "--config", self.file(DOMAIN))
        self.assertEqual((good.returncode, good.stderr), (0, ""))
        bad = run("--check-config", "--config", self.file("[http]\nlisten = 5\nthread = 2\n"))
        self.assertEqual(bad.returncode, 1)
        self.assertRegex(bad.stderr, r"test\.toml:2:\d+: http\.listen: ")
        self.assertRegex(bad.stderr, r"test\.toml:3:\d+: http\.thread: .*threads")
        unfit = run("--check-config", "--config",
                    self.file('[[domain]]\nname = "d"\nnormaliser = "window"\n'))
        self.assertEqual(unfit.returncode, 1)
        self.assertRegex(unfit.stderr, r'^domain d: detector = "standard" .*left out.*"stream"\n$')
        missing = run("--check-config", "--config", str(self.folder / "none.toml"))
        self.assertEqual(missing.returncode, 1)
        self.assertIn("none.toml", missing.stderr)
        self.assertEqual(run("--check-config", "--nonsense").returncode, 2)
        self.assertEqual(run("--check-config").returncode, 0)

    def test_print_config_reads_back_as_the_same(self):
        for text in (DOMAIN, "", (SOURCE / "configs/anomalyd.toml").read_text()):
            first = run("--print-config", "--config", self.file(text))
            self.assertEqual(first.returncode, 0, first.stderr)
            again = run("--print-config", "--config", self.file(first.stdout))
            self.assertEqual(again.returncode, 0, again.stderr)
            self.assertEqual(again.stdout, first.stdout)
        self.assertIn("learn_windows = 60", run("--print-config", "--config",
                                                self.file(DOMAIN)).stdout)

    def test_version_and_help(self):
        self.assertRegex(run("--version").stdout, r"^\d+\.\d+\.\d+ \(\w+\)\n$")
        self.assertIn("--config", run("--help").stdout)


if __name__ == "__main__":
    unittest.main()
