"""The one place where the cloud's objects are made and connected."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Self

from arcade_cloud.adapters.store import open_store
from arcade_cloud.adapters.stripe.clock import monotonic_clock_ms
from arcade_cloud.config.settings import Settings
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.quiet_hours import QuietHours
from arcade_cloud.domain.receipts import Issuing
from arcade_cloud.domain.tab import TabLimit
from arcade_cloud.errors import BadRequest
from arcade_cloud.ports.messaging import AlertReceiver, Broker, Poster
from arcade_cloud.ports.payments import Payments
from arcade_cloud.ports.people import PeopleStore
from arcade_cloud.ports.software import SoftwareStore
from arcade_cloud.ports.store import Store
from arcade_cloud.ports.whole_store import WholeStore
from arcade_cloud.services.alert_delivery import AlertDelivery
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.api_keys import ApiKeys
from arcade_cloud.services.broker_watch import BrokerWatch
from arcade_cloud.services.claims import Claims
from arcade_cloud.services.clock_recheck import ClockRecheck
from arcade_cloud.services.clock_watch import ClockWatch
from arcade_cloud.services.contest_watch import ContestWatch
from arcade_cloud.services.daily_reconciliation import DailyReconciliation
from arcade_cloud.services.fees import Fees
from arcade_cloud.services.finding import Finding
from arcade_cloud.services.fleet import Fleet
from arcade_cloud.services.fulfilment import Fulfilment, at_once
from arcade_cloud.services.identify import Identify
from arcade_cloud.services.machine_messages import MachineMessages
from arcade_cloud.services.machine_watch import MachineWatch
from arcade_cloud.services.operations import Operations
from arcade_cloud.services.outbox import Outbox
from arcade_cloud.services.overview import Overview
from arcade_cloud.services.payment_intake import PaymentIntake
from arcade_cloud.services.receipts import Receipts
from arcade_cloud.services.reconciliation import Reconciliation
from arcade_cloud.services.sales import Sales
from arcade_cloud.services.sender import Sender
from arcade_cloud.services.tabs import Tabs
from arcade_cloud.services.takings import Takings
from arcade_cloud.services.unsellable import Unsellable
from arcade_cloud.services.webhook_watch import WebhookWatch
from arcade_shared.client_ids import CALM_S

if TYPE_CHECKING:
    from arcade_cloud.adapters.mqtt import Listener, Publisher
    from arcade_cloud.adapters.stripe.clock import StripeClock
    from arcade_cloud.adapters.stripe.gateway import Places, StripeGateway
    from arcade_cloud.ports.passwords import Passwords
    from arcade_cloud.services.desk import Desk
    from arcade_cloud.services.endpoints import Endpoints
    from arcade_cloud.services.outbox_delivery import OutboxDelivery
    from arcade_cloud.services.player_claims import PlayerClaims
    from arcade_cloud.services.self_check import SelfCheck
    from arcade_cloud.web.dependencies import Dependencies


def wall_clock_ms() -> int:
    """Now, epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """All services of one process, connected."""

    sender: Sender
    alerts: Alerts
    fulfilment: Fulfilment
    sales: Sales
    tabs: Tabs
    intake: PaymentIntake
    operations: Operations
    identify: Identify
    fleet: Fleet
    claims: Claims
    reconciliation: Reconciliation
    messages: MachineMessages
    recheck: ClockRecheck
    watch: MachineWatch
    webhooks: WebhookWatch
    finding: Finding
    takings: Takings
    receipts: Receipts
    overview: Overview


def connect(
    *,
    store: Store,
    software: SoftwareStore | None = None,
    payments: Payments,
    players_payments: Payments | None = None,
    webhooks_payments: Payments | None = None,
    broker: Broker,
    receivers: Sequence[AlertReceiver],
    keyring: Keyring,
    limits: Limits,
    base_url: str,
    price_id: str | None = None,
    tab_limits: tuple[TabLimit, ...] = (),
    zone: tzinfo = UTC,
    quiet_hours: QuietHours | None = None,
    broker_user: str | None = None,
    machine_silent_s: int = 0,
    is_live: bool = False,
    issuing: Issuing | None = None,
    codes_on_statements: bool = True,
    now_ms: Callable[[], int] = wall_clock_ms,
    monotonic_ms: Callable[[], int] = monotonic_clock_ms,
    later: Callable[[Callable[[], None]], None] = at_once,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> Services:
    """The services on these adapters.

    Args:
        software: What is stored for other software; None: nothing is told to any.
        players_payments: Stripe for what a player waits for; None: as for everything else.
        webhooks_payments: The same for what a webhook waits for.
        tab_limits: What a tab may hold, in one currency; none: there are no tabs.
        is_live: Stripe moves real money.
        issuing: How receipts are issued; None: without a prefix and without a tax.
        codes_on_statements: A card's statement shows the order's code.
        zone: The arcade's time zone.
        quiet_hours: When people are told only what cannot wait.
        broker_user: The cloud's own user at the broker.
    """
    alerting = Alerts(store, now_ms)
    sender = Sender(store=store, broker=broker, keyring=keyring, now_ms=now_ms)
    outbox = Outbox(store=store, software=software, site=base_url, now_ms=now_ms)
    fulfilment = Fulfilment(
        store=store,
        payments=payments,
        sender=sender,
        delivery=AlertDelivery(
            store=store, alerts=alerting, receivers=receivers, now_ms=now_ms, quiet_hours=quiet_hours
        ),
        outbox=outbox,
        limits=limits,
        now_ms=now_ms,
        later=later,
        capture_keys=keyring.of_captures,
        zone=zone,
    )
    for_players = payments if players_payments is None else players_payments
    sales = Sales(
        fulfilment=fulfilment,
        unsellable=Unsellable(alerts=alerting, payments=payments, now_ms=now_ms, monotonic_ms=monotonic_ms),
        payments=for_players,
        keyring=keyring,
        base_url=base_url,
        price_id=price_id,
        zone=zone,
        codes_on_statements=codes_on_statements,
        random_bytes=random_bytes,
    )
    watch = MachineWatch(
        store=store,
        alerts=alerting,
        sender=sender,
        outbox=outbox,
        now_ms=now_ms,
        silent_ms=machine_silent_s * 1000,
        clock=fulfilment.clock,
    )
    webhooks = WebhookWatch(store=store, alerts=alerting, now_ms=now_ms)
    intake = PaymentIntake(
        fulfilment=fulfilment,
        payments=payments if webhooks_payments is None else webhooks_payments,
        sales=sales,
        keyring=keyring,
        is_live=is_live,
    )
    operations = Operations(fulfilment=fulfilment, sales=sales, broker_user=broker_user, random_bytes=random_bytes)
    return Services(
        sender=sender,
        alerts=alerting,
        fulfilment=fulfilment,
        sales=sales,
        tabs=Tabs(
            fulfilment=fulfilment, sales=sales, keyring=keyring, choices=tab_limits, random_bytes=random_bytes
        ),
        intake=intake,
        operations=operations,
        identify=Identify(store=store, now_ms=now_ms),
        fleet=Fleet(operations=operations, watch=watch, zone=zone),
        claims=Claims(fulfilment=fulfilment, sales=sales, alerts=alerting),
        reconciliation=Reconciliation(fulfilment=fulfilment, intake=intake, webhooks=webhooks),
        webhooks=webhooks,
        recheck=ClockRecheck(fulfilment=fulfilment, watch=watch, monotonic_ms=monotonic_ms),
        messages=MachineMessages(fulfilment, keyring, watch),
        watch=watch,
        finding=Finding(store=store, payments=payments),
        takings=Takings(fulfilment),
        receipts=Receipts(fulfilment=fulfilment, issuing=issuing or Issuing()),
        overview=Overview(fulfilment=fulfilment, zone=zone, has_older_key=keyring.is_of_an_older_secret),
    )


def api_keys(services: Services, store: SoftwareStore) -> ApiKeys:
    """The keys of other software."""
    return ApiKeys(store=store, operations=services.operations, now_ms=services.fulfilment.now_ms)


def player_claims(services: Services, people: PeopleStore, limits: Mapping[str, int]) -> "PlayerClaims":
    """What takes in that credits did not arrive. It is imported with the first call.

    Args:
        limits: Up to how much is granted at once, by currency, in minor units.
    """
    from arcade_cloud.services.audit_log import AuditLog
    from arcade_cloud.services.player_claims import PlayerClaims

    now_ms = services.fulfilment.now_ms
    return PlayerClaims(
        operations=services.operations,
        alerts=services.alerts,
        log=AuditLog(store=people, now_ms=now_ms),
        limits=limits,
        now_ms=now_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """What there is for other software: its keys, its endpoints, and how they are told."""

    keys: ApiKeys
    endpoints: "Endpoints"
    delivery: "OutboxDelivery"


def for_software(services: Services, store: SoftwareStore, keyring: Keyring, poster: Poster) -> Software:
    """What there is for other software, on these services. Most of it is imported with the first call."""
    from arcade_cloud.services.endpoints import Endpoints
    from arcade_cloud.services.outbox_delivery import OutboxDelivery

    now_ms, site = services.fulfilment.now_ms, services.fulfilment.outbox.site
    delivery = OutboxDelivery(
        store=store, alerts=services.alerts, poster=poster, secrets_of=keyring.of_endpoint, now_ms=now_ms
    )
    return Software(
        keys=api_keys(services, store),
        endpoints=Endpoints(store=store, alerts=services.alerts, delivery=delivery, site=site, now_ms=now_ms),
        delivery=delivery,
    )


def desk(
    services: Services,
    store: WholeStore,
    software: Software,
    keyring: Keyring,
    settings: Settings,
    daily: DailyReconciliation,
    self_check: "SelfCheck",
) -> "Desk":
    """What people use, on these services. It is imported with the first call: players need nothing of it.

    Args:
        daily: Reconciles the days that people ask for.
    """
    from arcade_cloud.adapters import stickers
    from arcade_cloud.services.accounts import Accounts
    from arcade_cloud.services.acts import Acts
    from arcade_cloud.services.audit_log import AuditLog
    from arcade_cloud.services.desk import Desk
    from arcade_cloud.services.sign_in import SignIn
    from arcade_cloud.services.stickers import Stickers

    people = store.people
    now_ms = services.fulfilment.now_ms
    log = AuditLog(store=people, now_ms=now_ms)
    accounts = Accounts(store=people, log=log, now_ms=now_ms, passwords=_passwords)
    return Desk(
        people=people,
        finding=services.finding,
        takings=services.takings,
        receipts=services.receipts,
        overview=services.overview,
        stickers=Stickers(printer=stickers, base_url=settings.public_base_url),
        acts=Acts(
            operations=services.operations,
            fleet=services.fleet,
            claims=services.claims,
            tabs=services.tabs,
            alerts=services.alerts,
            daily=daily,
            keys=software.keys,
            endpoints=software.endpoints,
            player_claims=player_claims(services, people, settings.claim_limits),
            log=log,
            identify=services.identify,
            grant_limit=settings.manager_grant_limit,
            refund_limits=settings.manager_refund_limits,
        ),
        accounts=accounts,
        sign_in=SignIn(
            store=people,
            accounts=accounts,
            now_ms=now_ms,
            device_keys=keyring.of_devices,
            raise_alert=store.raise_alert,
        ),
        log=log,
        self_check=self_check,
    )


@lru_cache(maxsize=1)
def _passwords() -> "Passwords":
    """What hashes passwords: it is imported when somebody signs in, or is given a password."""
    try:
        from arcade_cloud.adapters.passwords import Argon2Passwords
    except ModuleNotFoundError as missing:
        raise BadRequest(
            f"people need one more package ({missing.name}): pip install 'arcade-cloud[console]'"
        ) from None
    return Argon2Passwords()


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """All parts, connected. A context manager that closes what `build` opened.

    Nothing has been reached yet: the broker and Stripe are when they are needed.

    Attributes:
        daily: Reconciles days by the timer.
        asked_for: Reconciles the days that people ask for. In a server it waits for Stripe as long as
            players do.
    """

    settings: Settings
    store: WholeStore
    publisher: "Publisher"
    services: Services
    fees: Fees
    daily: DailyReconciliation
    asked_for: DailyReconciliation
    opened: ExitStack

    @cached_property
    def software(self) -> Software:
        """What there is for other software."""
        from arcade_cloud.adapters.outgoing_webhooks import WebhookPoster

        keyring = Keyring(self.settings.signing_secrets)
        return for_software(self.services, self.store.software, keyring, WebhookPoster())

    @cached_property
    def desk(self) -> "Desk":
        """What the people who run the arcade use."""
        keyring = Keyring(self.settings.signing_secrets)
        return desk(
            self.services,
            self.store,
            self.software,
            keyring,
            self.settings,
            self.asked_for,
            self.self_check(),
        )

    @cached_property
    def player_claims(self) -> "PlayerClaims":
        """What takes in that credits did not arrive."""
        return player_claims(self.services, self.store.people, self.settings.claim_limits)

    def self_check(self) -> "SelfCheck":
        """What tries every part. In a server it waits for Stripe as long as players do."""
        from arcade_cloud.adapters.mqtt import try_listening
        from arcade_cloud.services.self_check import SelfCheck

        return SelfCheck(
            sales=self.services.sales,
            tabs=self.services.tabs,
            payments=self.services.sales.payments,
            balance=self.asked_for.balance,
            sending=self.publisher.check,
            listening=lambda: try_listening(self.settings.broker),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def web_dependencies(self) -> "Dependencies":
        """What the routes need."""
        from arcade_cloud.adapters.stripe.events import reader
        from arcade_cloud.web.dependencies import Dependencies

        services = self.services
        return Dependencies(
            fulfilment=services.fulfilment,
            sales=services.sales,
            tabs=services.tabs,
            intake=services.intake,
            operations=services.operations,
            identify=services.identify,
            messages=services.messages,
            webhooks=services.webhooks,
            keys=api_keys(self.services, self.store.software),
            takings=services.takings,
            receipts=services.receipts,
            open_claims=lambda: self.player_claims,
            settings=self.settings,
            people=self.store.people,
            open_desk=lambda: self.desk,
            read_event=reader(self.settings.stripe_webhook_secrets, services.fulfilment.now_ms),
        )

    def listener(self) -> "Listener":
        """A listener, not yet started, that takes in the machines' messages for this cloud."""
        from arcade_cloud.adapters.mqtt import Listener

        settings = self.settings
        return Listener(
            settings.broker,
            self.services.messages.take_in,
            session_key=self.services.messages.keyring.of_sessions,
            listener_id=settings.mqtt_listener_id,
        )

    def watch_clock(self, name: str) -> ClockWatch:
        """What tells of a clock that is off Stripe's.

        Args:
            name: The process, as people know it.
        """
        fulfilment = self.services.fulfilment
        return ClockWatch(
            alerts=self.services.alerts,
            payments=fulfilment.payments,
            name=name,
            later=fulfilment.later,
            monotonic_ms=monotonic_clock_ms,
        )

    def watch_broker(self, name: str, listener: "Listener | None" = None) -> BrokerWatch:
        """What tells of trouble with the broker.

        Args:
            name: The process, as people know it.
            listener: None where messages come by `/ingest`.
        """

        def problems() -> list[str]:
            found = [] if listener is None else listener.problems
            sending = self.publisher.problem
            return found if sending is None else list(dict.fromkeys((*found, sending)))

        services = self.services
        return BrokerWatch(
            alerts=services.alerts,
            sender=services.sender,
            monotonic_ms=monotonic_clock_ms,
            name=name,
            problems=problems,
            is_answered=lambda: self.publisher.is_answered,
        )

    def watch_contests(self, name: str, listener: "Listener") -> ContestWatch:
        """What tells of client ids that somebody else takes.

        Args:
            name: The process, as people know it.
        """
        return ContestWatch(
            alerts=self.services.alerts,
            name=name,
            contested=lambda: [client_id for feed in listener.state for client_id in feed.contested],
            calm_ms=round(CALM_S * 1000),
            monotonic_ms=lambda: time.monotonic_ns() // 1_000_000,
        )

    def close(self) -> None:
        """Close the publisher, then the store. A second call does nothing."""
        self.opened.close()


def build(
    settings: Settings,
    *,
    later: Callable[[Callable[[], None]], None] = at_once,
    now_ms: Callable[[], int] = wall_clock_ms,
    time_left_s: Callable[[], float] | None = None,
    players_places: "Places | None" = None,
    webhooks_places: "Places | None" = None,
) -> Cloud:
    """Make the cloud for `settings`. If that fails, nothing stays open.

    Args:
        later: Runs work that waits for Stripe.
        now_ms: The wall clock, epoch milliseconds.
        players_places: For a process that answers many players at once: their places at Stripe.
        webhooks_places: The same for webhooks.
        time_left_s: For a process that may be stopped at any moment: how long it can still wait for Stripe.

    Raises:
        StoreUnavailable: The store cannot be opened.
    """
    from arcade_cloud.adapters.alert_receivers import alert_receivers
    from arcade_cloud.adapters.mqtt import Publisher
    from arcade_cloud.adapters.stripe.clock import StripeClock

    clock = StripeClock(now_ms)
    with ExitStack() as opened:
        store = open_store(settings.database_url, dynamodb_endpoint=settings.dynamodb_endpoint)
        opened.callback(store.close)
        publisher = Publisher(
            settings.broker,
            timeout_ms=settings.mqtt_publish_timeout_ms,
            publishes_per_s=settings.mqtt_publishes_per_s,
        )
        opened.callback(publisher.close)
        gateway = _payments(settings, time_left_s, clock)
        for_players = _waited_for(settings, players_places, clock)
        services = connect(
            store=store,
            software=store.software,
            payments=gateway,
            players_payments=for_players,
            webhooks_payments=_waited_for(settings, webhooks_places, clock),
            broker=publisher,
            receivers=alert_receivers(settings),
            keyring=Keyring(settings.signing_secrets),
            limits=settings.limits,
            base_url=settings.public_base_url,
            price_id=settings.stripe_price_id,
            tab_limits=settings.tab_limits,
            machine_silent_s=settings.machine_silent_s,
            is_live=settings.stripe_is_live,
            issuing=settings.issuing,
            codes_on_statements=settings.statement_suffix,
            zone=settings.timezone,
            quiet_hours=settings.quiet_hours,
            broker_user=settings.broker.username,
            now_ms=now_ms,
            later=later,
        )
        daily = DailyReconciliation(
            fulfilment=services.fulfilment,
            balance=gateway,
            alerts=services.alerts,
            keyring=services.intake.keyring,
        )
        return Cloud(
            settings=settings,
            store=store,
            publisher=publisher,
            services=services,
            fees=Fees(fulfilment=services.fulfilment, balance=gateway),
            daily=daily,
            asked_for=daily if for_players is None else replace(daily, balance=for_players),
            opened=opened.pop_all(),
        )


def _payments(
    settings: Settings, time_left_s: Callable[[], float] | None, clock: "StripeClock"
) -> "StripeGateway":
    from arcade_cloud.adapters.stripe.gateway import ANSWER_IN_A_HURRY_S, RETRIES_IN_A_HURRY, StripeGateway

    api_key, api_base = settings.stripe_api_key, settings.stripe_api_base
    if time_left_s is None:
        return StripeGateway(api_key, api_base=api_base, clock=clock)
    return StripeGateway(
        api_key,
        api_base=api_base,
        retries=RETRIES_IN_A_HURRY,
        answer_s=ANSWER_IN_A_HURRY_S,
        time_left_s=time_left_s,
        clock=clock,
    )


def _waited_for(settings: Settings, places: "Places | None", clock: "StripeClock") -> "StripeGateway | None":
    """Stripe for whoever waits for the response to a request; None where there are places for all."""
    from arcade_cloud.adapters.stripe.gateway import ANSWER_TO_A_PLAYER_S, RETRIES_IN_A_HURRY, StripeGateway

    if places is None:
        return None
    return StripeGateway(
        settings.stripe_api_key,
        api_base=settings.stripe_api_base,
        retries=RETRIES_IN_A_HURRY,
        answer_s=ANSWER_TO_A_PLAYER_S,
        places=places,
        clock=clock,
    )
