"""A real Prometheus scrapes a running daemon: every panel of the dashboard has data, every rule
evaluates, and promtool finds nothing wrong with /metrics."""

import json
import math
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

from credentials import Authority, Tokens, has_openssl
from daemon import SOURCE, DOMAIN, Daemon, Machine, await_that, skip

DASHBOARDS = sorted((SOURCE / "configs/grafana/dashboards").glob("*.json"))
RULES = SOURCE / "configs/prometheus/anomalyd.rules.yml"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Prometheus:
    """Prometheus as a child process, scraping one target each second. `scrapes` are jobs with
    further keys of their own, in YAML's one-line form: {name: "scheme: https, ..."}."""

    def __init__(self, target_port, scrapes=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="anomalyd_prometheus_"))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        (self.folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{RULES}']\n"
            "scrape_configs:\n" + "".join(
                f"  - {{job_name: {name}, {keys}"
                f"static_configs: [{{targets: ['127.0.0.1:{target_port}']}}]}}\n"
                for name, keys in (scrapes or {"anomalyd": ""}).items()))
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={self.folder}/prometheus.yml",
             f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def log_text(self):
        return (self.folder / "log").read_text(errors="replace")

    def get(self, path, **parameters):
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        with urllib.request.urlopen(self.url + path + query, timeout=20) as answer:
            return json.load(answer)["data"]

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError("prometheus has ended: " + self.log_text()[-2000:])
        try:
            with urllib.request.urlopen(self.url + "/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def panel_queries():
    """(panel's title, PromQL) as Grafana would send it."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield panel["title"], (target["expr"].replace("$__rate_interval", "15s")
                                       .replace("$instance", ".*"))


class PrometheusTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon(DOMAIN))
        cls.prometheus = cls.enterClassContext(Prometheus(cls.daemon.port))
        # What has been before: a learned stream and a fault, so that there are alerts.
        cls.machine = Machine("pump,site=a", start=time.time_ns() - 25 * 10**9)
        cls.daemon.write(cls.machine.lines(1400) + cls.machine.lines(200, 5))
        await_that("prometheus is ready", cls.prometheus.is_ready)

    def feed(self):
        """The samples that are due by now, and one line that is refused."""
        due = (time.time_ns() - self.machine.time) // self.machine.period
        if due > 0:
            self.daemon.write(self.machine.lines(due, 5 if self.machine.sent % 2000 < 400 else 0))
        self.daemon.send("POST", "/api/v2/write", b"broken\n")

    def test_every_panel_has_data(self):
        waiting = list(panel_queries())
        self.assertGreater(len(waiting), 20)
        self.assertFalse([q for _, q in waiting if "$" in q], "a variable that is not replaced")
        end = time.monotonic() + 60
        while waiting and time.monotonic() < end:
            self.feed()
            time.sleep(0.5)
            still = []
            for title, query in waiting:
                result = self.prometheus.get("/api/v1/query", query=query)["result"]
                if not any(not math.isnan(float(one["value"][1])) for one in result):
                    still.append((title, query))
            waiting = still
        self.assertEqual(waiting, [], "panels without data")

    def test_every_rule_evaluates(self):
        def evaluated():
            groups = self.prometheus.get("/api/v1/rules")["groups"]
            rules = [rule for group in groups for rule in group["rules"]]
            return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

        self.feed()
        rules = await_that("every rule is evaluated", evaluated, 90)
        written = sum(line.lstrip().startswith(("- alert:", "- record:"))
                      for line in RULES.read_text().splitlines())
        self.assertEqual(len(rules), written)
        for rule in rules:
            self.assertEqual((rule["health"], rule.get("lastError", "")), ("ok", ""), rule["name"])
        down = [r["name"] for r in rules if r["type"] == "alerting" and r["state"] == "firing"
                and "down" in r["name"].lower()]
        self.assertEqual(down, [])

    def test_promtool_finds_nothing_in_the_metrics(self):
        self.daemon.send("POST", "/api/v2/write", b"broken\n")
        text = self.daemon.get("/metrics").body
        done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True,
                              timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))
        # And it would have said so.
        wrong = subprocess.run(["promtool", "check", "metrics"], capture_output=True, timeout=60,
                               input=b"# TYPE bad counter\nbad 1\n")
        self.assertNotEqual(wrong.returncode, 0)


@unittest.skipUnless(has_openssl(), "openssl makes the certificates")
class GuardedTest(unittest.TestCase):
    def test_prometheus_comes_in_with_a_token_over_tls_and_not_without(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        authority = Authority(folder)
        certificate, key = authority.issue("server")
        tokens = Tokens(folder, scraper="read", sensor="ingest")
        secret = {}
        for name in tokens.secret:
            secret[name] = folder / (name + ".token")
            secret[name].write_text(tokens.secret[name])
        config = (f'[http]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n' +
                  tokens.config() + DOMAIN)
        tls = f"scheme: https, tls_config: {{ca_file: '{authority.certificate}'}}, "
        scrapes = {
            "bearer": tls + f"authorization: {{credentials_file: '{secret['scraper']}'}}, ",
            "basic": tls + "basic_auth: {username: scraper, "
                           f"password_file: '{secret['scraper']}'}}, ",
            "nobody": tls,
            "sensor": tls + f"authorization: {{credentials_file: '{secret['sensor']}'}}, ",
            "plain": f"authorization: {{credentials_file: '{secret['scraper']}'}}, ",
            "distrustful": "scheme: https, "
                           f"authorization: {{credentials_file: '{secret['scraper']}'}}, "}
        with Daemon(config, tls=authority.context(), token=tokens.secret["scraper"]) as daemon, \
                Prometheus(daemon.port, scrapes) as prometheus:
            await_that("prometheus is ready", prometheus.is_ready)

            def health():
                targets = prometheus.get("/api/v1/targets")["activeTargets"]
                found = {one["labels"]["job"]: one["health"] for one in targets}
                return found if len(found) == len(scrapes) and "unknown" not in found.values() \
                    else None
            self.assertEqual(await_that("every job has scraped", health), {
                "bearer": "up", "basic": "up", "nobody": "down", "sensor": "down",
                "plain": "down", "distrustful": "down"})


if __name__ == "__main__":
    for program in ("prometheus", "promtool"):
        if shutil.which(program) is None:
            skip(f"{program} is not installed (Debian package prometheus)")
    unittest.main()
