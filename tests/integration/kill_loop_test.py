"""The daemon is killed at any moment, again and again, while senders bring samples; they do what
real senders do: a request that was not answered is sent again, as it was, until it is. At the end
everything is as in a run that was never killed: the alerts to the last digit, with their ids, times,
scores and contributions; the windows scored; the last scores of every stream.

That holds for senders that give time stamps and send each stream in order. A request that was kept
but whose answer the crash took comes twice: its samples are in the past of their stream then and
are passed over, counted as `late` or `duplicate`.

    kill_loop_test.py [--kills 25] [--seed 1]"""

import argparse
import http.client
import json
import random
import sys
import threading
import time
import unittest

from daemon import START, Daemon, await_that, quote

KILLS = 25
SEED = 1
SENDERS = 3
STREAMS = 4  # of each sender
ROWS = 50  # of a stream in a request
BATCHES_A_KILL = 8  # of each sender

CONFIG = """
sync = "interval"
checkpoint_interval = "100ms"
alert_retention = "36500d"
[stream]
shards = 2
[[domain]]
name = "learned"
match = { streams = ["standard*"] }
detector = "standard"
rate_hz = 100
window_samples = 32
hop_samples = 16
learn_windows = 60
lateness = "0s"
hold = "0s"
false_alerts = "1 per minute"
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
"""


class Sender:
    """Brings some streams, all of them in each request. Each has faults of its own."""

    def __init__(self, number, batches):
        names = [f"machine{number}_{i}" for i in range(STREAMS)]
        if number == 0:
            names[0] = "standard"
        self.names = names
        self.bodies = []
        rng = random.Random(1000 * SEED + number)
        sent = 0
        for _ in range(batches):
            lines = []
            for i, name in enumerate(names):
                # A fault of 2 s in every 9 s, at another time in each stream, after the learning.
                for row in range(sent, sent + ROWS):
                    is_bad = row > 1200 and (row + 150 * i) % 900 < 200
                    shift = 4.0 if is_bad else 0.0
                    lines.append(f"{name} ax={shift + rng.gauss(0, 0.1):.6f},"
                                 f"ay={1 + rng.gauss(0, 0.1):.6f} {START + row * 10_000_000}\n")
            sent += ROWS
            self.bodies.append("".join(lines).encode())
        self.rows = sent
        self.acknowledged = 0
        self.repeated = 0
        self.refused = 0
        self.failure = None

    def run(self, daemon):
        """`daemon.port` changes when it is started anew."""
        connection = None
        port = None
        try:
            for body in self.bodies:
                tries = 0
                while True:
                    if connection is None or port != daemon.port:
                        port = daemon.port
                        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                    try:
                        connection.request("POST", "/api/v2/write", body)
                        answer = connection.getresponse()
                        answer.read()
                    except (OSError, http.client.HTTPException):
                        connection.close()
                        connection = None
                        tries += 1
                        time.sleep(0.01)
                        continue
                    if answer.status == 204:
                        break
                    if answer.status not in (503, 507):
                        raise AssertionError(f"status {answer.status}")
                    self.refused += 1
                    time.sleep(0.01)
                self.acknowledged += 1
                self.repeated += tries > 0
        except BaseException as failure:
            self.failure = failure
            raise
        finally:
            if connection is not None:
                connection.close()


def quiet(daemon):
    """Waits until all that was accepted is scored."""
    def is_done():
        status = daemon.get_json("/api/v1/status")
        return all(shard["position"] == status["journal"]["position"]
                   for shard in status["shards"])
    await_that("all is scored", is_done)


def outcome(daemon, senders):
    """All that is to be as it would have been, and the figures of what was not used."""
    quiet(daemon)
    alerts = []
    cursor = ""
    while True:
        page = daemon.get_json("/api/v1/alerts?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
        alerts += [daemon.get_json("/api/v1/alerts/" + quote(a["id"])) for a in page["alerts"]]
        cursor = page.get("next")
        if not cursor:
            break
    # What an alert that is open says last is written at most once a second of event time.
    streams = {}
    unused = {}
    for sender in senders:
        for name in sender.names:
            stream = daemon.get_json("/api/v1/streams/" + quote(name))
            samples = stream["samples"]
            unused[name] = samples["received"] - sender.rows
            dropped = sum(count for key, count in samples.items() if key != "received")
            streams[name] = {
                "state": stream["state"],
                "windows": stream["windows"],
                "used": samples["received"] - dropped,
                "last_scores": daemon.get_json(f"/api/v1/streams/{quote(name)}/scores")["scores"][-20:],
            }
    return {"alerts": sorted(alerts, key=lambda alert: alert["id"]), "streams": streams}, unused


def run(kills):
    """One load, killed that often on its way."""
    batches = BATCHES_A_KILL * KILLS
    senders = [Sender(i, batches) for i in range(SENDERS)]
    rng = random.Random(SEED)
    total = batches * SENDERS
    moments = sorted(rng.randrange(total - SENDERS) for _ in range(kills))
    starts = []
    with Daemon(CONFIG) as daemon:
        threads = [threading.Thread(target=sender.run, args=(daemon,)) for sender in senders]
        for thread in threads:
            thread.start()
        for moment in moments:
            await_that("the load goes on", lambda: sum(s.acknowledged for s in senders) >= moment
                       or any(s.failure for s in senders), 120)
            time.sleep(rng.random() * 0.03)
            daemon.kill()
            begin = time.monotonic()
            daemon.start()
            starts.append(time.monotonic() - begin)
        for thread in threads:
            thread.join()
        for sender in senders:
            if sender.failure:
                raise sender.failure
        found, unused = outcome(daemon, senders)
        # And once more after an ordinary stop: nothing is left to be scored again then.
        assert daemon.stop() == 0
        daemon.start()
        again, _ = outcome(daemon, senders)
        replayed = daemon.metrics()[("anomalyd_journal_replayed_samples_total", frozenset())]
    return {"found": found, "again": again, "unused": unused, "replayed": replayed,
            "repeated": sum(s.repeated for s in senders),
            "refused": sum(s.refused for s in senders), "starts": starts,
            "acknowledged": sum(s.acknowledged for s in senders)}


class KillLoop(unittest.TestCase):
    maxDiff = 4000

    def test_a_daemon_that_is_killed_finds_what_one_that_is_not_killed_finds(self):
        undisturbed = run(0)
        killed = run(KILLS)
        self.assertGreater(len(undisturbed["found"]["alerts"]), SENDERS * STREAMS)
        self.assertIn("standard", {a["stream"] for a in undisturbed["found"]["alerts"]})
        self.assertEqual(killed["acknowledged"], undisturbed["acknowledged"])
        for name, stream in undisturbed["found"]["streams"].items():
            self.assertEqual(killed["found"]["streams"][name], stream, name)
        self.assertEqual([a["id"] for a in killed["found"]["alerts"]],
                         [a["id"] for a in undisturbed["found"]["alerts"]])
        self.assertEqual(killed["found"], undisturbed["found"])
        self.assertEqual(killed["again"], undisturbed["again"])
        self.assertEqual(killed["replayed"], 0)
        # What came twice was passed over, and nothing else was.
        self.assertEqual(set(undisturbed["unused"].values()), {0})
        self.assertLessEqual(max(killed["unused"].values()), killed["repeated"] * ROWS)
        starts = sorted(killed["starts"])
        print(f"\n{KILLS} kills, seed {SEED}: {killed['acknowledged']} requests, "
              f"{killed['repeated']} of them sent again, "
              f"{sum(killed['unused'].values())} samples came twice; "
              f"{len(killed['found']['alerts'])} alerts; ready again after "
              f"{starts[len(starts) // 2]:.2f} s (median), {starts[-1]:.2f} s (longest)",
              file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=SEED)
    own, rest = parser.parse_known_args()
    KILLS, SEED = own.kills, own.seed
    unittest.main(argv=[sys.argv[0], *rest])
