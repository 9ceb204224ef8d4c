"""The cloud as it runs on AWS, on loopback: `python -m arcade_sandbox.aws.serverless --port PORT`.

It stands in for what surrounds the function on AWS: API Gateway, which turns requests into events of its HTTP API;
EventBridge's schedule; and the broker's rule engine, which posts the machines' messages to /ingest. The function
is the real handler under AWS's emulator. Two emulators run, because on AWS the schedule gets its own instance too.
The function and the rule engine read their settings from this process's environment variables.
"""

import argparse
import base64
import contextlib
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import requests
from paho.mqtt.enums import CallbackAPIVersion

from arcade_sandbox.aws.lambda_emulator import LambdaEmulator
from arcade_sandbox.errors import EmulatorError
from arcade_shared.command_line import any_number, whole_number
from arcade_shared.topics import ECHO, every_machine

RULE = (every_machine("ack"), every_machine("status"), every_machine("gameover"), ECHO)
INGEST_TIMEOUT_S = 30.0
MOST_WAITING = 10_000
MOST_BODY_BYTES = 6_000_000  # AWS's own limit


def event_of(
    method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes, client: str
) -> dict[str, Any]:
    """The event that API Gateway's HTTP API makes of a request (payload 2.0, stage `$default`)."""
    parts = urlsplit(target)
    joined: dict[str, str] = {}
    cookies: list[str] = []
    for name, value in headers:
        name = name.lower()
        if name == "cookie":
            cookies += [cookie.strip() for cookie in value.split(";")]
        else:
            joined[name] = f"{joined[name]},{value}" if name in joined else value
    try:
        text, is_base64 = body.decode(), False
    except UnicodeDecodeError:
        text, is_base64 = base64.b64encode(body).decode(), True
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": joined,
        **({"cookies": cookies} if cookies else {}),
        "requestContext": {
            "domainName": joined.get("host", "localhost"),
            "http": {"method": method, "path": parts.path, "protocol": "HTTP/1.1", "sourceIp": client},
            "stage": "$default",
        },
        "body": text,
        "isBase64Encoded": is_base64,
    }


class Gateway(ThreadingHTTPServer):
    """Stands in for API Gateway: forwards HTTP requests to the function as events."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, function: LambdaEmulator) -> None:
        super().__init__(("127.0.0.1", port), _Request)
        self.function = function


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MOST_BODY_BYTES:
            self.send_error(413)
            return
        event = event_of(
            self.command, self.path, self.headers.items(), self.rfile.read(length), self.client_address[0]
        )
        try:
            result = self.server.function.invoke(event)
        except EmulatorError:
            result = {}
        if not isinstance(result, dict) or "statusCode" not in result:  # the function's log shows the exception
            result = {"statusCode": 502, "headers": {"content-type": "application/json"}, "body": '{"message":""}'}
        body = result.get("body", "").encode()
        if result.get("isBase64Encoded"):
            body = base64.b64decode(body)
        self.send_response(result["statusCode"])
        for name, value in result["headers"].items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        for cookie in result.get("cookies", ()):
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _answer  # noqa: N815 - http.server's

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing. The function has its own log."""


class RuleEngine:
    """Stands in for the broker's rule: posts one message after the other to /ingest, with a few retries."""

    def __init__(self, url: str, environ: dict[str, str]) -> None:
        self._url = f"{url}/ingest"
        self._secret = environ.get("INGEST_SECRET", "")
        self._waiting: queue.Queue[tuple[str, bytes]] = queue.Queue(MOST_WAITING)
        self._stop = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.username_pw_set(environ.get("MQTT_USERNAME", ""), environ.get("MQTT_PASSWORD", ""))
        if environ.get("MQTT_TLS") != "0":
            client.tls_set(environ.get("MQTT_CA_FILE"))
        client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in RULE])
        client.on_message = self._received
        client.connect_async(environ["EMQX_BROKER_URL"], int(environ["EMQX_PORT"]))
        self._client = client
        self._thread = threading.Thread(target=self._run, name="rule-engine", daemon=True)

    def _received(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        with contextlib.suppress(queue.Full):  # a real rule engine drops it too
            self._waiting.put_nowait((message.topic, bytes(message.payload)))

    def start(self) -> None:
        """Connect and start posting."""
        self._client.loop_start()
        self._thread.start()

    def _run(self) -> None:
        session = requests.Session()
        while not self._stop.is_set():
            topic, payload = self._waiting.get()
            message = {"topic": topic, "payload": base64.b64encode(payload).decode(), "payload_encoding": "base64"}
            for pause_s in (0.2, 0.5, 1, 2, 5, 0):
                if self._posted(session, message):
                    break
                self._stop.wait(pause_s)

    def _posted(self, session: requests.Session, message: dict[str, str]) -> bool:
        headers = {"X-Ingest-Secret": self._secret}
        try:
            answer = session.post(self._url, json=message, headers=headers, timeout=INGEST_TIMEOUT_S)
        except requests.RequestException:
            return False
        return answer.status_code < 500

    def stop(self) -> None:
        """Disconnect from the broker."""
        self._stop.set()
        self._client.loop_stop()


class Schedule:
    """Stands in for EventBridge: sends the same event every `every_s`, whatever the result."""

    def __init__(self, function: LambdaEmulator, every_s: float) -> None:
        self._function = function
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)

    def start(self) -> None:
        """Start sending events. The first comes after `every_s`."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                result = self._function.invoke({"job": "tick", "for_s": max(0.0, self._every_s - 10)})
            except EmulatorError as error:
                result = {"errorMessage": str(error)}
            print(f"tick: {json.dumps(result)[:300]}", flush=True)

    def stop(self) -> None:
        """Send no more events."""
        self._stop.set()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="arcade_sandbox.aws.serverless", description="The cloud as it runs on AWS, on loopback."
    )
    parser.add_argument(
        "--port", type=whole_number(1, 65_535), required=True, help="the port of the stand-in for API Gateway"
    )
    parser.add_argument(
        "--tick-s", type=any_number(0.1), default=60.0, help="seconds between two ticks (%(default)s)"
    )
    options = parser.parse_args(arguments)
    environ = dict(os.environ)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    folder = Path.cwd()
    try:
        with (
            LambdaEmulator(folder, environ, name="lambda-http") as answering,
            LambdaEmulator(folder, environ, name="lambda-schedule") as ticking,
        ):
            gateway = Gateway(options.port, answering)
            rules = RuleEngine(f"http://127.0.0.1:{options.port}", environ)
            schedule = Schedule(ticking, options.tick_s)
            threading.Thread(target=gateway.serve_forever, name="gateway", daemon=True).start()
            rules.start()
            schedule.start()
            stop.wait()
            schedule.stop()
            rules.stop()
            gateway.shutdown()
            gateway.server_close()
    except EmulatorError as error:
        print(f"serverless: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
