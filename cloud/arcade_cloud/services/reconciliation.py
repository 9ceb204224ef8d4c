"""Reconciliation: finds payments and refunds in Stripe's own list of events that no webhook reported.

(What a person reads as reconciliation, Stripe's balance against the books, is `services/daily_reconciliation.py`.)

Every order asks Stripe itself until it is settled. Two things it cannot ask about: a payment by a static Payment
Link, which has no order yet, and a settled order's money that moves again, by a refund made at Stripe or a
dispute. If all webhooks about these are lost, only Stripe's list of events shows them. Stripe keeps it for 30
days. All events are scanned, not only the undelivered ones: an event is not undelivered if no endpoint is set up
or a wrong one answers 200.

`Store.reconciled_ms` says up to when everything has been scanned. It moves only when a scan is complete, so after
a failure the next scan begins where the last complete one ended.
"""

import logging
import threading
from dataclasses import dataclass, field

from arcade_cloud.domain.alerts import alert
from arcade_cloud.errors import PaymentsError, PaymentsRefused, PaymentsUnavailable, StoreUnavailable
from arcade_cloud.ports.payments import Report
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.payment_intake import PaymentIntake
from arcade_cloud.services.webhook_watch import WebhookWatch

logger = logging.getLogger(__name__)

# How long a payment without a webhook may stay unknown. Each scan is usually one request to Stripe.
RECONCILE_EVERY_S = 15 * 60
# After a page that failed, or that was dropped on the way to its thread.
RECONCILE_AGAIN_S = 60
# An event may show up in Stripe's list a little late, and the clocks differ.
OVERLAP_S = 3600
# Stripe keeps events for 30 days.
LISTED_S = 29 * 86_400
# Each failure may have waited for Stripe as long as a call takes. After so many, the page is left for later.
FAILURES_OF_A_PAGE = 3
# A session was paid, at once or by a slow bank transfer.
PAID = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
# Money has moved again.
MOVED = ("charge.refunded", "refund.updated", "refund.failed", "charge.dispute.created", "charge.dispute.closed")
PERMISSION = "a restricted key needs the permission “Events: read”"


@dataclass
class _Scan:
    """One pass through the list, from the newest event back to `since_ms`, a page at a time.

    Attributes:
        after: The id of the last event of the page before.
        complete: Every event so far was taken in.
    """

    began_ms: int
    since_ms: int
    after: str | None = None
    complete: bool = True


@dataclass(kw_only=True)
class Reconciliation:
    """Scans Stripe's events. The timer calls it at every pass; several processes may do so at once."""

    fulfilment: Fulfilment
    intake: PaymentIntake
    webhooks: WebhookWatch
    _next_ms: int = 0
    _scan: _Scan | None = None
    _failing: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run_once(self) -> bool:
        """Hand one page of the list to `Fulfilment.later` if it is time.

        Returns:
            Whether the next page is wanted now.

        Raises:
            StoreUnavailable: Only if work for Stripe is done at once. The page is scanned again.
        """
        fulfilment = self.fulfilment
        wait_ms = self._next_ms - fulfilment.now_ms()
        waits = 0 < wait_ms <= RECONCILE_EVERY_S * 1000  # a longer wait comes from a clock that was ahead
        if waits and not self.webhooks.wants_stripes_list():
            return False
        self._next_ms = fulfilment.now_ms() + RECONCILE_AGAIN_S * 1000
        fulfilment.later(self._page)
        return self._next_ms <= fulfilment.now_ms()

    def _page(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # the last page is still waiting for Stripe
        try:
            scan = self._scan or self._new_scan()
            if scan is not None:
                self._read_page(scan)
        finally:
            self._lock.release()

    def _new_scan(self) -> _Scan | None:
        """The next scan. None at the very first pass: older payments are not this installation's to deliver."""
        fulfilment = self.fulfilment
        store, now_ms = fulfilment.store, fulfilment.now_ms()
        reconciled_ms = store.reconciled_ms()
        if reconciled_ms is None:
            store.note_reconciled(now_ms)
            self._next_ms = now_ms + RECONCILE_EVERY_S * 1000
            return None
        if reconciled_ms > now_ms:  # this clock, or another process's, was ahead
            reconciled_ms = now_ms - OVERLAP_S * 1000
        self._scan = _Scan(began_ms=now_ms, since_ms=max(reconciled_ms, now_ms - LISTED_S * 1000))
        return self._scan

    def _read_page(self, scan: _Scan) -> None:
        fulfilment = self.fulfilment
        try:
            page = fulfilment.payments.read_events(PAID + MOVED, since_ms=scan.since_ms, after=scan.after)
        except PaymentsRefused as error:
            self._refused(error)
            return
        except PaymentsUnavailable as error:
            self._failed(error)
            return
        self.webhooks.compare(page.reports)
        failures = 0
        for report in page.reports:
            failures += not self._take_in(report)
            if failures == FAILURES_OF_A_PAGE:
                return
        scan.complete = scan.complete and not failures
        if page.after is not None:
            scan.after, self._next_ms = page.after, fulfilment.now_ms()
            return
        if scan.complete:
            fulfilment.store.note_reconciled(max(scan.since_ms, scan.began_ms - OVERLAP_S * 1000))
            if self._failing:
                logger.info("reconciliation with Stripe's events works again")
            self._failing = False
        self._scan, self._next_ms = None, fulfilment.now_ms() + RECONCILE_EVERY_S * 1000

    def _take_in(self, report: Report) -> bool:
        """Take in one event as its webhook would have been.

        Returns:
            Whether it is done; False if it must be scanned again.

        Raises:
            StoreUnavailable: It must be scanned again.
        """
        try:
            if self.fulfilment.store.is_seen(report.event_id) or self._is_nothing_new(report):
                return True
            became = self.intake.take_in_found(report)
        except StoreUnavailable:
            raise
        except PaymentsUnavailable as error:
            self._failed(error)
            return False
        except Exception as error:  # noqa: BLE001 - a defect in one event must not stop the others
            self._failed(error)
            text = f"An event about a payment cannot be taken in: {error}. Look up the payment at Stripe."
            self._alert(report.event_id, text)
            return False
        if became in {"moved", "unmatched", "unclaimed"}:
            logger.warning("event %s was found in Stripe's list, not by a webhook", report.event_id)
        return True

    def _is_nothing_new(self, report: Report) -> bool:
        """Whether a payment is nothing to us, or is being looked after."""
        if report.kind != "payment":
            return False
        if report.order_id is not None and self.intake.is_on_record(report):
            return True  # the order asks Stripe itself
        # It was delivered to whoever has that machine, if anybody.
        return report.is_delivered and not self.intake.may_be_ours(report)

    def _failed(self, error: Exception) -> None:
        """Log the first failure. The event or page is tried again."""
        if not self._failing:
            unexpected = None if isinstance(error, PaymentsError) else error
            logger.warning("reconciliation with Stripe's events is incomplete: %s", error, exc_info=unexpected)
        self._failing = True

    def _refused(self, error: PaymentsRefused) -> None:
        """Raise an alert: the key lacks a permission, or Stripe has dropped a page. A new scan begins later."""
        self._scan, self._next_ms = None, self.fulfilment.now_ms() + RECONCILE_EVERY_S * 1000
        text = f"Reconciliation cannot find payments without a webhook: {error} ({PERMISSION})."
        if not self._failing:
            logger.error("%s", text)
        self._failing = True
        self._alert("Stripe", text)

    def _alert(self, subject: str, text: str) -> None:
        self.fulfilment.store.raise_alert(alert("unreconciled", subject, text, self.fulfilment.now_ms()))
