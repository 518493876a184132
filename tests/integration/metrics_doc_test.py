"""docs/metrics.md and a live /metrics name the same metrics, with the same types and labels."""

import re
import unittest

from daemon import SOURCE, DOMAIN, Daemon, Machine, await_that, parse_metrics

DOCUMENT = SOURCE / "docs/metrics.md"


def described():
    """{name: (type, labels)} of the tables' rows: | `name` | type | `label`, ... | meaning |"""
    found = {}
    for line in DOCUMENT.read_text().splitlines():
        row = re.fullmatch(r"\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|", line)
        if row:
            name, kind, labels, meaning = row.groups()
            if name in found:
                raise ValueError(f"{name} is described twice")
            if not meaning.strip():
                raise ValueError(f"{name} has no meaning")
            found[name] = (kind, frozenset(re.findall(r"`(\w+)`", labels)))
        elif line.startswith("| `"):
            raise ValueError(f"not a row of four cells: {line}")
    return found


def live(text):
    """The same of a scrape."""
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    labels = {name: set() for name in kinds}
    for name, found in parse_metrics(text):
        base = name
        if base not in kinds:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
        labels[base] |= {label for label, _ in found} - (
            {"le"} if kinds[base] == "histogram" else set())
    return {name: (kinds[name], frozenset(labels[name])) for name in kinds}


class MetricsDocument(unittest.TestCase):
    def test_document_and_daemon_agree(self):
        with Daemon(DOMAIN) as daemon:
            machine = Machine("pump")
            daemon.write(machine.lines(1400) + machine.lines(200, 5))
            await_that("an alert", lambda: daemon.get_json("/api/v1/alerts")["alerts"])
            scraped = live(daemon.get("/metrics").body.decode())
        document = described()
        self.assertEqual(sorted(set(scraped) - set(document)), [], "served, not described")
        self.assertEqual(sorted(set(document) - set(scraped)), [], "described, not served")
        for name, what in sorted(scraped.items()):
            self.assertEqual(document[name], what, name)

    def test_names_follow_the_conventions(self):
        for name, (kind, labels) in described().items():
            self.assertEqual(name.endswith("_total"), kind == "counter", name)
            self.assertRegex(name, r"^(anomalyd_[a-z]+|process)(_[a-z0-9]+)*$")
            self.assertFalse(labels & {"stream", "key", "sensor"}, f"{name}: an unbounded label")


if __name__ == "__main__":
    unittest.main()
