"""While Stripe hangs, players are told to try again, and whoever does not need Stripe does not wait for them."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from waitress import wasyncore

from arcade_cloud.adapters.stripe.gateway import (
    ANSWER_TO_A_PLAYER_S,
    RETRIES_IN_A_HURRY,
    Places,
    StripeGateway,
)
from arcade_cloud.bootstrap import build
from arcade_cloud.config.settings import load
from arcade_cloud.entrypoints.http_server import make_server
from arcade_cloud.entrypoints.server import (
    PLAYERS_CALLS,
    PLAYERS_WAITING,
    WEB_THREADS,
    WEBHOOKS_CALLS,
    WEBHOOKS_WAITING,
    bind,
    running,
)
from arcade_cloud.errors import PaymentsUnavailable
from arcade_sandbox.processes import free_port, wait_for
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.site import ENVIRONMENT, INGEST_SECRET, Site

TIMEOUT_S = 15.0


class Hanging:
    """The site behind the real server, with as many threads and places as `serve` has. Stripe hangs."""

    def __init__(self) -> None:
        self.site = Site()
        self.site.client.get("/m/cab-01")  # the price is known
        self.gate, self.calls = threading.Event(), threading.Semaphore(0)
        self.site.payments.fault = self._hang
        self.site.payments._places = Places(PLAYERS_CALLS, PLAYERS_WAITING, 0.5)
        listening = bind("127.0.0.1", 0)
        self.server = make_server(self.site.app, listening, threads=WEB_THREADS)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self.server.run, name="server")
        self._thread.start()

    def _hang(self, _call: str) -> None:
        self.calls.release()
        self.gate.wait(TIMEOUT_S)

    def tap(self) -> requests.Response:
        return requests.post(f"{self.url}/m/cab-01/checkout", timeout=TIMEOUT_S, allow_redirects=False)

    def ask_for_a_link(self) -> requests.Response:
        body = {"machine_id": "cab-01"}
        return requests.post(f"{self.url}/create-payment-link", json=body, timeout=TIMEOUT_S)

    def close(self) -> None:
        self.gate.set()
        self.server.task_dispatcher.shutdown()
        self.server.trigger.pull_trigger(lambda: wasyncore.close_all(self.server._map))
        self._thread.join(TIMEOUT_S)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    found = Hanging()
    yield found
    found.close()


def test_players_and_webhooks_have_places_of_their_own_and_what_nobody_waits_for_needs_none(
    tmp_path: Path,
) -> None:
    settings = load({**ENVIRONMENT, "DATABASE_URL": f"sqlite:///{tmp_path}/cloud.sqlite"}, None)
    full, free = Places(0, 0, 0.0), Places(1, 0, 0.0)
    with build(settings, players_places=free, webhooks_places=full) as cloud:
        services = cloud.services
        assert services.sales.payments is not services.intake.payments
        assert services.fulfilment.payments not in (services.sales.payments, services.intake.payments)
        with pytest.raises(PaymentsUnavailable, match="too many calls wait"):
            services.intake.payments.read_checkout("cs_1")
        for waited_for in (services.sales.payments, services.intake.payments):
            assert isinstance(waited_for, StripeGateway)
            assert (waited_for._answer_s, waited_for._retries) == (ANSWER_TO_A_PLAYER_S, RETRIES_IN_A_HURRY)
    assert PLAYERS_CALLS + PLAYERS_WAITING + WEBHOOKS_CALLS + WEBHOOKS_WAITING < WEB_THREADS


def test_what_serve_runs_has_these_places_and_tells_of_a_clock_that_is_off_by_any_answer(tmp_path: Path) -> None:
    with StripeSandbox() as sandbox:
        sandbox.clock.date_off_s = -130.0
        nobody = {"EMQX_BROKER_URL": "127.0.0.1", "EMQX_PORT": str(free_port()), "MQTT_TLS": "0"}
        here = {"DATABASE_URL": f"sqlite:///{tmp_path}/cloud.sqlite", "STRIPE_API_BASE": sandbox.base_url}
        with running(load({**ENVIRONMENT, **nobody, **here}, None)) as cloud:
            services = cloud.services
            kept = [one.payments._places for one in (services.sales, services.intake, services.fulfilment)]  # type: ignore[attr-defined]
            assert [places is None for places in kept] == [False, False, True]
            assert kept[0] is not kept[1]
            services.fulfilment.payments.check()
            for payments in (services.sales.payments, services.intake.payments):
                assert abs((payments.clock_off_ms() or 0) - 130_000) <= 1500, "one clock for all of a process"
            (told,) = wait_for(
                "the alert", lambda: [a for a in cloud.store.recent_alerts(9) if a.kind == "clock_off"] or None
            )
            assert "ahead of Stripe's" in told.text


def test_only_those_who_pay_wait_for_stripe(hanging: Hanging) -> None:
    with ThreadPoolExecutor(2 * WEB_THREADS) as phones:
        taps: list[Future[requests.Response]] = [phones.submit(hanging.tap) for _ in range(PLAYERS_CALLS)]
        for _ in range(PLAYERS_CALLS):
            assert hanging.calls.acquire(timeout=TIMEOUT_S)
        more = [phones.submit(hanging.tap) for _ in range(WEB_THREADS)]
        for path in ("/status", "/m/cab-01", "/m/cab-01?format=json", "/kiosk/cab-01"):
            assert requests.get(hanging.url + path, timeout=TIMEOUT_S).status_code == 200
        site = hanging.site
        message = {"topic": "arcade/machine/cab-01/status", "payload": site.status_payload("cab-01").decode()}
        secret = {"X-Ingest-Secret": INGEST_SECRET}
        assert requests.post(f"{hanging.url}/ingest", json=message, headers=secret, timeout=TIMEOUT_S).ok
        event = b'{"id": "evt_1", "type": "invoice.paid"}'
        signed = {"Stripe-Signature": site.signature(event)}
        assert requests.post(f"{hanging.url}/webhook", data=event, headers=signed, timeout=TIMEOUT_S).ok
        assert not any(tap.done() for tap in taps)  # all of that while they hang
        for tap in more:
            answer = tap.result(TIMEOUT_S)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
            assert "Nothing was charged. Try again" in answer.text
        refused = hanging.ask_for_a_link()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "payments_unavailable")
        assert refused.headers["Retry-After"] == "5"
        hanging.gate.set()
        assert {tap.result(TIMEOUT_S).status_code for tap in taps} == {303}
