"""Who may do what: tokens, scopes, streams of a token, TLS, and what the log says of it."""

import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import unittest

from credentials import Authority, Tokens, basic, has_openssl, new_token
from daemon import ANOMALYCTL, ANOMALYD, DOMAIN, Daemon, await_that, total
from openapi_test import DOCUMENT, response_errors


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def ctl(self, *arguments, environment=None):
        own = {name: value for name, value in os.environ.items()
               if not name.startswith("ANOMALYD_")}
        return subprocess.run([ANOMALYCTL, *map(str, arguments)], capture_output=True, text=True,
                              timeout=60, env={**own, **(environment or {})})

    def reload(self, daemon, good):
        """After a SIGHUP whose outcome is as expected."""
        lines = daemon.log_text().count("configuration ")
        daemon.process.send_signal(signal.SIGHUP)
        await_that("the reload", lambda: daemon.log_text().count("configuration ") > lines)
        text = daemon.log_text().splitlines()[-1]
        self.assertIn("configuration reloaded" if good else "configuration not reloaded", text)
        return text


class Access(Folder):
    def test_every_route_wants_the_scope_that_its_description_says(self):
        tokens = Tokens(self.folder, i="ingest", r="read", w="write", a="admin")
        with Daemon("[http]\n" + tokens.config() + DOMAIN) as daemon:
            asked = 0
            for path, item in DOCUMENT["paths"].items():
                for method, operation in item.items():
                    target = path.replace("{key}", "pump").replace("{id}", "1")
                    needed = {scope for one in operation["security"] for roles in one.values()
                              for scope in roles}

                    def ask(authorization):
                        body = b"pump ax=1\n" if method == "post" else None
                        headers = {"Authorization": authorization} if authorization else {}
                        response = daemon.send(method.upper(), target, body, headers)
                        self.assertEqual(response_errors(path, method, response), [])
                        return response

                    nobody = ask(None)
                    if not needed:
                        self.assertIn(nobody.status, (200, 204), path)
                        continue
                    self.assertEqual(nobody.status, 401, path)
                    self.assertEqual(len(nobody.headers.get_all("WWW-Authenticate")), 2)
                    self.assertEqual(ask("Bearer " + new_token()[0]).status, 401, path)
                    for name, scope in (("i", "ingest"), ("r", "read"), ("w", "write"),
                                        ("a", "admin")):
                        secret = tokens.secret[name]
                        for field in (f"Bearer {secret}", f"Token {secret}", basic(name, secret)):
                            status = ask(field).status
                            self.assertEqual(status == 403, scope not in needed, (path, field))
                            self.assertNotEqual(status, 401)
                            asked += 1
            self.assertGreater(asked, 100)
            daemon.token = tokens.secret["r"]
            metrics = daemon.metrics()
            self.assertGreater(total(metrics, "anomalyd_http_requests_denied_total",
                                     reason="scope"), 50)
            self.assertEqual(total(metrics, "anomalyd_http_requests_denied_total",
                                   reason="missing"), 13)

    def test_no_token_is_ever_in_the_log(self):
        tokens = Tokens(self.folder, good="read", sensor="ingest")
        wrong = [new_token()[0] for _ in range(20)]
        with Daemon("[http]\n" + tokens.config() + '[log]\nlevel = "debug"\n' + DOMAIN) as daemon:
            for secret in [*tokens.secret.values(), *wrong]:
                for field in (f"Bearer {secret}", secret, f"Bearer {secret}x",
                              basic("good", secret), basic(secret, "x"), f"Digest {secret}"):
                    daemon.send("GET", "/api/v1/status", headers={"Authorization": field})
                    daemon.send("POST", "/write", b"a b=1", headers={"Authorization": field})
                daemon.send("GET", "/api/v1/status?token=" + secret)
                daemon.send("GET", "/" + secret)
            # A token in the place of its hash is not told either.
            tokens.path.write_text("".join(f"n{i} read {secret}\n" for i, secret
                                           in enumerate(wrong)))
            line = self.reload(daemon, good=False)
            self.assertIn(f"{tokens.path}:1: ", line)
            self.assertIn("a token in the clear", line)
            self.assertEqual(daemon.stop(), 0)
            log = daemon.log_text()
            self.assertIn("a request without the right token", log)
            for secret in [*tokens.secret.values(), *wrong]:
                self.assertNotIn(secret[9:25], log)
                self.assertNotIn(basic("good", secret)[-30:], log)

    def test_a_reload_takes_tokens_away_and_a_bad_file_changes_nothing(self):
        tokens = Tokens(self.folder, stays="read", goes="read")
        with Daemon("[http]\n" + tokens.config() + DOMAIN,
                    token=tokens.secret["stays"]) as daemon:
            def status(name):
                return daemon.send("GET", "/api/v1/status", headers={
                    "Authorization": "Bearer " + tokens.secret[name]}).status
            self.assertEqual((status("stays"), status("goes")), (200, 200))
            tokens.write(without=("goes",))
            self.reload(daemon, good=True)
            self.assertEqual((status("stays"), status("goes")), (200, 401))
            tokens.write(more="broken\n")
            self.assertIn("tokens:4: 1 word, expected", self.reload(daemon, good=False))
            self.assertEqual((status("stays"), status("goes")), (200, 401))
            self.assertEqual(total(daemon.metrics(), "anomalyd_config_last_reload_successful"), 0)
            tokens.path.unlink()
            self.reload(daemon, good=False)
            self.assertEqual(status("stays"), 200)
            tokens.write()
            self.reload(daemon, good=True)
            self.assertEqual((status("stays"), status("goes")), (200, 200))

    def test_a_token_brings_its_streams_and_no_others(self):
        tokens = Tokens(self.folder, line="ingest streams=press*,fan max_streams=2", all="ingest",
                        reader="read")
        config = "[http]\n" + tokens.config() + "[ingest]\nmax_channels = 2\nmax_labels = 1\n"
        with Daemon(config + DOMAIN, token=tokens.secret["reader"]) as daemon:
            def write(lines, token="line", path="/write"):
                return daemon.send("POST", path, lines, headers={
                    "Authorization": "Token " + tokens.secret[token]})
            self.assertEqual(write(b"press1 ax=1 1\nfan ax=1 1\n").status, 204)
            # As 400 in InfluxDB's own words: a 403 Telegraf would send again for ever.
            for path, member in (("/write", "error"), ("/api/v2/write", "message")):
                refused = write(b"press1 ax=1 2\nother ax=1 2\nfan ax=1 2\n", path=path)
                self.assertEqual(refused.status, 400)
                self.assertEqual(response_errors(path, "post", refused), [])
                said = refused.json()[member]
                self.assertTrue(said.startswith("partial write: "), said)
                self.assertIn("the token line may not bring the stream other", said)
            third = write(b"press2 ax=1 3\nfan ax=1 3\nnonsense\n").json()["error"]
            self.assertIn("max_streams", third)
            self.assertIn("line 3: ", third)
            self.assertTrue(third.endswith("dropped=2"), third)
            row = b'{"stream":"other","values":{"ax":1}}'
            json = daemon.send("POST", "/api/v1/samples", row, headers={
                "Authorization": "Bearer " + tokens.secret["line"]})
            self.assertEqual(json.status, 400)
            self.assertIn("0 samples accepted; the token line may not bring", json.json()["detail"])
            self.assertEqual(response_errors("/api/v1/samples", "post", json), [])
            self.assertEqual(write(b"other ax=1 1\npress2 ax=1 1\n", "all").status, 204)
            daemon.await_received("fan", 4)
            daemon.await_received("press2", 1)
            self.assertEqual(daemon.received("press1"), 3)
            self.assertEqual(daemon.received("press2"), 1)

            for lines in (b"press1 ax=1,ay=2,az=3 9\n", b"press1,a=1,b=2 ax=1 9\n"):
                refused = write(lines)
                self.assertEqual(refused.status, 400)
                self.assertIn("more than", refused.json()["error"])
            refused = daemon.send("POST", "/api/v1/samples", (
                b'[{"stream":"s","values":{"a":1,"b":2,"c":3}},'
                b'{"stream":"s","labels":{"a":"1","b":"2"},"values":{"a":1}}]'), headers={
                    "Authorization": "Bearer " + tokens.secret["all"]})
            self.assertEqual([one["reason"] for one in refused.json()["errors"]],
                             ["too_many", "too_many"])
            metrics = daemon.metrics()
            denied = "anomalyd_ingest_samples_denied_total"
            self.assertEqual(total(metrics, denied, reason="streams"), 3)
            self.assertEqual(total(metrics, denied, reason="max_streams"), 1)
            self.assertEqual(total(metrics, "anomalyd_ingest_rejected_total", reason="too_many"), 4)


class Exposure(Folder):
    def run_with(self, keys, *flags):
        config = self.folder / "a.toml"
        config.write_text(f'[http]\n{keys}[store]\ndirectory = "{self.folder}/store"\n' + DOMAIN)
        done = subprocess.run([ANOMALYD, "--config", str(config), *flags], capture_output=True,
                              text=True, timeout=60)
        checked = self.ctl("check-config", config)
        self.assertEqual(checked.returncode, done.returncode if "--listen" not in flags else 0)
        return done

    def test_an_open_address_is_refused_with_what_to_do(self):
        everywhere = 'listen = "0.0.0.0:8420"\n'
        refused = self.run_with(everywhere, "--check-config")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("http.insecure = true", refused.stderr)
        started = self.run_with(everywhere)
        self.assertEqual(started.returncode, 1)
        self.assertIn("http.tokens", started.stderr)
        flag = self.run_with("", "--check-config", "--listen", "0.0.0.0:8420")
        self.assertEqual(flag.returncode, 1)
        self.assertEqual(self.run_with(everywhere + "insecure = true\n",
                                       "--check-config").returncode, 0)
        tokens = Tokens(self.folder, a="read")
        self.assertEqual(self.run_with(everywhere + tokens.config(), "--check-config").returncode,
                         0)
        tokens.path.write_text("a read\n")
        broken = self.run_with(everywhere + tokens.config(), "--check-config")
        self.assertEqual(broken.returncode, 1)
        self.assertIn(f"http.tokens: {tokens.path}:1: ", broken.stderr)


@unittest.skipUnless(has_openssl(), "openssl makes the certificates")
class Tls(Folder):
    def setUp(self):
        super().setUp()
        self.authority = Authority(self.folder)
        self.certificate, self.key = self.authority.issue("server")
        self.tokens = Tokens(self.folder, reader="read", sensor="ingest")

    def config(self, more=""):
        return (f'[http]\ntls_certificate = "{self.certificate}"\ntls_key = "{self.key}"\n' + more +
                self.tokens.config() + DOMAIN)

    def daemon(self, more=""):
        return Daemon(self.config(more), tls=self.authority.context(),
                      token=self.tokens.secret["reader"])

    def as_sensor(self):
        return {"Authorization": "Bearer " + self.tokens.secret["sensor"]}

    def token_file(self, name):
        path = self.folder / (name + ".token")
        path.write_text(self.tokens.secret[name] + "\n")
        return path

    def test_anomalyctl_speaks_https_with_a_token(self):
        with self.daemon() as daemon:
            reader, sensor = self.token_file("reader"), self.token_file("sensor")
            trust = ("--ca-file", self.authority.certificate)
            sent = self.ctl("simulate", "--to", daemon.url, "--token-file", sensor, *trust,
                            "--seconds", 1, "--speed", "max", "--stream", "pump")
            self.assertEqual(sent.returncode, 0, sent.stderr)
            daemon.await_received("pump", 1000)
            asked = self.ctl("streams", "--url", daemon.url, "--token-file", reader, *trust)
            self.assertEqual(asked.returncode, 0, asked.stderr)
            self.assertIn("pump", asked.stdout)
            by_environment = self.ctl("status", environment={
                "ANOMALYD_URL": daemon.url, "ANOMALYD_TOKEN_FILE": str(reader),
                "ANOMALYD_CA_FILE": str(self.authority.certificate)})
            self.assertEqual(by_environment.returncode, 0, by_environment.stderr)

            without = self.ctl("status", "--url", daemon.url, *trust)
            self.assertEqual(without.returncode, 1)
            self.assertIn("401", without.stderr)
            wrong = self.ctl("status", "--url", daemon.url, *trust, "--token-file", sensor)
            self.assertIn("does not have the scope read", wrong.stderr)
            stranger = self.ctl("status", "--url", daemon.url, "--token-file", reader)
            self.assertEqual(stranger.returncode, 3)
            self.assertIn("its certificate: ", stranger.stderr)
            plain = self.ctl("status", "--url", daemon.url.replace("https", "http"))
            self.assertEqual(plain.returncode, 3)
            missing = self.ctl("status", "--url", daemon.url, "--token-file", self.folder / "none")
            self.assertEqual(missing.returncode, 2)

    def test_a_reload_brings_the_new_certificate(self):
        def serial(daemon):
            connection = daemon.connection()
            connection.connect()
            found = connection.sock.getpeercert()["serialNumber"]
            connection.close()
            return found
        with self.daemon() as daemon:
            first = serial(daemon)
            expiry = "anomalyd_http_tls_certificate_expiry_timestamp_seconds"
            self.assertAlmostEqual(total(daemon.metrics(), expiry), time.time() + 2 * 86400,
                                   delta=3600)
            kept = daemon.connection()
            kept.request("GET", "/-/healthy")
            kept.getresponse().read()
            socket = kept.sock
            self.reload(daemon, good=True)  # nothing has changed: nobody is sent away
            kept.request("GET", "/-/healthy")
            self.assertEqual(kept.getresponse().read(), b"anomalyd is alive\n")
            self.assertIs(kept.sock, socket)
            good_key = self.key.read_bytes()
            shutil.copy(self.authority.issue("other")[1], self.key)  # not the certificate's
            self.assertIn("not the key of the certificate", self.reload(daemon, good=False))
            self.assertEqual(serial(daemon), first)
            self.assertEqual(total(daemon.metrics(), "anomalyd_config_last_reload_successful"), 0)
            # A token that is taken away is away all the same.
            self.assertEqual(daemon.send("POST", "/write", b"a b=1 1", self.as_sensor()).status, 204)
            self.tokens.write(without=("sensor",))
            self.assertIn("not the key of the certificate", self.reload(daemon, good=False))
            self.assertEqual(daemon.send("POST", "/write", b"a b=1 1", self.as_sensor()).status, 401)
            self.assertEqual(serial(daemon), first)
            self.key.write_bytes(good_key)
            self.reload(daemon, good=True)
            kept.request("GET", "/-/healthy")
            kept.getresponse().read()
            self.assertIs(kept.sock, socket)
            for new, old in zip(self.authority.issue("next"), (self.certificate, self.key)):
                shutil.copy(new, old)
            self.reload(daemon, good=True)
            self.assertNotEqual(serial(daemon), first)
            self.assertEqual(socket.recv(1), b"", "what began under the old one has ended")
            kept.close()
            self.assertEqual(daemon.get("/api/v1/status").status, 200)

    def test_a_certificate_that_is_over_is_told_and_the_daemon_starts(self):
        self.certificate, self.key = self.authority.issue("over", days=-1)
        os.chmod(self.key, 0o644)
        careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        careless.check_hostname = False
        careless.verify_mode = ssl.CERT_NONE
        with Daemon(self.config(), tls=careless, token=self.tokens.secret["reader"]) as daemon:
            self.assertIn("the certificate is over since", daemon.log_text())
            self.assertIn("other users may read or write a file with secrets", daemon.log_text())
            self.assertLess(total(daemon.metrics(),
                                  "anomalyd_http_tls_certificate_expiry_timestamp_seconds"),
                            time.time())
            checked = self.ctl("check-config", daemon.config)
            self.assertEqual(checked.returncode, 1)
            self.assertIn("the certificate is over since", checked.stderr)

    def test_clients_show_a_certificate_where_one_is_asked_for(self):
        clients = Authority(self.folder, "clients")
        mine = clients.issue("me")
        with Daemon(self.config(f'tls_client_ca = "{clients.certificate}"\n'),
                    tls=self.authority.context(mine),
                    token=self.tokens.secret["reader"]) as daemon:
            self.assertEqual(daemon.get("/api/v1/status").status, 200)
            shown = self.ctl("status", "--url", daemon.url, "--ca-file",
                             self.authority.certificate, "--cert", mine[0], "--key", mine[1],
                             "--token-file", self.token_file("reader"))
            self.assertEqual(shown.returncode, 0, shown.stderr)
            for client in (None, self.authority.issue("foreign")):
                stranger = daemon.connection(self.authority.context(client))
                with self.assertRaises((ssl.SSLError, ConnectionError)):
                    stranger.request("GET", "/-/healthy")
                    stranger.getresponse()
                stranger.close()
            await_that("both were counted", lambda: total(
                daemon.metrics(), "anomalyd_http_tls_handshakes_failed_total") == 2)

    def test_the_log_says_why_a_client_certificate_is_not_good(self):
        clients = Authority(self.folder, "clients")
        with Daemon(self.config(f'tls_client_ca = "{clients.certificate}"\n'),
                    tls=self.authority.context(clients.issue("me")),
                    token=self.tokens.secret["reader"]) as daemon:
            stranger = daemon.connection(self.authority.context(self.authority.issue("foreign")))
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                stranger.request("GET", "/-/healthy")
                stranger.getresponse()
            stranger.close()
            await_that("the line", lambda: "no TLS connection" in daemon.log_text())
            self.assertRegex(daemon.log_text(), 'certificate=".*(self-signed|issuer) certificate')


if __name__ == "__main__":
    unittest.main()
