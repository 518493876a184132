"""Clients that mean harm: the good ones are still served, and every refusal is counted.

The short form is for every test run. ANOMALYD_HOSTILE=5 is five times as much of everything, with
1,000 slow connections and bodies of 100 MB; it prints how long good requests took, quiet and under
attack, and only that form fails when an attack makes the slowest of a hundred ten times slower."""

import gzip
import http.client
import os
import random
import resource
import socket
import ssl
import tempfile
import threading
import time
import unittest

from credentials import Authority, Tokens, has_openssl, new_token
from daemon import DOMAIN, Daemon, await_that, total

FACTOR = int(os.environ.get("ANOMALYD_HOSTILE", "1"))
GOOD_CLIENTS = 4
LIMITS = """request_timeout = "2s"
idle_timeout = "3s"
max_body_bytes = 1048576
max_connections = 4096
"""


def allow_descriptors(wanted=8192):
    """Also for the daemon, which inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Raw:
    """A connection that says anything and hears the status lines that come back."""

    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))

    def send(self, data):
        """False when the other side has had enough."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def hear(self):
        """All until the other side closes."""
        parts = []
        try:
            while data := self.socket.recv(65536):
                parts.append(data)
        except ConnectionError:
            pass
        finally:
            self.socket.close()
        return b"".join(parts)


def statuses(text):
    """Of the responses in it, in order."""
    return [int(part[:3]) for part in text.split(b"HTTP/1.1 ")[1:]]


class GoodClient(threading.Thread):
    """Sends samples and asks for its stream until told to stop; any refusal ends the test."""

    def __init__(self, daemon, name, sensor, reader):
        super().__init__()
        self.daemon_process = daemon
        self.name = name
        self.sensor = {"Authorization": "Bearer " + sensor}
        self.reader = {"Authorization": "Bearer " + reader}
        self.over = threading.Event()
        self.seconds = []
        self.samples = 0
        self.error = None

    def one_round(self, connection):
        begun = time.monotonic()
        lines = "".join(f"{self.name} ax={i % 7} {1700000000000000000 + (self.samples + i) * 10**7}\n"
                        for i in range(50))
        for method, target, body, headers, expected in (
                ("POST", "/write", lines, self.sensor, 204),
                ("GET", "/api/v1/status", None, self.reader, 200),
                ("GET", "/-/healthy", None, {}, 200)):
            connection.request(method, target, body=body, headers=headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != expected:
                raise AssertionError(f"{method} {target}: {answer.status} {said!r}")
        self.samples += 50
        self.seconds.append(time.monotonic() - begun)

    def run(self):
        try:
            while not self.over.is_set():
                # Kept for a while, then a new one: both must go on.
                connection = self.daemon_process.connection()
                for _ in range(20):
                    self.one_round(connection)
                    if self.over.is_set():
                        break
                connection.close()
        except Exception as error:  # a test's thread must not end in silence
            self.error = error


def p99_ms(clients):
    seconds = sorted(second for client in clients for second in client.seconds)
    return 1000 * seconds[len(seconds) * 99 // 100]


class Attacks:
    """Each returns what it was answered: {status: how often}; `cut` is for no answer at all."""

    def __init__(self, port, tokens):
        self.port = port
        self.sensor = b"Authorization: Bearer " + tokens.secret["sensor"].encode() + b"\r\n"
        self.reader = b"Authorization: Bearer " + tokens.secret["reader"].encode() + b"\r\n"
        self.random = random.Random(7)
        self.unread = []

    def head(self, line, fields=b""):
        return line + b" HTTP/1.1\r\nHost: h\r\n" + self.sensor + fields + b"\r\n"

    def count(self, answers):
        found = {}
        for answer in answers:
            for status in statuses(answer) or ["cut"]:
                found[status] = found.get(status, 0) + 1
        return found

    def slow_requests(self):
        """Slowloris, in the header and in the body: a byte now and then, for ever."""
        raws = [Raw(self.port) for _ in range(200 * FACTOR)]
        for i, raw in enumerate(raws):
            raw.send(b"GET /-/healthy HTTP/1.1\r\nX-A: " if i % 2 == 0 else
                     self.head(b"POST /write", b"Content-Length: 100000\r\n"))
        end = time.monotonic() + 60
        dripping = list(raws)
        while dripping and time.monotonic() < end:
            dripping = [raw for raw in dripping if raw.send(b"a")]
            time.sleep(0.1)
        return self.count(raw.hear() for raw in raws)

    def silent(self):
        """Connections without a word, and some that are half closed at once."""
        raws = [Raw(self.port) for _ in range(100 * FACTOR)]
        for raw in raws[::2]:
            raw.socket.shutdown(socket.SHUT_WR)
        return self.count(raw.hear() for raw in raws)

    def garbage(self):
        """A good request and behind it, in the same packet, what is none."""
        good = b"GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n"
        answers = []
        for i in range(100 * FACTOR):
            raw = Raw(self.port)
            raw.send(good * (i % 3) + self.random.randbytes(1 + i * 7 % 3000) + b"\r\n\r\n")
            raw.socket.shutdown(socket.SHUT_WR)
            answers.append(raw.hear())
        return self.count(answers)

    def large_bodies(self):
        size = 100_000_000 if FACTOR > 1 else 5_000_000
        answers = []
        for i in range(10 * FACTOR):
            raw = Raw(self.port)
            if i % 2 == 0:
                raw.send(self.head(b"POST /write", b"Content-Length: %d\r\n" % size))
            else:
                raw.send(self.head(b"POST /write", b"Transfer-Encoding: chunked\r\n"))
                chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
                for _ in range(size // 65536):
                    if not raw.send(chunk):
                        break
            answers.append(raw.hear())
        return self.count(answers)

    def post(self, connection, target, body, fields=None):
        name, value = self.sensor.decode().strip().split(": ")
        connection.request("POST", target, body=body, headers={name: value, **(fields or {})})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def bombs(self):
        """Small bodies that unpack to a hundred times what is allowed, and deep JSON."""
        bomb = gzip.compress(bytes(800 << 20 if FACTOR > 1 else 100 << 20))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        found = {}
        for _ in range(5 * FACTOR):
            for target, body, fields in (
                    ("/write", bomb, {"Content-Encoding": "gzip"}),
                    ("/api/v1/samples", bomb, {"Content-Encoding": "gzip"}),
                    ("/api/v1/samples", b"[" * 500_000, {}),
                    ("/api/v1/samples", b'{"a":' * 100_000, {"Content-Type": "application/json"}),
                    ("/api/v1/samples", b"[" * 100_000 + b"]" * 100_000, {}),
                    ("/write", b"a," + b"l=1," * 50_000 + b" ax=1\n", {}),
                    ("/write", b"a " + b"c=1," * 50_000 + b"d=1\n", {})):
                status = self.post(connection, target, body, fields)
                found[status] = found.get(status, 0) + 1
        connection.close()
        return found

    def traversal(self):
        paths = (b"/../../../../etc/passwd", b"/%2e%2e/%2e%2e/etc/passwd", b"/..%2f..%2fetc/passwd",
                 b"/api/v1/streams/..%2f..%2f..%2fetc%2fpasswd", b"//etc/passwd",
                 b"/api/v1/alerts/%00", b"/-/../etc/passwd", b"/\\..\\..\\etc\\passwd",
                 b"file:///etc/passwd", b"/api/v1/alerts/../../metrics")
        answers = []
        for path in paths * (2 * FACTOR):
            for token in (b"", self.reader):  # without one most paths are not even looked at
                raw = Raw(self.port)
                raw.send(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" +
                         token + b"\r\n")
                answers.append(raw.hear())
                if b"root:" in answers[-1]:
                    raise AssertionError(f"{path!r}: {answers[-1]!r}")
        return self.count(answers)

    def unasked_bodies(self):
        """Bodies to paths that take none, by who has no token: none of it is waited for."""
        answers = []
        for i in range(50 * FACTOR):
            raw = Raw(self.port)
            line, claim = ((b"POST /none", b"Content-Length: 1000000\r\n"),
                           (b"PUT /write", b"Transfer-Encoding: chunked\r\n"),
                           (b"GET /-/healthy", b"Content-Length: 1000000\r\n"),
                           (b"GET /ping", b"Content-Length: 5000\r\nExpect: 100-continue\r\n"),
                           (b"GET /health", b"Transfer-Encoding: chunked\r\n"))[i % 5]
            raw.send(line + b" HTTP/1.1\r\nHost: h\r\n" + claim + b"\r\n")
            raw.send(b"2000\r\n" + b"a" * 5000 if b"chunked" in claim else b"a" * 3000)
            answers.append(raw.hear())
        return self.count(answers)

    def wrong_tokens(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        found = {}
        for i in range(1000 * FACTOR):
            token = new_token()[0] if i % 2 == 0 else "x" * (i % 300)
            connection.request("GET", "/api/v1/status", headers={"Authorization": "Bearer " + token})
            answer = connection.getresponse()
            answer.read()
            found[answer.status] = found.get(answer.status, 0) + 1
        connection.close()
        return found

    def slow_readers(self):
        """Ask for much and read nothing of it."""
        # Held open by this side, so that it is the server who ends them.
        self.unread = [Raw(self.port, receive_buffer=4096) for _ in range(20 * FACTOR)]
        one = b"GET /openapi.json HTTP/1.1\r\nHost: h\r\n" + self.reader + b"\r\n"
        for raw in self.unread:
            raw.send(one * 200)  # of 50 KB each: more than the kernel holds for both sides
        return {}


class HostileClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        allow_descriptors()

    def good_clients(self, daemon, tokens):
        clients = [GoodClient(daemon, f"good{i}", tokens.secret["sensor"],
                              tokens.secret["reader"]) for i in range(GOOD_CLIENTS)]
        for client in clients:
            client.start()
        return clients

    def end(self, clients):
        for client in clients:
            client.over.set()
        for client in clients:
            client.join(60)
            self.assertFalse(client.is_alive())
            if client.error:
                raise client.error
            self.assertGreater(client.samples, 0)

    def attack(self, port, tokens, names):
        """Runs them at once; {name: answers}."""
        attacks = Attacks(port, tokens)
        answers, errors = {}, []

        def run(name):
            try:
                answers[name] = getattr(attacks, name)()
            except Exception as error:
                errors.append((name, error))
        threads = [threading.Thread(target=run, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        self.assertEqual(errors, [])
        self.assertEqual(sorted(answers), sorted(names), "some have not ended")
        return attacks, answers

    def test_good_clients_are_served_and_refusals_counted(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        tokens = Tokens(folder, sensor="ingest", reader="read")
        config = ("[http]\n" + LIMITS + tokens.config() +
                  "[ingest]\nmax_decompressed_bytes = 8388608\n" + DOMAIN)
        with Daemon(config, token=tokens.secret["reader"]) as daemon:
            quiet = self.good_clients(daemon, tokens)
            await_that("good clients at work",
                       lambda: all(len(one.seconds) > 50 or one.error for one in quiet))
            self.end(quiet)
            before = daemon.metrics()

            clients = self.good_clients(daemon, tokens)
            attacks, answers = self.attack(daemon.port, tokens, (
                "slow_requests", "silent", "garbage", "large_bodies", "bombs", "traversal",
                "wrong_tokens", "slow_readers", "unasked_bodies"))
            for raw in attacks.unread:
                self.addCleanup(raw.socket.close)
            # Slow readers are cut while they still hold their ends open.
            cut = "anomalyd_http_connections_cut_total"
            await_that("the slow readers are cut", lambda: total(
                daemon.metrics(), cut, reason="response") == len(attacks.unread))
            self.end(clients)
            if FACTOR > 1:
                print(f"p99 of good rounds: quiet {p99_ms(quiet):.1f} ms, "
                      f"under attack {p99_ms(clients):.1f} ms; answers {answers}")
                self.assertLess(p99_ms(clients), 10 * p99_ms(quiet))

            # What each was told.
            slow = 200 * FACTOR
            self.assertEqual(set(answers["slow_requests"]) - {408, "cut"}, set())
            self.assertEqual(sum(answers["slow_requests"].values()), slow)
            self.assertEqual(answers["silent"], {"cut": 100 * FACTOR})
            self.assertEqual(set(answers["garbage"]) - {200, 400}, set())
            self.assertEqual(answers["garbage"][400], 100 * FACTOR)
            self.assertEqual(set(answers["large_bodies"]) - {"cut"}, {413})
            self.assertEqual(answers["bombs"], {413: 10 * FACTOR, 400: 25 * FACTOR})
            self.assertEqual(set(answers["traversal"]) - {400, 401, 404}, set())
            self.assertGreater(answers["traversal"][401], 0)
            self.assertGreater(answers["traversal"][404], 0)
            part = 10 * FACTOR
            self.assertEqual(answers["unasked_bodies"], {404: part, 405: part, 413: 3 * part})
            self.assertEqual(answers["wrong_tokens"], {401: 1000 * FACTOR})

            # And that it was counted, all of it.
            after = daemon.metrics()

            def grown(name, **labels):
                return total(after, name, **labels) - total(before, name, **labels)
            denied = "anomalyd_http_requests_denied_total"
            self.assertEqual(grown(denied, reason="unknown"), 500 * FACTOR)
            self.assertEqual(grown(denied, reason="malformed"), 500 * FACTOR)
            self.assertEqual(grown(cut, reason="request"), slow)
            # Of the silent those that this side has not half closed.
            self.assertGreaterEqual(grown(cut, reason="idle"), 50 * FACTOR)
            self.assertEqual(grown("anomalyd_http_requests_total", code="408"), slow)
            refused = "anomalyd_ingest_requests_refused_total"
            self.assertEqual(grown(refused, reason="too_large"), 10 * FACTOR)
            self.assertEqual(grown("anomalyd_http_requests_total", code="413"), 50 * FACTOR)
            self.assertEqual(grown("anomalyd_ingest_rejected_total"), 25 * FACTOR)
            self.assertEqual(grown("anomalyd_ingest_samples_total"),
                             sum(client.samples for client in clients))
            # Nothing of it stays.
            await_that("all connections are gone but this one", lambda: total(
                daemon.metrics(), "anomalyd_http_connections") == 1)
            self.assertLess(len(daemon.log_text()), 200_000, "refusals flood the log")
            for client in clients:
                daemon.await_received(client.name, client.samples)
            grown_bytes = grown("process_resident_memory_bytes")
            self.assertLess(grown_bytes, 500e6, "memory grew with the attack")
            if FACTOR > 1:
                print(f"resident memory grew by {grown_bytes / 1e6:.1f} MB")

    @unittest.skipUnless(has_openssl(), "openssl makes the certificates")
    def test_the_same_holds_for_tls(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        tokens = Tokens(folder, sensor="ingest", reader="read")
        authority = Authority(folder)
        certificate, key = authority.issue("server")
        config = (f'[http]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n' + LIMITS +
                  tokens.config() + DOMAIN)
        with Daemon(config, tls=authority.context(), token=tokens.secret["reader"]) as daemon:
            clients = self.good_clients(daemon, tokens)
            count = 50 * FACTOR
            randomness = random.Random(3)
            hello = ssl.MemoryBIO()
            out = ssl.MemoryBIO()
            begun = authority.context().wrap_bio(hello, out, server_hostname="127.0.0.1")
            try:
                begun.do_handshake()
            except ssl.SSLWantReadError:
                pass
            first_flight = out.read()
            raws = []
            for i in range(count):
                for words in (b"", first_flight[:40], first_flight, b"GET / HTTP/1.1\r\n\r\n",
                              randomness.randbytes(500)):
                    raws.append(Raw(daemon.port))
                    raws[-1].send(words)
            heard = [raw.hear() for raw in raws]
            self.assertEqual([text for text in heard if b"HTTP/1.1" in text], [])
            self.end(clients)
            metrics = daemon.metrics()
            # Random bytes may look like the head of a long record, which is then waited for.
            self.assertEqual(total(metrics, "anomalyd_http_tls_handshakes_failed_total"), 5 * count)
            self.assertGreaterEqual(total(metrics, "anomalyd_http_connections_cut_total",
                                          reason="handshake"), 3 * count)
            await_that("all connections are gone but this one", lambda: total(
                daemon.metrics(), "anomalyd_http_connections") == 1)


if __name__ == "__main__":
    unittest.main()
