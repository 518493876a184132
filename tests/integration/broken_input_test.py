"""Broken inputs of every kind against the running daemon: it does not fall, what it refused it has
counted, and the good samples that were sent between them all arrive.

ANOMALYD_BROKEN_INPUTS: how many of each kind (2000)."""

import collections
import gzip
import itertools
import json
import os
import re
import signal
import socket
import unittest
import zlib

from daemon import SOURCE, START, DOMAIN, Daemon, Machine, await_that, total
from mutate import Mutator

COUNT = int(os.environ.get("ANOMALYD_BROKEN_INPUTS", "2000"))
CORPUS = SOURCE / "tests/fuzz/corpus"


def seeds(name):
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


class Wire:
    """A connection that sends any bytes and reads whole responses."""

    def __init__(self, port):
        self.port = port
        self.socket = None
        self.buffer = b""

    def open(self):
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self.buffer = b""

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has answered already: what it said is still there to be read

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self.buffer += data
        return bool(data)

    def read(self):
        """(status, headers in lower case, body) of the next response; None at the end."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                if self.buffer:
                    raise AssertionError(f"half a response: {self.buffer[:200]!r}")
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        status = int(re.fullmatch(r"HTTP/1\.[01] (\d{3}) .*", lines[0]).group(1))
        headers = {k.lower(): v.strip() for k, v in (l.split(":", 1) for l in lines[1:])}
        length = int(headers.get("content-length", 0))
        while len(self.buffer) < length:
            if not self.more():
                raise AssertionError(f"a body that ends early: {head!r}")
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return status, headers, body


class Tally:
    """What the client was told."""

    def __init__(self):
        self.codes = collections.Counter()
        self.rejected = 0  # lines, or elements of JSON
        self.accepted = 0  # samples of JSON, as far as it says
        self.whole = 0     # ingest requests refused for their packing

    def add(self, status, headers, body):
        if status < 200:
            return
        self.codes[status] += 1
        if status in (200, 400) and headers.get("content-type", "").startswith("application/"):
            try:
                answer = json.loads(body)
            except ValueError as error:
                raise AssertionError(f"{status} with a body that is no JSON: {body[:500]!r}") from error
            if status == 200:
                self.accepted += answer.get("accepted", 0)
                return
            found = re.match(r"partial write: (\d+) lines refused", answer.get("message", ""))
            if found:
                self.rejected += int(found.group(1))
                return
            found = re.search(r" dropped=(\d+)$", answer.get("error", ""))
            if found:
                self.rejected += int(found.group(1))
                return
            found = re.match(r"(\d+) refused, (\d+) samples accepted$", answer.get("detail", ""))
            if found:
                self.rejected += int(found.group(1))
                self.accepted += int(found.group(2))
                return
        self.whole += status in (400, 413, 415, 503)


# Well-formed ones, often: what is broken in one place goes deeper than what is broken in many.
LINES = [Machine("mutated,site=a", 1).lines(5).encode(),
         b'mutated,a\\ b=c\\,d x=1i,y=-2.5e3,z=t,s="a \\"text\\"" 1700000000000000000\n# comment\n'] * 8
ROW = b'{"stream":"mutated","labels":{"site":"a"},"time":"2023-11-22T04:05:06.5Z","values":{"ax":0.5}}'
COLUMNS = (b'{"stream":"mutated","start":1700000000000000000,"rate_hz":100,'
           b'"channels":{"ax":[1,2.5,-3e-2],"ay":[4,null,6]}}')
JSON = [ROW, COLUMNS, b"[" + ROW + b"," + COLUMNS + b"," + ROW + b"]"] * 8
NDJSON = [ROW + b"\n" + COLUMNS + b"\n" + ROW + b"\n"] * 16


def request(target, body=b"", headers=b"", method=b"POST"):
    return (method + b" " + target + b" HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n" % len(body) +
            headers + b"\r\n" + body)


class BrokenInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon(DOMAIN))

    def run_kind(self, name, inputs, one_response=True, json_between=False):
        """Sends COUNT broken inputs with good samples between them; the tally of what came back,
        and what the daemon's counters moved by."""
        daemon, tally = self.daemon, Tally()
        before = daemon.metrics()
        wire, good = Wire(daemon.port), Wire(daemon.port)
        stream, sent = "steady_" + name, 0
        good_tally = Tally()
        for i in range(COUNT):
            wire.open()
            wire.send(inputs())
            if one_response:
                answer = wire.read()
                self.assertIsNotNone(answer, "no answer")
                while answer[0] == 100:
                    answer = wire.read()
                tally.add(*answer)
                if answer[1].get("connection", "").lower() == "close":
                    wire.close()
            else:
                try:
                    wire.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # it has closed already
                while (answer := wire.read()) is not None:
                    tally.add(*answer)
                wire.close()
            if i % 20 == 0:
                good.open()
                time = START + sent * 10_000_000
                if json_between:
                    good.send(request(b"/api/v1/samples", json.dumps(
                        {"stream": stream, "start": time, "rate_hz": 100,
                         "channels": {"ax": [1, 2, 3], "ay": [4, 5, 6]}}).encode()))
                else:
                    good.send(request(b"/write", "".join(
                        f"{stream} ax=1,ay={k} {time + k * 10_000_000}\n"
                        for k in range(3)).encode()))
                answer = good.read()
                self.assertEqual(answer[0], 200 if json_between else 204, answer)
                good_tally.add(*answer)
                sent += 3
        wire.close()
        good.close()

        daemon.await_received(stream, sent)
        samples = daemon.get_json("/api/v1/streams/" + stream)["samples"]
        self.assertEqual(samples, {"received": sent, "duplicate": 0, "late": 0, "excess": 0,
                                   "time_range": 0})
        accepted = lambda m: total(m, "anomalyd_ingest_samples_total")
        worked = lambda m: total(m, "anomalyd_stream_samples_total")
        await_that("every accepted sample is worked through",
                   lambda: (lambda m: accepted(m) == worked(m))(daemon.metrics()))
        after = daemon.metrics()
        moved = lambda metric, **labels: total(after, metric, **labels) - total(before, metric,
                                                                                **labels)
        self.assertIsNone(daemon.process.poll(), "the daemon has ended")
        self.assertEqual(daemon.get("/-/ready").status, 200)
        refused = {code: n for code, n in tally.codes.items() if code >= 400}
        counted = {code: moved("anomalyd_http_requests_total", code=str(code))
                   for code in range(400, 600)}
        self.assertEqual({c: n for c, n in counted.items() if n}, refused)
        self.assertEqual(moved("anomalyd_ingest_rejected_total"), tally.rejected)
        self.assertGreater(sum(refused.values()), COUNT // 5, "these inputs are hardly broken")
        print(f"{name}: {COUNT} inputs, answers {dict(sorted(tally.codes.items()))}, "
              f"{tally.rejected} lines or elements refused, {sent} good samples arrived")
        return tally, good_tally, moved

    def test_line_protocol(self):
        mutator = Mutator(seeds("line_protocol") + LINES, 1)
        self.run_kind("line_protocol", lambda: request(b"/api/v2/write", mutator.next()))

    def run_json(self, name, good, kind, seed):
        mutator = Mutator(seeds(name) + good, seed)
        tally, good_tally, moved = self.run_kind(
            name, lambda: request(b"/api/v1/samples", mutator.next(),
                                  b"Content-Type: " + kind + b"\r\n"), json_between=True)
        self.assertEqual(moved("anomalyd_ingest_samples_total", protocol="json"),
                         tally.accepted + good_tally.accepted)

    def test_json(self):
        self.run_json("json_samples", JSON, b"application/json", 2)

    def test_ndjson(self):
        self.run_json("ndjson_samples", NDJSON, b"application/x-ndjson", 3)

    def test_packed_bodies(self):
        lines = seeds("line_protocol")
        packed = [gzip.compress(b, mtime=0) for b in lines] + [zlib.compress(b) for b in lines]
        broken = Mutator(packed, 4)
        whole = Mutator(lines + LINES, 9)
        toggle = itertools.cycle((broken.next, lambda: gzip.compress(whole.next(), 1, mtime=0)))
        tally, _, moved = self.run_kind("packed", lambda: request(
            b"/write", next(toggle)(), b"Content-Encoding: gzip\r\n"))
        self.assertEqual(moved("anomalyd_ingest_requests_refused_total"), tally.whole)

    def test_query_strings(self):
        # The line's end is no part of a target: that is the next kind.
        broken = Mutator(seeds("query"), 5)
        inputs = lambda: request(re.sub(rb"[\r\n]", b"", broken.next()) or b"/", method=b"GET")
        self.run_kind("query", inputs)

    def test_raw_http(self):
        body = b"raw ax=1 1700000000000000000\n"
        good = [
            request(b"/write?db=x", body),
            request(b"/api/v1/samples", b'{"stream":"raw","values":{"ax":1}}',
                    b"Content-Type: application/json\r\n"),
            request(b"/api/v1/alerts?limit=1", method=b"GET"),
            b"GET /metrics HTTP/1.0\r\n\r\n",
            b"POST /write HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
            request(b"/write", body, b"Expect: 100-continue\r\n"),
            request(b"/write", body) + request(b"/ping", method=b"GET"),
            b"DELETE /api/v1/streams/a HTTP/1.1\r\nHost: t\r\n\r\n",
        ]
        mutator = Mutator(good, 6)
        self.run_kind("raw", mutator.next, one_response=False)

    def test_broken_detector_files(self):
        daemon = self.daemon
        machine = Machine("modelled", 7)
        daemon.write(machine.lines(1400))
        daemon.await_received("modelled", machine.sent)
        before = daemon.get_json("/api/v1/detectors")
        files = [b"", b"\x00" * 8, b"\xff" * 64, b"\x10" + b"\x00" * 7 + b'{"nonsense":true'] + \
            seeds("detector_file")
        mutator = Mutator(files, 8)
        files += [mutator.next() for _ in range(20)]
        model = daemon.folder / "broken.safetensors"
        reloads = 0
        for content in files:
            model.write_bytes(content)
            daemon.write_config(f'[[domain]]\nname = "machines"\ndetector = "{model}"\n')
            done = daemon.log_text().count("configuration")
            daemon.process.send_signal(signal.SIGHUP)
            await_that("the reload is over",
                       lambda: daemon.log_text().count("configuration") > done)
            self.assertIsNone(daemon.process.poll(), content)
            reason = [line for line in daemon.log_text().splitlines() if "not reloaded" in line]
            if total(daemon.metrics(), "anomalyd_config_last_reload_successful") == 1:
                reloads += 1  # a seed that is a whole detector
                daemon.write_config(DOMAIN)
                daemon.process.send_signal(signal.SIGHUP)
                await_that("the old detector is back",
                           lambda: daemon.get_json("/api/v1/detectors") == before)
                continue
            self.assertIn("broken.safetensors", reason[-1])
            self.assertEqual(daemon.get_json("/api/v1/detectors"), before)
        self.assertLess(reloads, len(files) // 2)
        if not reloads:
            self.assertEqual(daemon.get_json("/api/v1/streams/modelled")["state"], "normal")
        daemon.write_config(DOMAIN)
        daemon.process.send_signal(signal.SIGHUP)
        await_that("the good config is loaded", lambda: total(
            daemon.metrics(), "anomalyd_config_last_reload_successful") == 1)


if __name__ == "__main__":
    unittest.main()
