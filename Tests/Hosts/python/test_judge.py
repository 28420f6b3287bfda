"""hadpo judge against a server on this machine that misbehaves in every way. HADPO_TOOL names the tool."""

import base64
import collections
import datetime
import email.utils
import hashlib
import html
import http.server
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = os.environ.get("HADPO_TOOL", str(ROOT / "build/bin/hadpo"))
KEY = "sk-test-0123456789abcdef/secret"
DENIED, INCOMPLETE = 8, 9


def completion(text, *, finish="stop", choices=1):
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    return {"id": "c", "object": "chat.completion", "model": "judge-1", "choices": [choice] * choices,
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}


class Server:
    """Answers POST with what `script(question, attempt)` gives: a dict (200, JSON), or a callable on the handler."""

    def __init__(self, script, context=None):
        server = self
        self.script, self.lock = script, threading.Lock()
        self.asked = collections.Counter()  # question: requests that came
        self.bodies, self.sent, self.headers, self.paths, self.times = [], [], [], [], collections.defaultdict(list)
        self.busy = self.most_busy = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(sent)
                question = body["messages"][-1]["content"]
                with server.lock:
                    server.asked[question] += 1
                    attempt = server.asked[question]
                    server.bodies.append(body)
                    server.sent.append(sent)
                    server.headers.append(dict(self.headers))
                    server.paths.append(self.path)
                    server.times[question].append(time.monotonic())
                    server.busy += 1
                    server.most_busy = max(server.most_busy, server.busy)
                try:
                    answer = server.script(question, attempt)
                    if callable(answer):
                        answer(self)
                    else:
                        self.reply(200, answer)
                except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    self.close_connection = True  # the client hung up, as some tests want
                finally:
                    with server.lock:
                        server.busy -= 1

            def reply(self, status, body, headers=(), content_type="application/json"):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 64

            def handle_error(self, *_):
                pass  # a refused TLS handshake

        self.http = Quiet(("127.0.0.1", 0), Handler)
        if context is not None:
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    def total(self):
        with self.lock:
            return sum(self.asked.values())


def status(code, error, *headers):
    body = {"error": error if isinstance(error, dict) else {"message": error, "type": "t", "param": None, "code": None}}
    return lambda handler: handler.reply(code, body, headers)


def raw(code, data, content_type):
    return lambda handler: handler.reply(code, data, content_type=content_type)


def first_then_good(bad, times=1):
    return lambda question, attempt: bad if attempt <= times else completion(f"verdict on {question}")


def good(question, _):
    return completion(f"verdict on {question}")


class Judge(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        # A proxy of the machine must not stand between the client and this test.
        self.environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.environment["OPENAI_API_KEY"] = KEY

    def serve(self, script, context=None):
        server = Server(script, context)
        self.addCleanup(server.stop)
        return server

    def requests(self, questions, name="requests.jsonl", ids=None, **parameters):
        lines = [json.dumps({"custom_id": ids[i] if ids else f"r{i}", "method": "POST", "url": "/v1/chat/completions",
                             "body": {"model": "judge-1", "messages": [{"role": "user", "content": question}],
                                      "temperature": 0.7, "max_tokens": 800, **parameters}})
                 for i, question in enumerate(questions)]
        (self.folder / name).write_text("".join(line + "\n" for line in lines))

    def command(self, *flags, requests="requests.jsonl", output="replies.jsonl"):
        return [TOOL, "judge", requests, "-o", output, "--backoff", "0.02", "--retries", "3", "--json", *map(str, flags)]

    def judge(self, server, *flags, code=0, **files):
        address = ["-u", server.url] if server else []
        run = subprocess.run(self.command(*address, *flags, **files), capture_output=True, text=True, cwd=self.folder,
                             env=self.environment, timeout=30)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        self.errors = run.stderr
        return json.loads(run.stdout) if run.stdout else None

    def lines(self, name="replies.jsonl"):
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def outcome(self, script, *flags, code=INCOMPLETE):
        """One question; the name of its failure, and how often it was asked."""
        server = self.serve(script)
        self.requests(["q"])
        report = self.judge(server, *flags, code=code)
        failures = [entry["code"] for entry in report["unanswered"]]
        return (failures[0] if failures else None), server.total()

    # ---- what is asked and written

    def test_replies_are_batch_lines_with_the_key_of_what_was_asked(self):
        server = self.serve(good)
        self.requests(["a \u00e9\u4e2d \"x\"/\u0001", "b"], top_p=1.0, logit_bias={"50256": -100}, presence_penalty=1e-7, seed=2**53 + 1)
        report = self.judge(server, "--price-in", "2", "--price-out", "10")
        asked = {line["custom_id"]: line["body"] for line in self.lines("requests.jsonl")}
        lines = self.lines()
        self.assertEqual({line["custom_id"] for line in lines}, set(asked))
        for line in lines:
            self.assertEqual(set(line), {"id", "custom_id", "key", "request_key", "response", "error"})
            self.assertIsNone(line["error"])
            self.assertEqual(line["response"]["status_code"], 200)
            self.assertEqual(line["key"], hashlib.sha256(json.dumps(asked[line["custom_id"]]).encode()).hexdigest())
            self.assertEqual(line["request_key"], line["key"])
        self.assertEqual(set(server.paths), {"/v1/chat/completions"})
        self.assertEqual((report["prompt_tokens"], report["completion_tokens"]), (200, 20))
        self.assertAlmostEqual(report["cost"], 200 * 2e-6 + 20 * 10e-6)

    def test_bodies_are_sent_byte_for_byte(self):
        server = self.serve(good)
        body = rb'{ "stop":["###", "}]\\\""],"model" :"judge-1", "messages": [{"role":"user","content":"\u00e9 \/ ' + "中".encode() \
            + rb'"}],"temperature":0.70,"body": {} ,"seed":1e2}'
        around = (b'\n{"url":"/v1/chat/completions","metadata":{"body":{"no":1}},"note":"body",\t"body" : ',
                  rb' , "custom_id":"\u00fc\"x"}' + b"\r\n")
        (self.folder / "requests.jsonl").write_bytes(around[0] + body + around[1])
        self.judge(server)
        self.assertEqual(server.sent, [body])
        self.assertEqual(self.lines()[0]["key"], hashlib.sha256(body).hexdigest())
        self.assertEqual(self.lines()[0]["custom_id"], 'ü"x')

    def test_a_base_url_with_a_path_takes_the_place_of_v1(self):
        server = self.serve(good)
        self.requests(["a"])
        for base, path in (("/v1", "/v1/chat/completions"), ("/any/openai/", "/any/openai/chat/completions"), ("/", "/v1/chat/completions")):
            self.judge(None, "-u", server.url + base, output=f"{len(server.paths)}.jsonl")
            self.assertEqual(server.paths[-1], path)

    def test_another_model_is_another_question(self):
        server = self.serve(good)
        self.requests(["a"])
        self.judge(server)
        self.judge(server, "-m", "judge-2", code=4)  # the file would hold two judges' verdicts
        self.judge(server, "-m", "judge-2", output="second.jsonl")
        self.assertEqual([body["model"] for body in server.bodies], ["judge-1", "judge-2"])
        line = self.lines("second.jsonl")[0]
        self.assertEqual(line["key"], hashlib.sha256(server.sent[1]).hexdigest())
        self.assertEqual(line["request_key"], hashlib.sha256(server.sent[0]).hexdigest())

    def test_equal_requests_are_asked_once(self):
        server = self.serve(good)
        self.requests(["a", "b", "a", "a"])
        report = self.judge(server)
        self.assertEqual((server.total(), report["asked"], report["reused"], report["answered"]), (2, 2, 2, 4))
        texts = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in self.lines()}
        self.assertEqual(texts, {"r0": "verdict on a", "r1": "verdict on b", "r2": "verdict on a", "r3": "verdict on a"})

    def test_a_second_run_and_a_cache_ask_only_what_is_new(self):
        server = self.serve(good)
        self.requests(["a", "b"])
        self.judge(server)
        self.requests(["a", "b", "c"])
        self.assertEqual(self.judge(server)["asked"], 1)
        self.requests(["c", "b", "d"], ids=["x", "y", "z"])
        self.assertEqual(self.judge(server, "--cache", "replies.jsonl", output="other.jsonl")["asked"], 1)
        self.assertEqual(server.asked, {"a": 1, "b": 1, "c": 1, "d": 1})

    def test_limit_and_dry_run(self):
        server = self.serve(good)
        self.requests(["a" * 400, "b" * 400, "a" * 400])
        plan = self.judge(server, "--dry-run", "--price-in", "1", "--price-out", "1")
        self.assertEqual((plan["requests"], plan["to_ask"], plan["copies"]), (3, 2, 1))
        self.assertEqual(plan["prompt_tokens_about"], 2 * (400 / 4 + 4))
        self.assertEqual(plan["completion_tokens_at_most"], 1600)
        self.assertEqual(server.total(), 0)
        self.assertFalse((self.folder / "replies.jsonl").exists())
        self.assertEqual(self.judge(server, "--limit", "1")["answered"], 1)
        self.assertEqual(self.judge(server, "--dry-run")["to_ask"], 1)

    def test_requests_that_are_none_end_with_3_and_name_the_line(self):
        server = self.serve(good)
        self.requests(["a"])
        line = (self.folder / "requests.jsonl").read_text()
        other = json.loads(line)
        other["body"]["temperature"] = 0
        for bad in ("{", "[]\n", line.replace("r0", ""), line.replace("POST", "GET"), line.replace("/v1/chat", "/v2"),
                    line.replace("judge-1", ""), json.dumps(other) + "\n", line.replace('"max_tokens": 800', '"stream": true'),
                    line.replace("0.7", "NaN"), line.replace('"max_tokens"', '"temperature"')):
            with self.subTest(bad):
                (self.folder / "bad.jsonl").write_text(line + bad)
                self.judge(server, code=3, requests="bad.jsonl")
                self.assertIn("bad.jsonl:2", self.errors)
        self.assertEqual(server.total(), 0)

    def test_wrong_flags_and_configs(self):
        self.requests(["a"])
        for flags in (["-u", "ftp://x"], ["-u", "http://u:p@x"], ["-u", "http://x/?a=b"], ["-u", "nonsense"], ["-j", "0"],
                      ["--timeout", "0"], ["--key-env", "ABSENT_VARIABLE"], ["--key-file", "requests.jsonl"]):
            with self.subTest(flags):
                self.judge(None, *flags, code=2)
        for config in ({"concurency": 2}, {"concurrency": "2"}):
            (self.folder / "c.json").write_text(json.dumps(config))
            self.judge(None, "-c", "c.json", code=3)

    # ---- misbehaviour

    def test_statuses_that_pass_are_tried_again(self):
        for code in (408, 409, 429, 500, 502, 503, 504):
            with self.subTest(code):
                failure, asked = self.outcome(first_then_good(status(code, "later"), 2), code=0)
                self.assertEqual((failure, asked), (None, 3))
                (self.folder / "replies.jsonl").unlink()

    def test_retries_end(self):
        self.assertEqual(self.outcome(lambda *_: status(500, "broken")), ("server_error", 4))
        self.assertEqual(self.outcome(lambda *_: status(429, "slower")), ("rate_limited", 4))

    def test_statuses_that_stay_fail_their_request_alone(self):
        names = {400: "bad_request", 404: "not_found", 422: "unprocessable", 418: "unexpected_status"}
        server = self.serve(lambda q, _: status(int(q), "wrong") if q.isdigit() else completion("fine"))
        self.requests([*map(str, names), "good"])
        report = self.judge(server, "-j", "1", code=INCOMPLETE)
        self.assertEqual({entry["custom_id"]: entry["code"] for entry in report["unanswered"]},
                         {f"r{i}": name for i, name in enumerate(names.values())})
        self.assertEqual((report["answered"], server.total()), (1, 5))
        lines = self.lines()
        self.assertEqual([line["response"]["status_code"] for line in lines], [*names, 200])
        self.assertEqual([line["error"] for line in lines], [None] * 5)  # as in batch output: for what is no HTTP answer
        self.judge(server, "-j", "1", code=INCOMPLETE)
        self.assertEqual(server.total(), 9)  # failures are asked again

    def test_a_refused_key_or_an_empty_account_stops_at_once(self):
        for code, error in ((401, "bad key"), (403, "no"), (429, {"message": "pay", "code": "insufficient_quota"}), (402, "pay")):
            with self.subTest(code):
                server = self.serve(lambda *_: status(code, error, ("x-should-retry", "true")))
                self.requests([f"q{i}" for i in range(30)])
                report = self.judge(server, "-j", "2", code=DENIED)
                self.assertLessEqual(server.total(), 2)  # what was on the wire together
                self.assertEqual(len(report["unanswered"]), 30)
                self.assertIn("stopped", report)

    def test_retry_after_is_waited_for(self):
        soon = lambda: email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2),
                                                   usegmt=True)
        for name, header, least in (("seconds", lambda: ("Retry-After", "0.4"), 0.4), ("date", lambda: ("Retry-After", soon()), 0.9),
                                    ("milliseconds", lambda: ("retry-after-ms", "300"), 0.3)):
            with self.subTest(name):
                server = self.serve(lambda q, n, header=header: status(429, "slower", header()) if n == 1 and q == "a" else good(q, n))
                self.requests(["a", "b"])
                self.judge(server, "-j", "1", output=name)
                first, second = server.times["a"]
                self.assertGreaterEqual(second - first, least)  # a date has whole seconds, so 2 s may be 1
                self.assertLess(second - first, 4)

    def test_retry_after_holds_the_others_back_too(self):
        def script(question, attempt):
            if question == "a" and attempt == 1:
                return status(429, "slower", ("Retry-After", "0.6"))
            time.sleep(0.4 if question == "b" else 0)  # "a" is refused before a place is free for "c"
            return completion("fine")
        server = self.serve(script)
        self.requests(["a", "b", "c"])
        self.judge(server, "-j", "2")
        self.assertGreaterEqual(server.times["c"][0] - server.times["a"][0], 0.6)

    def test_too_long_a_wait_and_x_should_retry_end_the_request(self):
        self.assertEqual(self.outcome(lambda *_: status(429, "slower", ("Retry-After", "500"))), ("rate_limited", 1))
        self.assertEqual(self.outcome(lambda *_: status(500, "x", ("x-should-retry", "false"))), ("server_error", 1))
        self.assertEqual(self.outcome(first_then_good(status(400, "x", ("x-should-retry", "true"))), code=0), (None, 2))

    def test_slow_answers_time_out_and_are_asked_again(self):
        def slow(handler):
            time.sleep(1.6)
            handler.reply(200, completion("late"))
        self.assertEqual(self.outcome(first_then_good(slow), "--timeout", "0.8", code=0), (None, 2))
        (self.folder / "replies.jsonl").unlink()
        self.assertEqual(self.outcome(lambda *_: slow, "--timeout", "0.2", "--retries", "1"), ("timed_out", 2))

    def test_answers_cut_off_in_the_middle_are_asked_again(self):
        def cut(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "5000")
            handler.end_headers()
            handler.wfile.write(b'{"choices": [')
            handler.close_connection = True
        def babble(handler):
            handler.wfile.write(b"\x00\xff what is HTTP?\r\n\r\n")
            handler.close_connection = True
        for bad in (cut, babble):
            self.assertEqual(self.outcome(first_then_good(bad), code=0), (None, 2))
            (self.folder / "replies.jsonl").unlink()
            self.assertEqual(self.outcome(lambda *_: bad)[0], "cut_off")

    def test_nobody_there(self):
        self.requests(["a"])
        report = self.judge(None, "-u", "http://127.0.0.1:9", "--retries", "1", code=INCOMPLETE)  # the discard port
        self.assertEqual((report["unanswered"][0]["code"], report["attempts"]), ("unreachable", 2))

    def test_what_is_not_json_is_not_an_answer(self):
        page = b"<html>please log in \x1b[31m \xff</html>"
        deep = b'{"choices":' + b"[" * 5000 + b"]" * 5000 + b"}"
        for data in (page, b"", b"null", b'{"choices": [1', b'{"a": NaN, "choices": []}', deep, b'{"choices":[],"choices":[]}'):
            with self.subTest(data[:40]):
                self.assertEqual(self.outcome(lambda *_: raw(200, data, "application/json"), "--retries", "1"), ("not_json", 2))
                self.assertNotIn(b"\x1b", (self.folder / "replies.jsonl").read_bytes())
                self.assertEqual(self.lines()[-1]["error"]["code"], "not_json")
        self.assertEqual(self.outcome(lambda *_: raw(200, b'{"object": "x"}', "application/json"), "--retries", "0"), ("no_completion", 1))

    def test_the_body_counts_and_not_its_content_type(self):
        data = json.dumps(completion("fine")).encode()
        self.assertEqual(self.outcome(lambda *_: raw(200, data, "text/html"), code=0), (None, 1))

    def test_half_answers_are_failures_with_a_name(self):
        cases = {"truncated": completion("1. cor", finish="length"), "filtered": completion("x", finish="content_filter"),
                 "empty": completion(None), "unfinished": completion("x", finish="tool_calls"),
                 "wrong_count": completion("x", choices=0)}
        cases["refused"] = completion(None)
        cases["refused"]["choices"][0]["message"]["refusal"] = "I would rather not"
        for name, body in cases.items():
            with self.subTest(name):
                self.assertEqual(self.outcome(lambda *_: body), (name, 1))
                line = self.lines()[-1]
                self.assertEqual(line["response"]["body"], body)
                self.assertEqual(line["error"] and line["error"]["code"], name if name in ("unfinished", "wrong_count") else None)
        self.assertEqual(self.outcome(lambda *_: completion("x", choices=2)), ("wrong_count", 1))
        self.assertEqual(self.outcome(lambda *_: completion("")), ("empty", 1))

    def test_a_missing_finish_reason_counts_as_stop(self):
        body = completion("fine")
        del body["choices"][0]["finish_reason"]
        self.assertEqual(self.outcome(lambda *_: body, code=0), (None, 1))

    def test_require_asks_again_within_bounds(self):
        script = lambda q, n: completion("Judgement: 1. correct" if n > 2 else "I think so")
        self.assertEqual(self.outcome(script, "--require", "Judgement", code=0), (None, 3))
        self.assertEqual(self.outcome(script, "--require", "Judgement", code=0), (None, 0))
        (self.folder / "replies.jsonl").unlink()
        self.assertEqual(self.outcome(lambda *_: completion("no"), "--require", "Judgement"), ("lacks_text", 4))
        self.assertEqual(self.lines()[0]["error"]["code"], "lacks_text")
        self.assertEqual(self.outcome(script, "--require", "Judgement", code=0), (None, 3))

    def test_a_huge_body_is_cut_off(self):
        sent = []
        def flood(handler):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            for _ in range(64):
                handler.wfile.write(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
                sent.append(1)
        self.assertEqual(self.outcome(lambda *_: flood), ("too_large", 1))
        self.assertLess(len(sent), 30)  # 16 MiB and what the sockets hold
        self.assertEqual(self.outcome(lambda *_: lambda handler: (handler.send_response(200), handler.send_header(
            "Content-Length", str(10**12)), handler.end_headers())), ("too_large", 1))

    def test_a_redirect_is_not_followed(self):
        elsewhere = self.serve(good)
        here = self.serve(lambda *_: lambda handler: handler.reply(307, b"", [("Location", elsewhere.url + "/v1/chat/completions")]))
        self.requests(["a"])
        report = self.judge(here, code=INCOMPLETE)
        self.assertEqual(report["unanswered"][0]["code"], "redirected")
        self.assertEqual((here.total(), elsewhere.total()), (1, 0))

    def test_please_reduce_your_prompt_lowers_max_tokens_within_bounds(self):
        bad = status(400, "This model's maximum context length is 4097 tokens. Please reduce your prompt; or completion length.")
        failure, asked = self.outcome(first_then_good(bad, 2), "--retries", "0", code=0)
        self.assertEqual((failure, asked), (None, 3))
        server = self.serve(lambda *_: bad)
        self.requests(["another"], ids=["x"])
        self.assertEqual(self.judge(server, code=INCOMPLETE)["unanswered"][0]["code"], "too_long")
        tokens = [body["max_tokens"] for body in server.bodies]
        self.assertEqual(tokens, [800, 640, 512, 409, 327, 261, 208, 166, 132])  # int(0.8 x), as upstream, eight times

    def test_failure_after_failure_gives_up(self):
        server = self.serve(lambda *_: status(404, "no such model"))
        self.requests([f"q{i}" for i in range(50)])
        report = self.judge(server, "-j", "1", "--give-up", "5", code=INCOMPLETE)
        self.assertEqual(server.total(), 5)
        self.assertEqual(report["outcomes"], {"not_found": 5, "not_asked": 45})

    # ---- TLS

    @unittest.skipUnless(shutil.which("openssl"), "NOT TESTED: TLS; the openssl command, which makes the certificate, is missing")
    def test_a_certificate_must_be_trusted(self):
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout",
                "key.pem", "-out", "cert.pem", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(make, cwd=self.folder, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")
        server = self.serve(good, context)
        self.requests(["a", "b"])
        report = self.judge(server, code=INCOMPLETE)
        self.assertIn("untrusted", report["outcomes"])
        self.assertEqual(server.total(), 0)  # the key never left
        self.assertEqual(self.judge(server, "--ca-file", "cert.pem")["answered"], 2)
        wrong_name = server.url.replace("127.0.0.1", "localhost")
        report = self.judge(None, "-u", wrong_name, "--ca-file", "cert.pem", output="other.jsonl", code=INCOMPLETE)
        self.assertIn("untrusted", report["outcomes"])

    # ---- many at once, stopping, going on

    def test_requests_go_out_together(self):
        def slow(question, _):
            time.sleep(0.15)
            return completion("fine")
        server = self.serve(slow)
        self.requests([f"q{i}" for i in range(32)])
        start = time.monotonic()
        self.judge(server, "-j", "8")
        self.assertEqual(server.most_busy, 8)
        self.assertLess(time.monotonic() - start, 32 * 0.15 / 2)  # 0.6 s and room for a busy machine

    def test_kill_9_then_resume_asks_no_verdict_twice(self):
        def slow(question, _):
            time.sleep(0.03)
            return completion(f"verdict on {question}")
        whole, broken = self.serve(slow), self.serve(slow)
        self.requests([f"q{i}" for i in range(200)])
        self.judge(whole, "-j", "4", output="whole.jsonl")
        kills = 0
        for after in (5, 20, 40, 60):
            child = subprocess.Popen(self.command("-u", broken.url, "-j", "4", output="broken.jsonl"), cwd=self.folder,
                                     env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            path, until = self.folder / "broken.jsonl", time.monotonic() + 10
            while (not path.exists() or path.read_bytes().count(b"\n") < after) and time.monotonic() < until:
                time.sleep(0.005)
            child.kill()
            child.wait()
            kills += child.returncode == -signal.SIGKILL
            answered = {line["custom_id"] for line in map(json.loads, path.read_text().splitlines())}
            time.sleep(0.1)  # the server finishes what was on the wire
            before = {question: count for question, count in broken.asked.items() if f"r{question[1:]}" in answered}
        self.judge(broken, "-j", "4", output="broken.jsonl")
        self.assertEqual(kills, 4)
        for question, count in before.items():
            self.assertEqual(broken.asked[question], count)  # it had its line
        again = sum(count - 1 for count in broken.asked.values())
        self.assertLessEqual(again, 4 * kills)  # on the wire when the kill came: no line, no verdict
        by_id = lambda name: sorted(self.lines(name), key=lambda line: line["custom_id"])
        self.assertEqual(by_id("whole.jsonl"), by_id("broken.jsonl"))

    def test_a_torn_last_line_is_dropped_and_a_whole_one_kept(self):
        server = self.serve(good)
        self.requests(["a", "b", "c"])
        self.judge(server, "-j", "1")
        path = self.folder / "replies.jsonl"
        whole = path.read_bytes()
        for cut, asked in ((-1, 0), (-2, 1), (-200, 1)):
            with self.subTest(cut):
                before = server.total()
                path.write_bytes(whole[:cut])
                self.judge(server)
                self.assertEqual(server.total() - before, asked)
                self.assertEqual(path.read_bytes(), whole)
        path.write_bytes(whole.replace(b'"custom_id"', b'"custom_id', 1))
        self.judge(server, code=4)  # damage in the middle is no torn line

    def test_another_file_is_no_torn_reply(self):
        server = self.serve(good)
        self.requests(["a"])
        for text in ("my notes, one line", "<html>", "{\"a\": 1", "{", "a\nb"):
            (self.folder / "replies.jsonl").write_text(text)
            self.judge(server, code=0 if text == "{" else 4)  # "{" is how a reply of ours begins
            self.assertEqual((self.folder / "replies.jsonl").read_text() == text, text != "{")

    def test_two_at_once_do_not_share_a_file(self):
        release = threading.Event()
        self.addCleanup(release.set)
        def wait(question, _):
            release.wait(10)
            return completion("fine")
        server = self.serve(wait)
        self.requests(["a"])
        child = subprocess.Popen(self.command("-u", server.url), cwd=self.folder, env=self.environment,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.total() == 0 and child.poll() is None:
            time.sleep(0.01)
        self.judge(server, code=4)
        release.set()
        self.assertEqual(child.wait(10), 0)
        self.assertEqual(server.total(), 1)

    def test_ctrl_c_keeps_what_was_on_the_wire(self):
        def slow(question, _):
            time.sleep(0.3)
            return completion("fine")
        server = self.serve(slow)
        self.requests([f"q{i}" for i in range(40)])
        child = subprocess.Popen(self.command("-u", server.url, "-j", "4"), cwd=self.folder, env=self.environment, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while server.total() < 6 and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=10)
        self.assertEqual(child.returncode, 5, errors)
        report = json.loads(output)
        self.assertEqual(report["answered"], server.total())  # all that was paid for
        self.assertEqual(len(self.lines()), server.total())
        self.assertLess(server.total(), 40)
        self.assertEqual(self.judge(server, "-j", "40")["answered"], 40)
        self.assertEqual(set(server.asked.values()), {1})

    def test_a_full_disk_ends_with_4_and_leaves_whole_lines(self):
        server = self.serve(good)
        self.requests([f"q{i}" for i in range(20)])
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        run = subprocess.run(self.command("-u", server.url, "-j", "1"), capture_output=True, text=True, cwd=self.folder,
                             env=self.environment, preexec_fn=limit, restore_signals=False)  # SIGXFSZ stays ignored
        self.assertEqual(run.returncode, 4, run.stderr)
        answered = len(self.lines())  # every line reads
        self.assertGreater(answered, 0)
        self.assertEqual(server.total(), answered + 1)  # asking stopped with the first that could not be kept
        self.assertEqual(self.judge(server)["asked"], 20 - answered)

    def test_what_cannot_be_read_again_is_no_place_for_replies(self):
        server = self.serve(good)
        self.requests(["a"])
        self.judge(server, output="/dev/null", code=4)
        self.assertEqual(server.total(), 0)

    # ---- record and replay

    def test_a_replay_gives_the_same_without_a_server(self):
        script = lambda q, n: status(404, "no") if q == "b" else completion("1. cor", finish="length") if q == "c" else good(q, n)
        server = Server(script)
        self.requests(["a", "b", "c", "d"])
        first = self.judge(server, "--record", "record.jsonl", "-j", "1", code=INCOMPLETE)
        server.stop()
        self.environment["OPENAI_API_KEY"] = ""  # no key is read
        replay = self.judge(server, "--replay", "record.jsonl", output="replay.jsonl", code=INCOMPLETE)
        self.assertEqual((self.folder / "replies.jsonl").read_bytes(), (self.folder / "replay.jsonl").read_bytes())
        self.assertEqual(replay["unanswered"], first["unanswered"])
        self.assertEqual((replay["asked"], replay["attempts"]), (0, 0))
        self.requests(["a", "e"])
        replay = self.judge(None, "--replay", "record.jsonl", output="second.jsonl", code=INCOMPLETE)
        self.assertEqual([entry["code"] for entry in replay["unanswered"]], ["not_recorded"])

    def test_a_record_that_goes_on_replays_the_good_answer(self):
        server = self.serve(first_then_good(status(404, "not yet")))
        self.requests(["a"])
        self.judge(server, "--record", "record.jsonl", code=INCOMPLETE)
        self.judge(server, "--record", "record.jsonl")
        self.assertEqual(len(self.lines("record.jsonl")), 2)
        self.assertEqual(self.judge(None, "--replay", "record.jsonl", output="replay.jsonl")["answered"], 1)

    @unittest.skipUnless(shutil.which("strace"), "NOT TESTED: that a replay opens no socket; strace is missing")
    def test_a_replay_opens_no_socket(self):
        server = self.serve(good)
        self.requests(["a"])
        self.judge(server, "--record", "record.jsonl")
        for flags, opens in ((["--replay", "record.jsonl"], False), (["-u", server.url], True)):
            command = ["strace", "-f", "-e", "trace=socket", *self.command(*flags, output=f"{opens}.jsonl")]
            run = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True)
            self.assertEqual("socket(" in run.stderr, opens, run.stderr)

    # ---- the key

    def test_the_key_goes_to_the_server_and_nowhere_else(self):
        seen = []
        def watch(question, _):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    line = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    continue
                if b"\0judge\0" in line:
                    seen.append(line)
            # A server that says the key back, in an answer and in an error.
            return completion(f"your key is {KEY}") if question == "a" else status(404, f"no access with {KEY}")
        server = self.serve(watch)
        self.requests(["a", "b"])
        self.judge(server, "--record", "record.jsonl", "--events", code=INCOMPLETE)
        self.assertEqual({headers["Authorization"] for headers in server.headers}, {f"Bearer {KEY}"})
        self.assertTrue(seen)
        self.assertNotIn(KEY.encode(), b"".join(seen))
        self.assertNotIn(KEY, self.errors)
        for path in self.folder.iterdir():
            self.assertNotIn(KEY, path.read_text(), path.name)
        (self.folder / "key").write_text(KEY + "\n")
        del self.environment["OPENAI_API_KEY"]
        self.judge(server, "--key-file", "key", output="second.jsonl", code=INCOMPLETE)
        self.assertEqual(server.headers[-1]["Authorization"], f"Bearer {KEY}")
        self.environment["MY_KEY"] = "other"
        self.judge(server, "--key-env", "MY_KEY", output="third.jsonl", code=INCOMPLETE)
        self.assertEqual(server.headers[-1]["Authorization"], "Bearer other")
        self.judge(server, output="fourth.jsonl", code=INCOMPLETE)
        self.assertNotIn("Authorization", server.headers[-1])

    def spellings(self):
        """What a server may make of the key when it says it back."""
        data = KEY.encode()
        escaped = "".join(f"\\u{byte:04x}" for byte in data)
        basic = [base64.b64encode(prefix + data).decode() for prefix in (b"", b"u:", b"user:", b"name:")]
        return {
            "plain": KEY, "upper": KEY.upper(), "slashes": KEY.replace("/", "\\/"), "escapes": escaped,
            "escaped twice": json.dumps(json.dumps(escaped)), "percent": urllib.parse.quote(KEY, safe=""),
            "all percent": "".join(f"%{byte:02X}" for byte in data), "percent twice": urllib.parse.quote(urllib.parse.quote(KEY, safe="")),
            "html": "".join(f"&#{byte};" for byte in data), "html x": "".join(f"&#x{byte:x};" for byte in data),
            "html slash": KEY.replace("/", "&#x2F;"), "hex": data.hex(), "HEX": data.hex().upper(), "hex:": data.hex(":"),
            "0x": " ".join(f"0x{byte:02x}" for byte in data), "c": "".join(f"\\x{byte:02x}" for byte in data),
            "octal": "".join(f"\\{byte:03o}" for byte in data), "basic": "Authorization: Basic " + basic[2],
            **{f"base64 {i}": text for i, text in enumerate(basic)}, "url base64": base64.urlsafe_b64encode(b"?>?" + data).decode(),
            "mail": base64.encodebytes(b"a long enough name for a line of its own:" + data).decode(), "base64 twice": base64.b64encode(basic[1].encode()).decode(),
            "hex in percent": "".join(f"%{byte:02x}" for byte in data.hex().encode()), "spaced": " ".join(KEY), "quoted": ", ".join(KEY),
            "dashes": "\u2011".join(KEY), "half": KEY[:14] + "...", "curl": f"* Server auth using Bearer '{KEY}'",
        }

    def holds_key(self, text):
        """Whether 10 characters of the key can be had from a text by any of the ways above, each undone on its own."""
        texts, seen = [text], set()
        for _ in range(4):
            for one in list(texts):
                if one in seen:
                    continue
                seen.add(one)
                texts += [re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), one), re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: chr(int(m[1], 16)), one),
                          re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), one), one.replace("\\\\", "\\"), urllib.parse.unquote(one),
                          html.unescape(one), re.sub("[^0-9a-zA-Z+/=_\\\\%&#;-]", "", one)]
                for run in re.findall(r"[0-9a-fA-F]{16,}", re.sub(r"0x|[ :]", "", one)):
                    texts.append(bytes.fromhex(run[:len(run) // 2 * 2]).decode("latin1"))
                for run in re.findall(r"[A-Za-z0-9+/_-]{12,}", one.replace("\n", "").replace("\\n", "")):
                    plain = run.replace("-", "+").replace("_", "/")
                    texts += [base64.b64decode(plain[skip:][:(len(plain) - skip) // 4 * 4]).decode("latin1") for skip in range(4)]
            texts = list(dict.fromkeys(texts))[:4000]
        letters = [re.sub("[^0-9a-z]", "", one.lower()) for one in texts]
        key = re.sub("[^0-9a-z]", "", KEY.lower())
        return any(key[i:i + 10] in one for one in letters for i in range(len(key) - 9))

    def test_the_key_is_blotted_out_in_every_spelling(self):
        spellings = self.spellings()
        for name, text in spellings.items():
            self.assertTrue(self.holds_key(text), name)  # or the check below proves nothing
        def script(question, attempt):
            how, name = question.split("|")
            text = spellings[name]
            if how == "answer":
                return completion(f"1. correct: {text} 2. hallucination")
            if how == "page":
                return lambda handler: handler.reply(404, f"<p>{text}</p>".encode(), content_type="text/html")
            if how == "name":
                return {**completion("fine"), "choices": [{"finish_reason": "stop", "message": {"content": "fine", text: [{text: 1}]}}]}
            if how == "redirect":
                safe = "".join(letter if " " < letter < "\x7f" else "+" for letter in text)
                return lambda handler: handler.reply(307, b"", [("Location", f"http://user:{safe}@127.0.0.1:9/{safe}?q={safe}#{safe}"),
                                                                ("WWW-Authenticate", f'Bearer realm="{safe}"'), ("Set-Cookie", f"k={safe}")])
            return status(404, {"message": f"no access for {text}", "type": text, "code": text, "headers": {"Authorization": text}})
        server = self.serve(script)
        self.requests([f"{how}|{name}" for how in ("answer", "page", "name", "redirect", "error") for name in spellings])
        command = [flag for flag in self.command("-u", server.url, "--record", "record.jsonl", "--events", "--give-up", "0", "-j", "4")
                   if flag != "--json"]
        shown = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=self.environment, timeout=60)
        self.assertEqual(shown.returncode, INCOMPLETE, shown.stderr)
        machine = self.judge(server, "--give-up", "0", "--limit", str(5 * len(spellings)), output="second.jsonl", code=INCOMPLETE)
        self.assertFalse(self.holds_key(shown.stdout + shown.stderr + self.errors), shown.stderr)
        self.assertFalse(self.holds_key(json.dumps(machine)))
        for path in ("replies.jsonl", "record.jsonl", "second.jsonl"):
            for line in self.lines(path):
                line = {**line, "key": "", "request_key": "", "id": "", "custom_id": ""}
                for text in (json.dumps(line), json.dumps(line, ensure_ascii=False), *self.strings(line)):
                    self.assertFalse(self.holds_key(text), text)
        kept = {line["custom_id"]: line for line in self.lines()}
        answer = kept["r0"]["response"]["body"]["choices"][0]["message"]["content"]
        self.assertRegex(answer, r"^1\. correct: \*+ 2\. hallucination$")  # and no more than the key

    def strings(self, value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield "".join(one for one in value.values() if isinstance(one, str))
            for name, inner in value.items():
                yield name
                yield from self.strings(inner)
        elif isinstance(value, list):
            yield "".join(one for one in value if isinstance(one, str))
            for inner in value:
                yield from self.strings(inner)

    def test_a_key_that_is_split_over_fields_is_blotted_out(self):
        pieces = [KEY[i:i + 5] for i in range(0, len(KEY), 5)]
        def script(question, _):
            body = completion("fine")
            body["choices"][0]["message"]["parts"] = pieces if question == "list" else dict(enumerate(pieces))
            return body
        server = self.serve(script)
        self.requests(["list", "object"])
        self.judge(server)
        for line in self.lines():
            parts = line["response"]["body"]["choices"][0]["message"]["parts"]
            self.assertEqual(set("".join(parts if isinstance(parts, list) else parts.values())), {"*"})

    def test_words_that_a_key_holds_stay_in_answers(self):
        self.environment["OPENAI_API_KEY"] = "this-is-a-hallucination-judge-key-2024"
        text = "1. hallucination: this is a hallucination\n2. Cannot judge: see 2024-01-01 and aGFsbHVjaW5hdGlvbg=="
        server = self.serve(lambda *_: completion(text))
        self.requests(["a"])
        self.judge(server)
        self.assertEqual(self.lines()[0]["response"]["body"], completion(text))

    def test_short_keys_that_look_like_keys_are_kept_out(self):
        self.environment["OPENAI_API_KEY"] = "token-abc123"
        server = self.serve(lambda *_: completion("you sent token-abc123"))
        self.requests(["a"])
        self.judge(server)
        self.assertNotIn("abc123", (self.folder / "replies.jsonl").read_text())

    def test_a_key_in_the_wrong_place_is_not_repeated(self):
        self.requests(["a"])
        for flags in (["--key-env", KEY], ["--key-file", KEY]):
            self.judge(None, *flags, code=4 if "--key-file" in flags else 2)
            self.assertNotIn(KEY, self.errors)

    def test_a_key_file_that_others_can_read_draws_a_warning(self):
        server = self.serve(good)
        self.requests(["a"])
        path = self.folder / "key"
        path.write_text(KEY)
        for mode, warned in ((0o600, False), (0o400, False), (0o640, True), (0o604, True)):
            path.chmod(mode)
            self.judge(server, "--key-file", "key", output=f"{mode}.jsonl")
            self.assertEqual("others can read the key" in self.errors, warned, oct(mode))
            self.assertNotIn(KEY, self.errors)

    def test_no_key_at_the_default_address_is_said_before_anything_is_asked(self):
        self.requests(["a"] * 30)
        for key in (None, ""):
            self.environment.pop("OPENAI_API_KEY", None) if key is None else self.environment.update(OPENAI_API_KEY=key)
            for flags in ([], ["-u", "https://API.openai.com/v1/chat/completions"]):
                self.judge(None, *flags, code=2)
                self.assertIn("no key", self.errors)
        self.judge(None, "--dry-run")  # which asks nothing

    # ---- the way to the server

    def test_the_key_does_not_go_over_plain_http_to_others(self):
        self.requests(["a"])
        for host in ("127.evil.invalid", "judge.invalid", "127.0.0.1.invalid", "[fe80::1]", "localhost.invalid"):
            self.judge(None, "-u", f"http://{host}/v1", "--retries", "0", code=2)
            self.assertIn("--plain-http", self.errors)
        self.judge(None, "-u", "http://judge.invalid", "--retries", "0", "--plain-http", code=INCOMPLETE)
        del self.environment["OPENAI_API_KEY"]
        self.judge(None, "-u", "http://judge.invalid", "--retries", "0", code=INCOMPLETE)  # nothing to be read

    def test_proxies_of_the_environment_see_nothing_that_is_http(self):
        proxy, server = self.serve(good), self.serve(good)
        self.requests(["a"])
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            self.environment[name] = proxy.url
        self.judge(server)
        self.assertEqual((proxy.total(), server.total()), (0, 1))
        self.judge(server, "--proxy", proxy.url, output="b.jsonl", code=2)  # it would read the key
        self.judge(server, "--proxy", proxy.url, "--plain-http", output="b.jsonl")
        self.assertEqual((proxy.total(), server.total()), (1, 1))

    def test_a_proxy_of_https_gets_a_tunnel_and_no_key(self):
        came = []
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        def serve():
            connection, _ = listener.accept()
            came.append(connection.recv(65536))
            connection.sendall(f"HTTP/1.1 407 {KEY}\r\nX: {KEY}\r\nContent-Length: 0\r\n\r\n".encode())
            connection.close()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.environment["https_proxy"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.requests(["a"])
        report = self.judge(None, "-u", "https://judge.invalid/v1", "--retries", "0", code=INCOMPLETE)
        thread.join(10)
        self.assertTrue(came[0].startswith(b"CONNECT judge.invalid:443"), came)
        self.assertNotIn(b"uthorization", came[0])
        self.assertNotIn(KEY, json.dumps(report) + self.errors + (self.folder / "replies.jsonl").read_text())

    def test_the_whole_address_of_completions_is_an_address(self):
        server = self.serve(good)
        self.requests(["a"])
        for base in ("/v1/chat/completions", "/any/chat/completions/", "/chat/completions"):
            self.judge(None, "-u", server.url + base, output=f"{len(server.paths)}.jsonl")
            self.assertEqual(server.paths[-1], base.rstrip("/"))

    def test_retry_after_is_read_strictly(self):
        gone = "Sun, 06 Nov 1994 08:49:37 GMT"
        for value in ("0x10", "-5", "+9", "1e2", "inf", "nan", "9 s", "9s", "", ".5", "5.", "Sunday at 10:00:00", "tomorrow", "10 Nov", gone,
                      "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "0", "9" + " " * 200 + "9"):
            with self.subTest(value):
                start = time.monotonic()
                self.assertEqual(self.outcome(first_then_good(status(429, "slower", ("Retry-After", value))), code=0), (None, 2))
                self.assertLess(time.monotonic() - start, 4)  # 5 and more were waited for; ours is 0.02
                (self.folder / "replies.jsonl").unlink()
        for value in ("9" * 100, "Fri, 31 Dec 9999 23:59:59 GMT", "Friday, 31-Dec-66 23:59:59 GMT", "500.5"):
            with self.subTest(value):
                self.assertEqual(self.outcome(lambda *_: status(429, "slower", ("Retry-After", value))), ("rate_limited", 1))
                self.assertRegex(self.lines()[-1]["response"]["body"]["error"]["message"], "slower")

    # ---- answers of other servers

    def test_every_way_to_end_counts_and_is_paid_for_once(self):
        ended = ("stop", "eos", "eos_token", "end", "end_turn", "STOP", "", None, "stop_sequence", "COMPLETE")
        cut = {"length": "truncated", "max_tokens": "truncated", "MAX_TOKENS": "truncated", "content_filter": "filtered",
               "SAFETY": "filtered", "tool_calls": "unfinished", "surprise": "unfinished"}
        reasons = [*ended, *cut]
        server = self.serve(lambda q, _: completion("1. correct", finish=reasons[int(q)]))
        self.requests([str(i) for i in range(len(reasons))])
        report = self.judge(server, code=INCOMPLETE)
        failures = {entry["custom_id"]: entry["code"] for entry in report["unanswered"]}
        self.assertEqual(failures, {f"r{len(ended) + i}": code for i, code in enumerate(cut.values())})
        self.judge(server, "--limit", str(len(ended)))
        self.assertEqual([server.asked[str(i)] for i in range(len(ended))], [1] * len(ended))

    def test_an_answer_that_an_earlier_version_refused_is_not_asked_again(self):
        server = self.serve(lambda *_: completion("1. correct", finish="eos"))
        self.requests(["a"])
        self.judge(server)
        line = self.lines()[0]
        line["error"] = {"code": "unfinished", "message": "finish_reason is eos"}
        (self.folder / "replies.jsonl").write_text(json.dumps(line) + "\n")
        self.assertEqual(self.judge(server)["answered"], 1)
        self.assertEqual(server.total(), 1)

    def test_content_in_chunks_is_an_answer_and_a_draft_alone_is_none(self):
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me see."}]}
        answers = {"chunks": [thinking, {"type": "text", "text": "1. correct"}], "texts": ["1. ", "correct"], "one": {"type": "text", "text": "1. correct"},
                   "behind": "<think>first 1. hallucination</think>1. correct", "closed": "first</think>\n1. correct"}
        drafts = {"only": [thinking], "unclosed": "<think>\n1. correct", "closed": "[THINK]x[/THINK] \n", "none": []}
        for answer in answers.values():
            with self.subTest(answer):
                self.assertEqual(self.outcome(lambda *_: completion(answer), "--require", "1. correct", code=0), (None, 1))
                self.assertEqual(self.lines()[0]["response"]["body"], completion(answer))
                (self.folder / "replies.jsonl").unlink()
        for answer in drafts.values():
            with self.subTest(answer):
                self.assertEqual(self.outcome(lambda *_: completion(answer)), ("empty", 1))

    def test_a_key_that_is_an_everyday_word_leaves_answers_alone(self):
        server = self.serve(lambda *_: completion("the plate is EMPTY"))
        self.environment["OPENAI_API_KEY"] = "EMPTY"  # what vLLM's users set
        self.requests(["a"])
        self.judge(server)
        self.assertEqual(self.lines()[0]["response"]["body"], completion("the plate is EMPTY"))

    def test_people_see_a_summary_and_what_is_missing(self):
        server = self.serve(lambda q, n: status(404, "no \x1b[31mred\u009b") if q == "b" else good(q, n))
        self.requests(["a", "b"])
        command = [flag for flag in self.command("-u", server.url) if flag != "--json"]
        run = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, env=self.environment)
        self.assertEqual(run.returncode, INCOMPLETE)
        self.assertTrue(re.search(r"answered +1\n", run.stdout), run.stdout)
        self.assertTrue(re.search(r"r1 +not_found +no", run.stderr), run.stderr)
        self.assertNotIn("\x1b", run.stderr.replace("\r\x1b[K", ""))
        self.assertNotIn("\u009b", run.stderr)


if __name__ == "__main__":
    unittest.main()
