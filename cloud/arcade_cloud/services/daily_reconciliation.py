"""Daily reconciliation: the entries of Stripe's balance ↔ the orders' books ↔ what machines reported.

(`services/reconciliation.py` is another thing: it scans Stripe's *events* for what no webhook has told, so that
orders move. This one moves no order. It books fees, and tells people what does not agree.)

A day is read in steps, and the store has how far it has come: a page of Stripe's balance, the payouts, then some
hundred orders at a time. So a step is short, any process may go on, and a day that was begun is finished after a
restart. Nothing is scanned: the orders are those that have booked lines on the day.

The timer reconciles yesterday, once three hours of today are over, days that it has missed, and for a week those
whose differences are not gone. Differences that a person must act on are a condition of the day (`books_differ`):
it ends when another look does not find them any more, or when somebody accepts them.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta

import msgspec

from arcade_cloud.domain import ownership, reconciling
from arcade_cloud.domain.balance import Entry, Payout
from arcade_cloud.domain.books import day_of
from arcade_cloud.domain.clocks import why_closed
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.reconciling import DayReport, DaySums, Difference, PayoutParts, bounds_ms
from arcade_cloud.domain.texts import NAME_LENGTH, REASON_LENGTH, checked_line
from arcade_cloud.errors import (
    BadRequest,
    Conflict,
    InvariantBroken,
    PaymentsError,
    PaymentsRefused,
    StoreError,
)
from arcade_cloud.ports.payments import Balance, EntryPage
from arcade_cloud.services import fees
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.fulfilment import Fulfilment

logger = logging.getLogger(__name__)

# A day is over for the books so long after midnight: orders of its last minutes are settled, and Stripe has told
# of their money by then.
AFTER_MIDNIGHT_MS = 3 * 3_600_000
# Entries of the first hours of the next day are booked too: they may be of orders that this day has booked.
NEXT_DAY_MS = 2 * 3_600_000
# Days that were missed, and days with differences, are looked at for so long; the latter once a day.
DAYS_BACK = 7
AGAIN_MS = 20 * 3_600_000
# Somebody who asks for a day goes on with a look that was begun so long ago, and begins a new one otherwise.
GO_ON_MS = 10 * 60_000
# Payouts that people are shown to choose from.
PAYOUTS_MS = 60 * 86_400_000
# Each order costs some readings of the store.
ORDERS_AT_ONCE = 200
# When nothing is to be done, or Stripe gave no answer.
IDLE_MS, RETRY_MS = 30 * 60_000, 5 * 60_000
# A day that was tried in vain for so long is a person's business. A key without the right to read is at once.
UNREAD_ALERT_MS = 12 * 3_600_000
_SUBJECT = "Stripe"
PERMISSIONS = "a restricted key needs the permissions “Balance”, “Balance transaction sources” and “Payouts”: read"


@dataclass(kw_only=True)
class DailyReconciliation:
    """Reconciles days: a `Watch`. Several processes may work on one day at once."""

    fulfilment: Fulfilment
    balance: Balance
    alerts: Alerts
    keyring: Keyring
    _next_ms: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # --- the timer ---------------------------------------------------------------------------------------

    def run_once(self) -> None:
        """Hand one step to `Fulfilment.later`, if a day is to be reconciled and the clock says which."""
        now_ms = self.fulfilment.now_ms()
        if 0 < self._next_ms - now_ms <= IDLE_MS:
            return
        if why_closed(self.fulfilment.payments.clock_off_ms()) is not None:
            return  # `clock_off` tells of it
        self._next_ms = now_ms + RETRY_MS
        self.fulfilment.later(self._pass)

    def _pass(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # the last step is still waiting for Stripe
        try:
            self._go_on()
        except StoreError:
            raise
        except Exception as error:  # a defect must not keep it from being told
            logger.exception("no day can be reconciled")
            self._unread(self._last_day(), error)
        finally:
            self._lock.release()

    def _go_on(self) -> None:
        report = self._wanted()
        if report is None or self._has_stepped(report):
            self.alerts.end("books_unread", _SUBJECT, "The balance can be read.")
            self._next_ms = self.fulfilment.now_ms() + (IDLE_MS if report is None else 0)

    def _has_stepped(self, report: DayReport) -> bool:
        """Take the next step of a report; False if Stripe did not let us."""
        day = date.fromisoformat(report.day)
        try:
            # A new one is stored first: it says since when the day is tried in vain.
            self.step(report if report.version else self._stored(report))
        except Conflict:
            logger.info("another process reconciles %s", day)
        except PaymentsError as error:
            logger.warning("%s cannot be reconciled yet: %s", day, error)
            if report.after and isinstance(error, PaymentsRefused):
                # The key may be of another account now, which does not know the last entry that was read.
                with suppress(Conflict):
                    self._stored(self.begin(day))
            self._unread(day, error)
            return False
        return True

    def _last_day(self) -> date:
        """The last day that is over for the books."""
        at_ms = self.fulfilment.now_ms() - AFTER_MIDNIGHT_MS
        return date.fromisoformat(day_of(at_ms, self.fulfilment.zone)) - timedelta(days=1)

    def _wanted(self) -> DayReport | None:
        """The report that the timer goes on with; None if every day is done.

        The first day that is ever reconciled is yesterday.
        """
        now_ms, last = self.fulfilment.now_ms(), self._last_day()
        days = [last - timedelta(days=back) for back in range(DAYS_BACK)]
        reports = {day: self.fulfilment.store.day_report(day.isoformat()) for day in days}
        known = [day for day, report in reports.items() if report is not None]
        for day in reversed(days):
            report = reports[day]
            if report is None:
                if day == last or (known and day > min(known)):
                    return self.begin(day)
            elif report.phase != "done":
                return report
            elif report.wants_another_look and now_ms - (report.done_ms or 0) >= AGAIN_MS:
                return self.begin(day)
        return None

    def _unread(self, day: date, error: Exception) -> None:
        """Tell a person, if a right is missing or this has lasted for long."""
        now_ms, report = self.fulfilment.now_ms(), self.fulfilment.store.day_report(day.isoformat())
        since_ms = now_ms if report is None or report.phase == "done" else report.began_ms
        if isinstance(error, PaymentsRefused):
            why = f"{error} ({PERMISSIONS})"
        elif now_ms - since_ms < UNREAD_ALERT_MS:
            return
        elif isinstance(error, PaymentsError):
            why = str(error)
        else:
            why = "a defect. Send the timer's log to the maintainers"
        text = f"{day} cannot be reconciled with Stripe's balance: {why}. Takings may lack Stripe's fees."
        self.alerts.begin("books_unread", _SUBJECT, text)

    # --- a day -------------------------------------------------------------------------------------------

    def run(self, day: date, *, is_enough: Callable[[], bool] | None = None) -> DayReport:
        """Reconcile a day now, from its beginning.

        Args:
            is_enough: Asked before each step but the first: whether to leave it at that. The next such call goes
                on from there. None: the day is reconciled to its end.

        Returns:
            The report; its phase is not `done` if that was enough before the end.

        Raises:
            BadRequest: The day has not begun.
            PaymentsError: Stripe's balance cannot be read.
            StoreUnavailable: The store is down.
        """
        if bounds_ms(day, self.fulfilment.zone)[0] > self.fulfilment.now_ms():
            raise BadRequest(f"{day} has not begun yet")
        report = self.begin(day) if is_enough is None else self._begun(day)
        has_stepped = False
        while report.phase != "done":
            if has_stepped and is_enough is not None and is_enough():
                break
            has_stepped = True
            try:
                report = self.step(report)
            except Conflict:  # the timer, or somebody else, reconciles it too: go on with what there is
                report = self.fulfilment.store.day_report(report.day) or self.begin(day)
        return report

    def _begun(self, day: date) -> DayReport:
        """A look that was begun just now, or a new one."""
        known = self.fulfilment.store.day_report(day.isoformat())
        is_under_way = known is not None and known.phase != "done"
        if known is not None and is_under_way and self.fulfilment.now_ms() - known.began_ms < GO_ON_MS:
            return known
        return self.begin(day)

    def begin(self, day: date) -> DayReport:
        """A new report of a day, not stored yet. What somebody has accepted stays accepted."""
        before = self.fulfilment.store.day_report(day.isoformat()) or DayReport(day=day.isoformat())
        return DayReport(
            day=before.day,
            version=before.version,
            began_ms=self.fulfilment.now_ms(),
            accepted=before.accepted,
            accepted_by=before.accepted_by,
            accepted_at_ms=before.accepted_at_ms,
            accepted_why=before.accepted_why,
        )

    def stored(self, day: date) -> DayReport | None:
        """What was found when the day was reconciled last; None if it was not, or is not finished."""
        report = self.fulfilment.store.day_report(day.isoformat())
        return report if report is not None and report.phase == "done" else None

    def payouts(self) -> Sequence[Payout]:
        """The payouts of the last weeks, newest first: one request.

        Raises:
            PaymentsError: They may not be read, or Stripe gave no answer.
        """
        now_ms = self.fulfilment.now_ms()
        return self.balance.read_payouts(since_ms=now_ms - PAYOUTS_MS, until_ms=now_ms + 1).payouts

    def parts_of(self, payout_id: str, *, is_enough: Callable[[], bool] | None = None) -> PayoutParts:
        """What a payout is of. It reads every entry of it: a request for each hundred.

        Args:
            is_enough: Asked before each further request: whether to give up.

        Raises:
            BadRequest: There is no such payout, or that was enough before the end.
            PaymentsRefused: It may not be read.
            PaymentsUnavailable: Stripe gave no answer.
        """
        payout, by_day = self._payout(payout_id), dict[str, DaySums]()
        page = self.balance.read_entries_of(payout_id) if payout.is_listed else EntryPage(())
        while True:
            for entry in page.entries:
                if entry.source == payout_id:
                    continue  # the payout itself
                day = day_of(entry.created_ms, self.fulfilment.zone)
                known = (by_day[day],) if day in by_day else ()
                (by_day[day],) = reconciling.added(known, entry, is_ours=self._is_ours(entry))
            if page.after is None:
                return PayoutParts(payout=payout, by_day=dict(sorted(by_day.items())))
            if is_enough is not None and is_enough():
                raise BadRequest(
                    f"{payout_id} is of more entries than can be read while you wait: "
                    f"arcade-cloud reconcile --payout {payout_id}"
                )
            page = self.balance.read_entries_of(payout_id, after=page.after)

    def _payout(self, payout_id: str) -> Payout:
        try:
            return self.balance.read_payout(payout_id)
        except PaymentsRefused as error:
            if error.code != "resource_missing":
                raise
            raise BadRequest(
                f"Stripe knows no payout {payout_id[:40]!r}: ids are on Stripe's page of payouts"
            ) from error

    def _is_ours(self, entry: Entry) -> bool:
        store, intent = self.fulfilment.store, entry.payment_intent
        return intent is not None and store.order_of_payment(intent) is not None

    def accept(self, day: date, by: str, *, reason: str, version: int | None = None) -> DayReport:
        """Accept what was found: nobody is told of it any more, but of what another look finds besides.

        Args:
            version: The version of the report that was looked at; None: whatever was found last.

        Raises:
            BadRequest: The day was not reconciled, the name or the reason cannot be shown, there is no reason, or
                another look was taken meanwhile.
            Conflict: Somebody is reconciling it.
        """
        name, why = checked_line(by, "the name", NAME_LENGTH), checked_line(reason, "the reason", REASON_LENGTH)
        if not why:
            raise BadRequest("say why: the reason is shown with the day")
        report = self.stored(day)
        if report is None:
            raise BadRequest(f"{day} was not reconciled: arcade-cloud reconcile --day {day}")
        if version is not None and report.version != version:
            raise BadRequest(f"{day} was looked at again meanwhile: see first what was found")
        if not report.found:
            return report
        accepted = tuple(sorted({*report.accepted, *(one.key for one in report.found)}))
        self.alerts.end("books_differ", report.day, f"Accepted by {name}.")
        return self._stored(
            report,
            accepted=accepted,
            accepted_by=name,
            accepted_at_ms=self.fulfilment.now_ms(),
            accepted_why=why,
        )

    def step(self, report: DayReport) -> DayReport:
        """Do the next part of a report, and store how far it has come.

        Raises:
            Conflict: Another process has done it meanwhile.
            PaymentsError: Stripe's balance cannot be read.
            StoreUnavailable: The store is down. The step may be repeated.
        """
        match report.phase:
            case "entries":
                return self._entries(report)
            case "payouts":
                return self._payouts(report)
            case "orders":
                return self._orders(report)
            case "done":
                return report

    def _stored(self, report: DayReport, **changes: object) -> DayReport:
        after = msgspec.structs.replace(report, version=report.version + 1, **changes)
        self.fulfilment.store.put_day_report(after, report.version)
        return after

    def _entries(self, report: DayReport) -> DayReport:
        since_ms, end_ms = bounds_ms(date.fromisoformat(report.day), self.fulfilment.zone)
        page = self.balance.read_entries(
            since_ms=since_ms, until_ms=end_ms + NEXT_DAY_MS, after=report.after or None
        )
        sums, found = report.sums, list[Difference]()
        for entry in page.entries:
            order_id, difference = self._entry(entry)
            if entry.created_ms >= end_ms:
                continue  # the next day tells of it
            sums = reconciling.added(sums, entry, is_ours=order_id is not None or difference is not None)
            found += [] if difference is None else [difference]
        differences, more = reconciling.with_more(report.differences, found)
        if page.after is not None:
            return self._stored(
                report, after=page.after, sums=sums, differences=differences, more=report.more + more
            )
        differences, _ = reconciling.with_more(differences, reconciling.of_others(sums))
        return self._stored(
            report, phase="payouts", after="", sums=sums, differences=differences, more=report.more + more
        )

    def _entry(self, entry: Entry) -> tuple[str | None, Difference | None]:
        """Book an entry with its order, or say what it is. Neither: it is somebody else's."""
        try:
            order_id = fees.book(self.fulfilment, entry)
        except InvariantBroken as error:
            return None, Difference(
                cause="unreadable", subject=entry.payment_intent or entry.entry_id, text=str(error), alerts=True
            )
        if order_id is not None:
            return order_id, None
        claims, store = entry.claims, self.fulfilment.store
        is_marked = claims is not None and ownership.is_marked(self.keyring.of_payments, claims, entry.mark)
        waits = entry.payment_intent is not None and store.unclaimed_payment(entry.payment_intent) is not None
        return None, reconciling.of_unknown(
            entry,
            is_marked=is_marked,
            is_on_record=is_marked and claims is not None and store.order(claims.order_id) is not None,
            is_unclaimed=waits,
            now_ms=self.fulfilment.now_ms(),
        )

    def _payouts(self, report: DayReport) -> DayReport:
        since_ms, end_ms = bounds_ms(date.fromisoformat(report.day), self.fulfilment.zone)
        page = self.balance.read_payouts(since_ms=since_ms, until_ms=end_ms, after=report.after or None)
        new = (reconciling.of_payout(payout) for payout in page.payouts)
        told = {one.subject for one in report.differences if one.cause == "payout_failed"}
        found = [one for one in new if one is not None and one.subject not in told]
        differences, more = reconciling.with_more(report.differences, found)
        return self._stored(
            report,
            phase="orders" if page.after is None else "payouts",
            after=page.after or "",
            differences=differences,
            more=report.more + more,
        )

    def _orders(self, report: DayReport) -> DayReport:
        lines = self.fulfilment.store.lines_of_day(report.day)
        waiting = sorted({line.order_id for line in lines if line.order_id > report.after})
        found: list[Difference] = []
        for order_id in waiting[:ORDERS_AT_ONCE]:
            found += self._order(order_id, report.day)
        differences, more = reconciling.with_more(report.differences, found)
        if len(waiting) > ORDERS_AT_ONCE:
            return self._stored(
                report, after=waiting[ORDERS_AT_ONCE - 1], differences=differences, more=report.more + more
            )
        done = msgspec.structs.replace(report, differences=differences, more=report.more + more)
        self._tell(done)  # before it counts as done, for nobody comes back to it then
        return self._stored(done, phase="done", after="", done_ms=self.fulfilment.now_ms())

    def _order(self, order_id: str, day: str) -> list[Difference]:
        store = self.fulfilment.store
        try:
            order = store.order(order_id)
            booked = store.booked(order_id)
        except InvariantBroken as error:
            return [
                Difference(cause="unreadable", subject=order_id, text=str(error), order_id=order_id, alerts=True)
            ]
        if order is None:
            text = "lines are booked for an order that is not on record"
            return [Difference(cause="unreadable", subject=order_id, text=text, order_id=order_id, alerts=True)]
        says = "; ".join(self._meter(order))
        return reconciling.of_order(order, booked, day, meter_says=says, now_ms=self.fulfilment.now_ms())

    def _meter(self, order: Order) -> Iterator[str]:
        """What the alerts about the machines' coin meters say, of this order's credits."""
        for credit in order.credits:
            alert_id = ":".join(("meter", order.order_id, *([] if credit.draw is None else [credit.draw.token])))
            alert = self.fulfilment.store.alert(alert_id)
            if alert is not None:
                yield alert.text

    def _tell(self, report: DayReport) -> None:
        """Begin or end the condition of the day. One that is not over has none: it is still on its way."""
        _, end_ms = bounds_ms(date.fromisoformat(report.day), self.fulfilment.zone)
        acts = report.to_act_on
        if not acts:
            self.alerts.end("books_differ", report.day, "Books and Stripe agree again.")
        elif self.fulfilment.now_ms() >= end_ms:
            causes = ", ".join(dict.fromkeys(one.cause.replace("_", " ") for one in acts))
            count = len(acts) + report.more
            text = (
                f"Of {report.day} {count} difference{'' if count == 1 else 's'} must be seen to ({causes}): "
                f"arcade-cloud reconcile --day {report.day}"
            )
            if any(one.cause == "unknown_order" for one in acts):
                text += f". {ownership.IF_RESTORED}"
            self.alerts.begin("books_differ", report.day, text)
