"""The cloud's web application over the real rules: store, Stripe and broker in memory, the clock set by hand."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from arcade_cloud.adapters.stripe.events import reader
from arcade_cloud.bootstrap import connect, desk, for_software
from arcade_cloud.config.settings import load
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.services.daily_reconciliation import DailyReconciliation
from arcade_cloud.services.self_check import SelfCheck
from arcade_cloud.web.app import create_app
from arcade_cloud.web.dependencies import Dependencies
from arcade_shared.messages import FINAL_ACK_STATES, Ack, Gameover, Status
from arcade_shared.signing import machine_key, seal
from arcade_shared.times import format_ms
from arcade_shared.topics import machine_topic
from support.fake_broker import FakeBroker
from support.memory_store import MemoryStore
from support.orders import only_credit, only_payment
from support.sandbox_payments import SandboxPayments

START_MS = 1_790_000_000_000
SIGNING_SECRET = "0123456789abcdef" * 4
WEBHOOK_SECRET = "whsec_for_tests"
INGEST_SECRET = "the-rule-engine-knows-it"
BASE_URL = "https://play.example"
PRICE_ID = "price_play"
INSTALLATION = "a" * 32
ENVIRONMENT = {
    "STRIPE_API_KEY": "sk_test_site",
    "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
    "STRIPE_PRICE_ID": PRICE_ID,
    "EMQX_BROKER_URL": "localhost",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": SIGNING_SECRET,
    "INGEST_SECRET": INGEST_SECRET,
    "PUBLIC_BASE_URL": BASE_URL,
    "SITE_NAME": "Test Arcade",
    "OPERATOR_CONTACT": "+60 12-345 6789",
    "RATE_LIMIT_PER_MINUTE": "0",
}
ONE = Offer(offer_id="one", credits=1, amount_minor=100, currency="myr", price_id=PRICE_ID)


class SilentAlerts:
    """Takes every alert."""

    name = "silent"
    setting = "ALERT_URLS"
    at_once = 1
    is_quiet_at_night = False

    def post(self, alerts: Sequence[Alert]) -> bool:
        return True


@dataclass
class FakePoster:
    """Takes what is posted, by the address; `broken` has addresses that take nothing, and why."""

    posted: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
        self.tried.append(url)
        if url in self.broken:
            return self.broken[url]
        self.posted.append((url, body, dict(headers)))
        return None


class Site:
    """The application, with what is around it. `cab-01` is registered, ready, and sells credits at RM 1.00."""

    def __init__(self, **settings: Any) -> None:
        self.now_ms = START_MS
        self.store, self.broker = self._store(), FakeBroker()
        self.people = self.store.people
        self.payments = self._stripe()
        self.payments.stripe.add_price(PRICE_ID, 100)
        self.settings = replace(load(ENVIRONMENT, None), **settings)
        keyring = Keyring(self.settings.signing_secrets)
        self.cloud = connect(
            store=self.store,
            software=self.store.software,
            payments=self.payments,
            broker=self.broker,
            receivers=[SilentAlerts()],
            keyring=keyring,
            limits=self.settings.limits,
            base_url=BASE_URL,
            price_id=self.settings.stripe_price_id,
            tab_limits=self.settings.tab_limits,
            issuing=self.settings.issuing,
            codes_on_statements=self.settings.statement_suffix,
            now_ms=lambda: self.now_ms,
            monotonic_ms=lambda: self.now_ms,
        )
        self.poster = FakePoster()
        self.software = for_software(self.cloud, self.store.software, keyring, self.poster)
        self.daily = DailyReconciliation(
            fulfilment=self.cloud.fulfilment, balance=self.payments, alerts=self.cloud.alerts, keyring=keyring
        )
        self.broker_trouble: str | None = None
        self.self_check = SelfCheck(
            sales=self.cloud.sales,
            tabs=self.cloud.tabs,
            payments=self.payments,
            balance=self.payments,
            sending=lambda: None,
            listening=lambda: self.broker_trouble,
        )
        self.desk = desk(
            self.cloud, self.store, self.software, keyring, self.settings, self.daily, self.self_check
        )
        self.reconciliation = self.cloud.reconciliation
        self.player_claims = self.desk.acts.player_claims
        self.dependencies = Dependencies(
            fulfilment=self.cloud.fulfilment,
            sales=self.cloud.sales,
            tabs=self.cloud.tabs,
            intake=self.cloud.intake,
            operations=self.cloud.operations,
            identify=self.cloud.identify,
            messages=self.cloud.messages,
            webhooks=self.cloud.webhooks,
            keys=self.software.keys,
            takings=self.cloud.takings,
            receipts=self.cloud.receipts,
            open_claims=lambda: self.player_claims,
            settings=self.settings,
            people=self.people,
            open_desk=lambda: self.desk,
            read_event=reader(self.settings.stripe_webhook_secrets, lambda: self.now_ms),
        )
        self.app = create_app(self.dependencies)
        self.client: FlaskClient = self.app.test_client()
        self._seq = self._overs = 0
        self.add_machine("cab-01", name="Street Fighter II")
        self.say_status("cab-01")

    def _store(self) -> MemoryStore:
        return MemoryStore()

    def _stripe(self) -> SandboxPayments:
        return SandboxPayments(lambda: self.now_ms)

    # --- machines ----------------------------------------------------------------------------------------

    def add_machine(self, machine_id: str, **fields: Any) -> None:
        """Register a machine, or change one."""
        known = self.store.machine(machine_id)
        version = 0 if known is None else known.version
        self.store.put_machine(Machine(machine_id=machine_id, version=version + 1, **fields), version)

    def status_payload(self, machine_id: str, **fields: Any) -> bytes:
        """A signed status: online and ready, if nothing else is said."""
        self._seq += 1
        values = {
            "installation": INSTALLATION,
            "state": "online",
            "ready": True,
            "reason": "",
            "max_credits": 50,
            "nonce": "",
            "boot_id": "b" * 32,
            "agent": "test",
            "connection": 1,
            "seq": self._seq,
        }
        return self._sealed(machine_id, "status", Status, **{**values, **fields})

    def say_status(self, machine_id: str, **fields: Any) -> None:
        """Have the cloud hear a status."""
        self.dependencies.messages.take_in(
            machine_topic(machine_id, "status"), self.status_payload(machine_id, **fields)
        )

    def ack_payload(
        self, order: Order, state: str = "done", delivered: int = 0, uncertain: int = 0, **fields: Any
    ) -> bytes:
        """A signed ack of the machine that the order is addressed to."""
        return self._ack(only_credit(order), state, delivered, uncertain, **fields)

    def _ack(self, credit: Credit, state: str, delivered: int, uncertain: int = 0, **fields: Any) -> bytes:
        command = credit.command
        assert command is not None
        return self._sealed(
            credit.machine_id,
            "ack",
            Ack,
            credit_id=command.credit_id,
            installation=command.installation,
            state=state,
            final=state in FINAL_ACK_STATES,
            credits=credit.count,
            delivered=delivered,
            uncertain=uncertain,
            **{"reason": "", **fields},
        )

    def say_game_over(self, machine_id: str = "cab-01", source: str = "gpio") -> None:
        """The machine's game has ended."""
        self._overs += 1
        sent = self._sealed(
            machine_id, "gameover", Gameover, status="game_over", event_id=f"over-{self._overs}", source=source
        )
        self.dependencies.messages.take_in(machine_topic(machine_id, "gameover"), sent)

    def say_ack(
        self, order_id: str, state: str = "done", delivered: int = 0, uncertain: int = 0, **fields: Any
    ) -> None:
        """Send the cloud an ack for an order."""
        order = self.order(order_id)
        payload = self.ack_payload(order, state, delivered, uncertain, **fields)
        self.dependencies.messages.take_in(machine_topic(order.machine_id, "ack"), payload)

    def say_last_ack(self, order_id: str, state: str = "done", delivered: int | None = None) -> None:
        """Send the cloud an ack for the last play on a tab: all of it was delivered, unless said otherwise."""
        credit = self.order(order_id).credits[-1]
        payload = self._ack(credit, state, credit.count if delivered is None else delivered)
        self.dependencies.messages.take_in(machine_topic(credit.machine_id, "ack"), payload)

    def _sealed(self, machine_id: str, kind: Any, cls: Any, **fields: Any) -> bytes:
        key, topic = machine_key(SIGNING_SECRET, machine_id), machine_topic(machine_id, kind)
        return seal(key, topic, cls, machine_id=machine_id, timestamp=format_ms(self.now_ms), **fields)

    # --- the player --------------------------------------------------------------------------------------

    def order(self, order_id: str) -> Order:
        """The order as it is on record."""
        found = self.store.order(order_id)
        assert found is not None
        return found

    def begin(self, quantity: int = 1, machine_id: str = "cab-01") -> str:
        """Ask for a payment link; the order's id."""
        answer = self.client.post("/create-payment-link", json={"machine_id": machine_id, "quantity": quantity})
        assert answer.status_code == 200, answer.text
        order_id: str = answer.get_json()["orderId"]
        return order_id

    def pay(self, order_id: str, method: Any = "card") -> None:
        """Pay at Stripe, and have all its webhooks delivered."""
        page = only_payment(self.order(order_id)).checkout
        assert page is not None
        self.payments.stripe.pay(page.session_id, method)
        self.deliver_events()

    def deliver_events(self) -> None:
        """Deliver what Stripe has to say, as Stripe does."""
        while events := self.payments.stripe.take_events():
            for event in events:
                answer = self.post_event(event)
                assert answer.status_code == 200, answer.text

    def post_event(self, event: Any, *, path: str = "/webhook") -> TestResponse:
        """Post one event with a good signature."""
        body = json.dumps(event).encode()
        return self.client.post(path, data=body, headers={"Stripe-Signature": self.signature(body)})

    def signature(self, body: bytes, secret: str = WEBHOOK_SECRET, at_ms: int | None = None) -> str:
        """Stripe's signature over a body."""
        at_s = (self.now_ms if at_ms is None else at_ms) // 1000
        mac = hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256)
        return f"t={at_s},v1={mac.hexdigest()}"


def check_error(answer: TestResponse, status: int, code: str | None = None) -> str:
    """The one error shape, and nothing else; its message."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    body = answer.get_json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert code in {None, body["error"]["code"]}
    message: str = body["error"]["message"]
    assert message
    for leak in ("Traceback", "Error(", "arcade_cloud", "File "):
        assert leak not in message
    return message
