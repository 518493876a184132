"""The responses of a running daemon, held against docs/openapi.json."""

import gzip
import json
import re
import unittest

from daemon import SOURCE, Daemon, DOMAIN, Machine, await_that, quote
from json_schema import Checker

DOCUMENT = json.loads((SOURCE / "docs/openapi.json").read_text())
CHECKER = Checker(DOCUMENT)


def response_errors(path, method, response, document=DOCUMENT):
    """What of a response is not as the document says."""
    checker = Checker(document)
    responses = document["paths"][path][method]["responses"]
    name = str(response.status)
    described = checker.resolve(responses.get(name, responses["default"]))
    if name not in responses and response.status < 400:
        return [f"status {name} is not described"]
    content = described.get("content")
    if content is None:
        return [f"a body where none is described: {response.body!r}"] if response.body else []
    if response.type() not in content:
        return [f"content type {response.type()!r}, described: {sorted(content)}"]
    schema = content[response.type()]["schema"]
    value = response.json() if response.type().endswith("json") else response.body.decode()
    return checker.errors(value, schema)


class SelfTest(unittest.TestCase):
    """A checker that passes everything would pass this daemon, too."""

    def schema_errors(self, value, name):
        return CHECKER.errors(value, {"$ref": "#/components/schemas/" + name})

    def test_right_values_pass(self):
        self.assertEqual(self.schema_errors(
            {"time": "2026-11-22T04:05:06.25Z", "score": 1.5, "p_value": None}, "ScorePoint"), [])
        self.assertEqual(self.schema_errors({"accepted": 3}, "Accepted"), [])

    def test_wrong_values_fail(self):
        good = {"time": "2026-11-22T04:05:06.25Z", "score": 1.5, "p_value": 0.5}
        for change in ({"time": "yesterday"}, {"time": None}, {"score": "1.5"}, {"score": True},
                       {"p_value": 1.5}, {"p_value": -0.1}, {"more": 1}):
            self.assertNotEqual(self.schema_errors({**good, **change}, "ScorePoint"), [], change)
        for name in good:
            less = {k: v for k, v in good.items() if k != name}
            self.assertNotEqual(self.schema_errors(less, "ScorePoint"), [], name)
        self.assertNotEqual(self.schema_errors({"accepted": 3.5}, "Accepted"), [])
        self.assertNotEqual(self.schema_errors({"accepted": -1}, "Accepted"), [])
        self.assertNotEqual(self.schema_errors([], "Accepted"), [])
        self.assertNotEqual(self.schema_errors("asleep", "StreamState"), [])

    def test_an_unknown_keyword_is_an_error(self):
        with self.assertRaises(ValueError):
            CHECKER.errors(1, {"multipleOf": 2})

    def test_every_object_is_closed_and_every_reference_leads_somewhere(self):
        def walk(node, at):
            if isinstance(node, list):
                for i, item in enumerate(node):
                    walk(item, f"{at}[{i}]")
            elif isinstance(node, dict):
                if isinstance(node.get("$ref"), str):
                    CHECKER.resolve(node)
                if node.get("type") == "object" and at != "$.paths./openapi.json":
                    if "properties" in node:
                        self.assertIs(node.get("additionalProperties"), False, at)
                        self.assertIn("required", node, at)
                for name, item in node.items():
                    walk(item, f"{at}.{name}")
        walk(DOCUMENT, "$")

    def test_the_examples_are_as_their_schema_says(self):
        body = DOCUMENT["paths"]["/api/v1/samples"]["post"]["requestBody"]["content"]
        media = body["application/json"]
        for name, example in media["examples"].items():
            self.assertEqual(CHECKER.errors(example["value"], media["schema"]), [], name)
        self.assertNotEqual(CHECKER.errors({"stream": "pump"}, media["schema"]), [])


class ApiPage(unittest.TestCase):
    """docs/api.md has every route, and its examples are what the document describes."""

    def setUp(self):
        self.sections = {}  # (path, method) -> text
        for part in re.split(r"^### ", (SOURCE / "docs/api.md").read_text(), flags=re.M)[1:]:
            method, path = re.match(r"`(GET|POST) (\S+)`\n", part).groups()
            self.assertNotIn((path, method.lower()), self.sections)
            self.sections[path, method.lower()] = part

    def test_every_route_is_there(self):
        self.assertEqual(set(self.sections), {(path, method) for path, item
                                              in DOCUMENT["paths"].items() for method in item})

    def test_the_outputs_are_as_described(self):
        checked = 0
        for (path, method), text in self.sections.items():
            for block in re.findall(r"```console\n(.*?)```", text, re.S):
                for command, output in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.M):
                    if not output.startswith("{") or re.search(r"jq .*\.", command):
                        continue
                    value = json.loads(output)
                    tries = []
                    for response in DOCUMENT["paths"][path][method]["responses"].values():
                        for media in CHECKER.resolve(response).get("content", {}).values():
                            tries.append(CHECKER.errors(value, media["schema"]))
                    self.assertIn([], tries, (command, output, tries))
                    checked += 1
        self.assertGreaterEqual(checked, 11)


class Responses(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = cls.enterClassContext(Daemon(DOMAIN))
        machine = Machine("pump,site=a")
        # A stream with a resolved alert, one that is learning, one with NaN; then one that fires.
        cls.daemon.write(machine.lines(1400) + machine.lines(320, 5) + machine.lines(320))
        cls.daemon.write("young ax=1 1700000000000000000\n")
        cls.daemon.await_received('pump{site="a"}', machine.sent)
        firing = Machine("fan", 2)
        cls.daemon.write(firing.lines(1400) + firing.lines(320, 5))
        cls.alerts = await_that("two alerts", lambda: (
            lambda found: found if [a["state"] for a in found].count("firing") == 1
            and len(found) == 2 else None)(cls.daemon.get_json("/api/v1/alerts")["alerts"]))
        cls.seen = set()

    def check(self, path, status, target=None, method="get", body=None, headers=None):
        response = self.daemon.send(method.upper(), target or path, body, headers)
        self.assertEqual(response.status, status, (target, response.body))
        self.assertEqual(response_errors(path, method, response), [], (target, response.body))
        self.seen.add((path, method))
        return response

    def test_responses_are_as_described(self):
        check = self.check
        key = quote('pump{site="a"}')
        for path in ("/", "/api/v1/status", "/api/v1/streams", "/api/v1/alerts",
                     "/api/v1/detectors", "/openapi.json", "/metrics", "/-/healthy", "/healthz",
                     "/-/ready", "/health"):
            check(path, 200)
        check("/ping", 204)
        self.assertEqual(check("/openapi.json", 200).json(), DOCUMENT)
        self.assertEqual(len(check("/api/v1/streams", 200).json()["streams"]), 3)
        check("/api/v1/streams", 200, "/api/v1/streams?limit=1")
        check("/api/v1/streams", 400, "/api/v1/streams?state=asleep")
        check("/api/v1/streams/{key}", 200, "/api/v1/streams/" + key)
        check("/api/v1/streams/{key}", 200, "/api/v1/streams/young")
        check("/api/v1/streams/{key}", 404, "/api/v1/streams/nobody")
        check("/api/v1/streams/{key}", 400, "/api/v1/streams/a%7B")
        scores = check("/api/v1/streams/{key}/scores", 200, f"/api/v1/streams/{key}/scores")
        self.assertGreater(len(scores.json()["scores"]), 10)
        check("/api/v1/streams/{key}/scores", 400, f"/api/v1/streams/{key}/scores?from=x")
        check("/api/v1/alerts", 200, "/api/v1/alerts?limit=1")
        check("/api/v1/alerts", 400, "/api/v1/alerts?limit=0")
        for alert in self.alerts:
            check("/api/v1/alerts/{id}", 200, "/api/v1/alerts/" + alert["id"])
        check("/api/v1/alerts/{id}", 404, "/api/v1/alerts/none")
        check("/api/v1/status", 400, "/api/v1/status?x=1")

        row = b'{"stream":"s","values":{"ax":1}}'
        post = lambda status, body, **headers: check(
            "/api/v1/samples", status, method="post", body=body,
            headers={k.replace("_", "-"): v for k, v in headers.items()})
        post(200, row, Content_Type="application/json")
        post(200, row + b"\n" + row, Content_Type="application/x-ndjson")
        post(200, gzip.compress(row), Content_Encoding="gzip")
        post(400, b'[{"stream":"s","values":{"ax":1}},{"stream":"s"},7]')
        post(400, b"\xff{")
        post(400, row, Content_Encoding="gzip")
        post(413, b" " * (16 << 20) + b" ")
        post(415, row, Content_Type="text/csv")
        for path in ("/write", "/api/v2/write"):
            write = lambda status, body, query="", **headers: check(
                path, status, path + query, "post", body, headers)
            write(204, b"s ax=1 7\n", "?precision=s")
            write(400, b"s ax=1\nbroken\n")
            write(400, b"s ax=1\n", "?precision=d")
            write(415, b"s ax=1\n", **{"Content-Encoding": "br"})
            write(400, b"s ax=1\n", **{"Content-Encoding": "gzip"})
        every = {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}
        self.assertEqual(self.seen, every)

    def test_refusals_of_the_server_are_as_described(self):
        for method, target, headers, status in (
                ("GET", "/nothing", {}, 404),
                ("DELETE", "/api/v1/alerts", {}, 405),
                ("GET", "/api/v1/alerts?x=%zz", {}, 400),
                ("GET", "/" + "a" * 9000, {}, 414),
                ("GET", "/api/v1/alerts", {"X-Long": "a" * 20000}, 431),
                ("GET", "/api/v1/alerts", {"Expect": "miracles"}, 417)):
            response = self.daemon.send(method, target, headers=headers)
            self.assertEqual(response.status, status, (target[:40], response.body))
            self.assertEqual(response_errors("/api/v1/alerts", "get", response), [])
            if status == 405:
                self.assertEqual(response.headers["Allow"], "GET, HEAD")

    def test_a_response_that_is_wrong_is_found(self):
        response = self.daemon.get("/api/v1/alerts/" + self.alerts[0]["id"])
        self.assertEqual(response_errors("/api/v1/alerts/{id}", "get", response), [])
        alert = response.json()
        for change in (lambda a: a.pop("peak"), lambda a: a.update(extra=1),
                       lambda a: a["context"].update(rate_hz="fast"),
                       lambda a: a["contributions"][0].update(share=2),
                       lambda a: a.update(state="burning"), lambda a: a.update(start="now")):
            wrong = json.loads(json.dumps(alert))
            change(wrong)
            response.body = json.dumps(wrong).encode()
            self.assertNotEqual(response_errors("/api/v1/alerts/{id}", "get", response), [])
        response.headers.replace_header("Content-Type", "text/plain")
        self.assertNotEqual(response_errors("/api/v1/alerts/{id}", "get", response), [])


if __name__ == "__main__":
    unittest.main()
