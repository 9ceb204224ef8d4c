"""The function on AWS: its routes in each shape of event, its ticks, its deadlines, and what it refuses."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arcade_cloud.adapters.alert_receivers import TIMEOUT_S
from arcade_cloud.adapters.stripe import gateway as stripe_gateway
from arcade_cloud.adapters.stripe.gateway import LONGEST_IN_A_HURRY_S
from arcade_cloud.config.settings import SettingsError
from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.events import Outcome
from arcade_cloud.entrypoints.aws_lambda.handler import (
    BATCH,
    HTTP_S,
    LONGEST_POST_S,
    LOOK_S,
    MARGIN_S,
    Deadline,
    LambdaFunction,
    UnknownEvent,
    handler,
    lambda_function,
)
from arcade_cloud.errors import PaymentsUnavailable, StoreUnavailable
from arcade_cloud.services.clock_recheck import BATCH as RECHECKED
from arcade_cloud.services.reconciliation import RECONCILE_EVERY_S
from arcade_cloud.web.assets import STATIC
from support.lambda_events import PREFIXES, SHAPES, Answer, answer_of, http_event, sample
from support.order_records import new_order, step
from support.orders import session_of
from support.site import INGEST_SECRET, Site

NOT_OURS = ("authorizer", "authorizer_2", "cloudfront", "queue", "websocket")
ENVIRON = {
    "STRIPE_API_KEY": "sk_test_lambda",
    "STRIPE_WEBHOOK_SECRET": "whsec_lambda",
    "EMQX_BROKER_URL": "localhost",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "0123456789abcdef" * 2,
}


class Moment:
    """The context of an event: how long the function may still take."""

    def __init__(self, left_s: float = 60.0) -> None:
        self.left_ms = int(left_s * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


class Lambda:
    """The function over the site, on one clock that moves when somebody sleeps."""

    def __init__(self, **settings: Any) -> None:
        names = frozenset({"play.example", "arcade-123.ap-southeast-1.elb.amazonaws.com"})
        self.site = Site(stage_prefix="/arcade", allowed_hosts=names, **settings)
        self.slept: list[float] = []
        self.function = LambdaFunction(
            self.site.app,
            self.site.dependencies.fulfilment,
            self.site.reconciliation,
            self.site.cloud.recheck,
            (self.site.cloud.watch,),
            Deadline(lambda: self.site.now_ms / 1000),
            self.sleep,
            books=(self,),
            tell_software=lambda until_ms: self.site.software.delivery.run_once(until_ms=until_ms),
        )
        self.due_when_books_were_read: list[int] = []

    def run_once(self) -> None:
        """What reads the books."""
        self.due_when_books_were_read.append(len(self.site.store.due_orders(self.site.now_ms, 9)))

    def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)
        self.site.now_ms += int(wait_s * 1000)

    def coinpulses(self) -> int:
        """How many have been published, or tried to."""
        return sum(sent.topic.endswith("/coinpulse") for sent in self.site.broker.sent)

    def ask(self, shape: str, path: str, **request: Any) -> Answer:
        return answer_of(shape, self.function.handle(http_event(shape, path, **request), Moment()))

    def tick(self, for_s: float | None = None, left_s: float = 60.0) -> int:
        event = {"job": "tick"} if for_s is None else {"job": "tick", "for_s": for_s}
        result = self.function.handle(event, Moment(left_s))
        assert result.keys() == {"job", "due"}
        due: int = result["due"]
        return due


@pytest.fixture
def aws() -> Lambda:
    return Lambda()


# --- the routes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_status_is_up_in_each_shape(aws: Lambda, shape: str) -> None:
    answer = aws.ask(shape, "/status")
    assert answer.status == 200
    assert answer.json() == {"status": "up", "message": "API is running"}
    assert answer.all("content-type") == ["application/json"]


@pytest.mark.parametrize("as_base64", [False, True], ids=["text", "base64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_signed_webhook_is_verified_to_the_byte_in_each_shape(aws: Lambda, shape: str, as_base64: bool) -> None:
    """Pretty-printed with CRLF and an emoji: one changed byte breaks the signature."""
    order_id = aws.site.begin()
    session_id = session_of(aws.site.order(order_id))
    assert session_id is not None
    aws.site.payments.stripe.pay(session_id, "card")
    while events := aws.site.payments.stripe.take_events():
        for event in events:
            event["data"]["object"]["description"] = "3 credits 🕹️ für “Zoë”"
            body = json.dumps(event, indent=2, ensure_ascii=False).replace("\n", "\r\n").encode()
            headers = (("Stripe-Signature", aws.site.signature(body)), ("Content-Type", "application/json"))
            answer = aws.ask(shape, "/webhook", method="POST", headers=headers, body=body, as_base64=as_base64)
            assert (answer.status, answer.json()) == (200, {"received": True})
            touched = aws.ask(shape, "/webhook", method="POST", headers=headers, body=body.replace(b"\r\n", b"\n"))
            assert touched.status == 400
    assert aws.site.order(order_id).state == "funded"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_purchase_goes_through_in_each_shape(aws: Lambda, shape: str) -> None:
    """From the payment link to the ack by /ingest and the capture: nothing but events of this shape."""
    asked = aws.ask(shape, "/create-payment-link", method="POST", body=b'{"machine_id": "cab-01", "quantity": 2}')
    order_id = asked.json()["orderId"]
    aws.site.pay(order_id)
    message = {
        "topic": "arcade/machine/cab-01/ack",
        "payload": json.loads(aws.site.ack_payload(aws.site.order(order_id), delivered=2)),
    }
    body = json.dumps(message).encode()
    acked = aws.ask(shape, "/ingest", method="POST", headers=(("X-Ingest-Secret", INGEST_SECRET),), body=body)
    assert acked.json() == {"accepted": 1, "refused": []}
    assert aws.site.order(order_id).state == "settled"


@pytest.mark.parametrize("page_path", ["/m/cab-01", "/kiosk/cab-01"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_page_and_all_that_it_links_to_works_in_each_shape(aws: Lambda, shape: str, page_path: str) -> None:
    page = aws.ask(shape, page_path)
    links = set(re.findall(r'(?:href|src|action|data-state-url)="(/[^"]*)"', page.body.decode()))
    assert len(links) > 3
    for link in links:
        path, _, query = link.replace("&amp;", "&").partition("?")
        assert path.startswith(PREFIXES[shape] + "/"), link
        pairs = tuple(
            (name, value) for name, _, value in (part.partition("=") for part in query.split("&")) if name
        )
        as_browser = (("Accept", "text/html"),)
        answer = aws.ask(shape, path.removeprefix(PREFIXES[shape]), query=pairs, headers=as_browser)
        assert answer.status in {200, 303}, link
        assert answer.body


@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_arrives_to_the_byte(aws: Lambda, shape: str) -> None:
    assert aws.ask(shape, "/static/arcade.css").body == (STATIC / "arcade.css").read_bytes()


def test_an_address_is_limited_by_who_connected(aws: Lambda) -> None:
    """A client that sends another X-Forwarded-For each time is still one client."""
    limited = Lambda(rate_limit_per_minute=4)
    asked = [
        limited.ask(
            "rest",
            "/create-payment-link",
            method="POST",
            headers=(("X-Forwarded-For", f"203.0.113.{n}"),),
            body=b"{}",
        ).status
        for n in range(4)
    ]
    assert asked == [422, 422, 429, 429]


# --- ticks ---------------------------------------------------------------------------------------------------


def paid_without_broker(aws: Lambda) -> str:
    """An order that was paid while the broker refused messages, so that only the timer can deliver it."""
    order_id = aws.site.begin()
    aws.site.broker.is_down = True
    aws.site.pay(order_id)
    aws.site.broker.is_down = False
    assert aws.site.order(order_id).state == "funded"
    return order_id


@pytest.mark.parametrize("event", [{"job": "tick"}, sample("scheduled"), sample("scheduler")])
def test_a_tick_moves_what_is_due(aws: Lambda, event: dict[str, Any]) -> None:
    paid_without_broker(aws)
    before = aws.coinpulses()
    aws.site.now_ms += 10_000
    assert aws.function.handle(event, Moment()) == {"job": "tick", "due": 1}
    assert aws.coinpulses() == before + 1


def test_a_tick_reads_the_books_once_and_only_when_nothing_is_due_any_more(aws: Lambda) -> None:
    order_id = aws.site.begin()
    aws.site.pay(order_id)
    aws.site.now_ms += 3_000
    assert aws.site.store.due_orders(aws.site.now_ms, 9)
    aws.tick(for_s=30)
    assert aws.due_when_books_were_read == [0]


def test_a_tick_posts_alerts(aws: Lambda) -> None:
    aws.site.store.raise_alert(alert("stuck", "ord_1", "look", aws.site.now_ms))
    aws.tick()
    assert aws.site.store.unsent_alerts(10) == []


def test_with_nothing_due_a_tick_is_over_at_once_and_so_is_one_that_might_stay(aws: Lambda) -> None:
    assert (aws.tick(), aws.tick(50), aws.slept) == (0, 0, [])


def test_a_tick_that_stays_moves_what_falls_due_meanwhile(aws: Lambda) -> None:
    """A schedule comes once a minute; the first repetitions of a coinpulse come after seconds."""
    paid_without_broker(aws)
    began_ms, sent = aws.site.now_ms, aws.coinpulses()
    assert aws.tick(50) >= 2
    assert aws.coinpulses() >= sent + 2
    assert max(aws.slept) <= LOOK_S
    assert aws.site.now_ms - began_ms <= 50_000


def test_a_tick_does_not_stay_for_what_is_due_later(aws: Lambda) -> None:
    aws.site.begin()
    assert (aws.tick(30), aws.slept) == (0, [])


def test_a_tick_stays_no_longer_than_the_function_may_run(aws: Lambda) -> None:
    paid_without_broker(aws)
    began_ms = aws.site.now_ms
    aws.tick(600, left_s=20)
    assert aws.site.now_ms - began_ms <= (20 - MARGIN_S) * 1000


def test_an_order_that_can_not_be_moved_does_not_keep_a_tick_busy(
    aws: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays due: between two tries there is a pause."""
    paid_without_broker(aws)
    aws.site.now_ms += 10_000

    def defect(*_arguments: Any) -> None:
        raise RuntimeError("defect")

    monkeypatch.setattr("arcade_cloud.services.fulfilment.decide", defect)
    assert 1 < aws.tick(25) <= 26
    assert min(aws.slept) >= 1


def test_a_tick_finds_what_no_webhook_told_of_page_by_page(aws: Lambda, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very first tick notes where to begin."""
    monkeypatch.setattr(stripe_gateway, "_PAGE", 2)
    aws.tick()
    aws.site.now_ms += RECONCILE_EVERY_S * 1000
    stripe = aws.site.payments.stripe
    for _ in range(5):
        stripe.pay(stripe.visit_link("price_play", metadata={"machine_id": "cab-01"}), "fpx")
    aws.tick()
    assert aws.coinpulses() == 5


def test_a_tick_moves_what_a_clock_that_was_ahead_has_put_off(aws: Lambda) -> None:
    """Also where more orders wait than one tick looks at, and each tick is another process."""
    site, hours_ms = aws.site, 8 * 3_600_000
    order_ids = [f"o-{number:03}" for number in range(RECHECKED + 1)]
    for order_id in order_ids:
        site.store.move(step(new_order(order_id, due_at_ms=site.now_ms + hours_ms, created_at_ms=site.now_ms)))
    left = []
    for _ in range(2):
        aws.function = replace(aws.function, recheck=replace(aws.function.recheck))
        aws.tick()
        due = [site.order(order_id).due_at_ms or 0 for order_id in order_ids]
        left.append(sum(due_at_ms > site.now_ms + hours_ms // 2 for due_at_ms in due))
    assert left == [1, 0]


def test_more_than_one_batch_is_moved_at_once(aws: Lambda) -> None:
    for _ in range(BATCH + 5):
        paid_without_broker(aws)
    aws.site.now_ms += 10_000
    assert aws.tick() == BATCH + 5


def test_no_order_is_begun_after_the_time_is_up(aws: Lambda, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow broker must not get the function killed half-way."""
    for _ in range(5):
        paid_without_broker(aws)
    aws.site.now_ms += 10_000
    publish = aws.site.broker.publish

    def slow(*arguments: Any, **more: Any) -> Outcome:
        aws.site.now_ms += 2500
        return publish(*arguments, **more)

    monkeypatch.setattr(aws.site.broker, "publish", slow)
    began_ms = aws.site.now_ms
    aws.tick(left_s=MARGIN_S + 6)
    assert aws.site.now_ms - began_ms <= (MARGIN_S + 6) * 1000


def test_alerts_go_out_also_where_orders_take_all_the_time(aws: Lambda, monkeypatch: pytest.MonkeyPatch) -> None:
    """While Stripe or the broker hangs, every tick is short of time; and that is when alerts matter."""
    for _ in range(30):
        paid_without_broker(aws)
    aws.site.now_ms += 10_000
    aws.site.store.raise_alert(alert("stuck", "ord_1", "look", aws.site.now_ms))
    publish, (receiver,) = aws.site.broker.publish, aws.site.dependencies.fulfilment.delivery.receivers

    def slow(*arguments: Any, **more: Any) -> Outcome:
        aws.site.now_ms += 2500
        return publish(*arguments, **more)

    def slow_post(*_arguments: Any) -> bool:
        aws.site.now_ms += int(1000 * sum(TIMEOUT_S))
        return True

    monkeypatch.setattr(aws.site.broker, "publish", slow)
    monkeypatch.setattr(receiver, "post", slow_post)
    began_ms = aws.site.now_ms
    aws.tick()
    assert "stuck:ord_1" not in {alert.alert_id for alert in aws.site.store.unsent_alerts(100)}
    assert aws.site.now_ms - began_ms <= 60_000


def test_an_alert_has_its_time_where_stripe_and_the_alerts_address_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS would kill the function between posting it and noting that."""
    aws = Lambda()
    object.__setattr__(aws.site.dependencies.fulfilment, "later", aws.function.deadline.run_in_time)
    for _ in range(5):
        aws.site.begin()
    aws.site.now_ms += 120_000
    aws.site.store.raise_alert(alert("stuck", "ord_1", "look", aws.site.now_ms))
    asked = list[int]()

    def hanging(*_arguments: Any) -> Any:
        asked.append(aws.site.now_ms)
        aws.site.now_ms += int(1000 * LONGEST_IN_A_HURRY_S)
        raise PaymentsUnavailable("no answer")

    def slow_post(*_arguments: Any) -> bool:
        aws.site.now_ms += int(1000 * sum(TIMEOUT_S))
        return True

    monkeypatch.setattr(aws.site.payments, "read_checkout", hanging)
    monkeypatch.setattr(aws.site.dependencies.fulfilment.delivery.receivers[0], "post", slow_post)
    began_ms, left_s = aws.site.now_ms, MARGIN_S + 3 * LONGEST_IN_A_HURRY_S
    aws.tick(left_s=left_s)
    assert asked
    assert aws.site.store.unsent_alerts(10) == []
    assert aws.site.now_ms - began_ms <= (left_s - MARGIN_S) * 1000


def test_alerts_that_go_out_slowly_take_no_more_time_than_there_is(
    aws: Lambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are left go with the next tick."""
    for number in range(15):
        aws.site.store.raise_alert(alert("stuck", f"ord_{number}", "look", aws.site.now_ms))

    def slow_post(*_arguments: Any) -> bool:
        aws.site.now_ms += 7000
        return True

    monkeypatch.setattr(aws.site.dependencies.fulfilment.delivery.receivers[0], "post", slow_post)
    began_ms = aws.site.now_ms
    aws.tick()
    left = len(aws.site.store.unsent_alerts(100))
    assert 0 < left < 15
    assert aws.site.now_ms - began_ms <= 60_000
    aws.tick()
    assert len(aws.site.store.unsent_alerts(100)) < left


def test_a_store_that_is_down_fails_the_tick(aws: Lambda, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is counted where an operator looks."""

    def down(*_arguments: Any) -> None:
        raise StoreUnavailable("down")

    monkeypatch.setattr(aws.site.store, "due_orders", down)
    with pytest.raises(StoreUnavailable):
        aws.tick()


# --- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NOT_OURS)
def test_an_event_of_another_service_is_refused_by_name(aws: Lambda, name: str) -> None:
    with pytest.raises(UnknownEvent, match="neither HTTP"):
        aws.function.handle(sample(name), Moment())


@pytest.mark.parametrize(
    "event", [None, [], "tick", {}, {"job": "tock"}, {"job": ["tick"]}, {"job": "tick", "for_s": "50"}]
)
def test_an_event_of_no_service_is_refused(aws: Lambda, event: object) -> None:
    with pytest.raises(UnknownEvent):
        aws.function.handle(event, Moment())


@pytest.mark.parametrize("for_s", [-1, 601, True, float("nan"), float("inf")])
def test_a_tick_that_would_stay_too_long_is_refused(aws: Lambda, for_s: float) -> None:
    with pytest.raises(UnknownEvent, match="for_s"):
        aws.tick(for_s)


def test_a_refusal_shows_no_value_of_the_event(aws: Lambda) -> None:
    with pytest.raises(UnknownEvent) as caught:
        aws.function.handle({"password": "hunter2", "job": "hunter3"}, Moment())
    assert "password" in str(caught.value)
    assert "hunter" not in str(caught.value)


# --- deadlines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function_left_s", "passed_s", "done"),
    [(60, 0, True), (60, HTTP_S - LONGEST_IN_A_HURRY_S - 1, True), (60, HTTP_S - 1, False), (12, 0, False)],
)
def test_work_for_stripe_is_done_while_there_is_time_and_dropped_after(
    function_left_s: float, passed_s: float, done: bool
) -> None:
    """Nothing runs after the answer: what is dropped stays due, and a tick finds it."""
    now_s = 100.0
    deadline, did = Deadline(lambda: now_s), list[str]()
    deadline.start(Moment(function_left_s), HTTP_S)
    now_s += passed_s
    deadline.run_in_time(lambda: did.append("work"))
    assert did == (["work"] if done else [])


@pytest.mark.parametrize("left_s", [MARGIN_S + LONGEST_IN_A_HURRY_S + 1, 30.0, 60.0])
def test_what_is_kept_for_alerts_never_takes_the_time_for_stripe(left_s: float) -> None:
    deadline, did = Deadline(lambda: 100.0), list[str]()
    deadline.start(Moment(left_s), 600, keep_s=8)
    deadline.run_in_time(lambda: did.append("work"))
    assert did == ["work"]


def test_before_the_first_event_there_is_no_time() -> None:
    assert Deadline().left_s() < 0


def test_a_function_with_too_short_a_timeout_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """AWS gives a new function three seconds."""
    Deadline().start(Moment(3), HTTP_S)
    assert "timeout" in caplog.text


def test_what_is_dropped_is_found_by_the_next_tick(aws: Lambda) -> None:
    deadline = aws.function.deadline
    site = Lambda()
    fulfilment = site.site.dependencies.fulfilment
    object.__setattr__(fulfilment, "later", deadline.run_in_time)
    order_id = site.site.begin()
    deadline.start(Moment(MARGIN_S + 1), HTTP_S)
    site.site.pay(order_id)
    site.site.say_ack(order_id, delivered=1)
    assert site.site.order(order_id).state == "resolved"
    deadline.start(Moment(10_000), 10_000)
    site.site.now_ms += 60_000
    site.tick()
    assert site.site.order(order_id).state == "settled"


# --- how the process begins ----------------------------------------------------------------------------------


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Sets the environment's variables to these alone."""

    def replace(**values: str) -> None:
        for name in list(os.environ):
            if name.startswith(("STRIPE", "EMQX", "MQTT", "SIGNING", "INGEST", "DATABASE", "AWS_")):
                monkeypatch.delenv(name)
        for name, value in {"DATABASE_URL": f"sqlite:///{tmp_path}/a.sqlite", **values}.items():
            monkeypatch.setenv(name, value)

    lambda_function.cache_clear()
    yield replace
    lambda_function.cache_clear()


@pytest.mark.parametrize("shape", SHAPES)
def test_faults_of_the_settings_are_logged_and_answered_without_a_word_of_them(
    environ: Callable[..., None], caplog: pytest.LogCaptureFixture, shape: str
) -> None:
    environ(**{**ENVIRON, "STRIPE_API_KEY": "pk_test_secretlyWrong", "SIGNING_SECRET": "short"})
    answer = answer_of(shape, handler(http_event(shape), Moment()))
    assert answer.status == 500
    assert answer.json()["error"].keys() == {"code", "message"}
    assert answer.json()["error"]["code"] == "misconfigured"
    assert b"SIGNING" not in answer.body
    assert "STRIPE_API_KEY" in caplog.text
    assert "SIGNING_SECRET" in caplog.text
    assert "secretlyWrong" not in caplog.text
    assert "short" not in caplog.text


def test_faults_of_the_settings_fail_a_tick(environ: Callable[..., None]) -> None:
    environ()
    with pytest.raises(SettingsError):
        handler({"job": "tick"}, Moment())


def test_a_store_that_can_not_be_opened_is_tried_again_with_the_next_event(
    environ: Callable[..., None], tmp_path: Path
) -> None:
    environ(**ENVIRON, DATABASE_URL=f"sqlite:///{tmp_path}/later/a.sqlite")
    (tmp_path / "later").write_text("a file, where a folder should be")
    answer = answer_of("http_api", handler(http_event("http_api"), Moment()))
    assert (answer.status, answer.json()["error"]["code"]) == (503, "store_unavailable")
    (tmp_path / "later").unlink()
    (tmp_path / "later").mkdir()
    assert answer_of("http_api", handler(http_event("http_api"), Moment())).status == 200


def test_the_handler_answers_with_what_the_environment_says(environ: Callable[..., None]) -> None:
    environ(**ENVIRON)
    assert answer_of("rest", handler(http_event("rest"), Moment())).json()["status"] == "up"
    assert handler({"job": "tick"}, Moment()) == {"job": "tick", "due": 0}
    assert lambda_function() is lambda_function()


def test_what_is_odd_about_the_settings_is_in_the_log(
    environ: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody runs `arcade-cloud check` there."""
    environ(**ENVIRON, AWS_LAMBDA_FUNCTION_NAME="arcade")
    handler(http_event("http_api"), Moment())
    assert "INGEST_SECRET is not set" in caplog.text


IMPORT = """
import sys
before = set(sys.modules)
import arcade_cloud.entrypoints.aws_lambda.handler as module
print(module.lambda_function.cache_info().currsize, *sorted(set(sys.modules) - before))
"""
# What a function never needs, or not before it is asked for something.
NOT_IMPORTED = {
    "waitress",
    "boto3",
    "dotenv",
    "sqlite3",
    "arcade_cloud.entrypoints.server",
    "arcade_cloud.adapters.mqtt.listener",
}


def imported(**environ: str) -> tuple[int, set[str]]:
    """(whether the function was made, modules), in a new process with this environment."""
    shown = subprocess.run(
        [sys.executable, "-c", IMPORT], env=environ, capture_output=True, text=True, check=True
    ).stdout.split()
    return int(shown[0]), set(shown[1:])


def test_importing_the_handler_elsewhere_makes_nothing() -> None:
    made, modules = imported(**ENVIRON)
    assert made == 0
    assert not modules & {*NOT_IMPORTED, "paho", "stripe", "requests"}


def test_on_aws_all_is_made_ready_before_the_first_event(tmp_path: Path) -> None:
    """While a process starts, AWS gives it more computing power than it has later."""
    url = f"sqlite:///{tmp_path}/a.sqlite"
    made, modules = imported(**ENVIRON, DATABASE_URL=url, AWS_LAMBDA_FUNCTION_NAME="arcade")
    assert made == 1
    assert not modules & (NOT_IMPORTED - {"sqlite3"})
    assert {"flask", "paho", "stripe"} <= modules


def test_on_aws_faults_do_not_keep_the_process_from_starting() -> None:
    assert imported(AWS_LAMBDA_FUNCTION_NAME="arcade")[0] == 0


# --- other software --------------------------------------------------------------------------------------


def test_a_tick_tells_other_software_and_no_request_does(aws: Lambda) -> None:
    site = aws.site
    site.software.endpoints.add("https://shop.example/", ("play.delivered",), by="ann")
    order_id = site.begin(1)
    site.pay(order_id)
    site.say_ack(order_id, "done", 1)
    aws.ask(SHAPES[0], "/status")
    assert site.poster.tried == []
    aws.tick(left_s=LONGEST_POST_S + MARGIN_S)  # too late for the longest post
    assert site.poster.tried == []
    aws.tick()
    assert [url for url, _, _ in site.poster.posted] == ["https://shop.example/"]
