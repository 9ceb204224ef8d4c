"""Deliberate bugs, put into the real code in memory: the simulation must find each of them.

A bug is a change of the source of one function or more; nothing is written to disk. If the text that is to be
changed is not there any more, the bug is stale, and that is an error.
"""

import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from simulation.bugs import Edit, Mutation
from simulation.bugs import bug as _bug
from simulation.checkers import Broken
from simulation.running import one
from simulation.tab_bugs import TAB_BUGS

LIFE = "arcade_cloud.domain.life:"
CREDIT = "arcade_cloud.domain.credit:"
PAYMENT = "arcade_cloud.domain.payment:"
SETTLEMENT = "arcade_cloud.domain.settlement:"
BOOKS = "arcade_cloud.domain.books:"
RECEIPTS = "arcade_cloud.domain.receipts:"
NUMBERING = "arcade_cloud.services.receipts:Receipts."
RECONCILING = "arcade_cloud.domain.reconciling:"
DAILY = "arcade_cloud.services.daily_reconciliation:DailyReconciliation."
OWNERSHIP = "arcade_cloud.domain.ownership:"
INTAKE = "arcade_cloud.services.payment_intake:PaymentIntake."
OUTBOX = "arcade_cloud.domain.outbox:"
TELLING = "arcade_cloud.services.outbox_delivery:OutboxDelivery."
WATCH = "arcade_cloud.services.machine_watch:MachineWatch."
STRIPE_CLOCK = "arcade_cloud.adapters.stripe.clock:StripeClock."
CREDITS = "arcade_edge.domain.credits:"
DELIVERY = "arcade_edge.agent.delivery:Delivery."


# A clock that jumps by hours, alone and where machines say nothing.
FAR_OFF = "a cloud process's clock is hours off"
SILENT_AND_FAR_OFF = (FAR_OFF, "Pi broken for good", "Pi without power", "link of a Pi down", "operator refunds")


MUTATIONS = (
    _bug(
        "a payment that became known late counts as paid now",
        (PAYMENT + "arrived", "min(shown.paid_at_ms, context.now_ms)", "context.now_ms"),
    ),
    _bug(
        "a session that is complete counts as paid",
        (
            LIFE + "_read",
            "if shown is not None and shown.has_money:",
            'if shown is not None and (shown.has_money or event.session == "complete"):',
        ),
    ),
    _bug(
        "the deadline does not matter once the machine has accepted",
        (CREDIT + "publish", "if now >= deadline_ms:", "if now >= deadline_ms and not delivery.accepted:"),
        near=15,
    ),
    _bug(
        "a refund is given without a revoke",
        (
            LIFE + "_revoke_all",
            "step = credits.begin_revoking(credit, why, patience, context)",
            'step = credits._resolve(credit, 0, "unsent", why, context)',
        ),
    ),
    _bug(
        "a word that is not final decides",
        (CREDIT + "acked", "if ack.final:", "if ack.final or ack.delivered:"),
    ),
    _bug(
        "another installation's word counts",
        (CREDIT + "acked", "ack.installation != delivery.command.installation", "False"),
    ),
    _bug(
        "another machine's word counts",
        (CREDIT + "acked", "ack.machine_id != credit.machine_id", "False"),
        near=22,
    ),
    _bug(
        "every publish has a new credit id",
        (CREDIT + "publish", "    if command is None:\n", "    if True:\n"),
        (
            "arcade_cloud.domain.order:credit_id_of",
            "{token}",
            "{credit.delivery and credit.delivery.publishes}",
        ),
        ("arcade_cloud.services.fulfilment:Fulfilment.context", "c.command is None and ", ""),
    ),
    _bug(
        "a credit is addressed anew with every publish",
        (
            CREDIT + "publish",
            "    due = min(later",
            "    anew = context.installations.get(credit.machine_id) or command.installation\n"
            "    command = msgspec.structs.replace(command, installation=anew)\n    due = min(later",
        ),
        ("arcade_cloud.services.fulfilment:Fulfilment.context", "c.command is None and ", ""),
        near=95,
    ),
    _bug(
        "every publish prolongs the credit's life",
        (
            CREDIT + "publish",
            "    due = min(later",
            "    command = msgspec.structs.replace(command, expires_at_ms=now + 60_000)\n    due = min(later",
        ),
    ),
    _bug(
        "a database that was set back makes another credit of the same order",
        ("arcade_cloud.domain.order:credit_id_of", "{order.order_id}", "{order!r}"),
        near=15,
    ),
    _bug(
        "a database that was set back addresses an order to another Pi",
        (
            CREDIT + "publish",
            "current is None or credit.ready_installation not in (None, current)",
            "current is None",
        ),
        near=319,
        weather=(
            "database restored from a backup",
            "second Pi with the same id",
            "link of a Pi down",
            "Pi without power",
            "message lost before the broker",
        ),
    ),
    _bug("silence needs no echo", (CREDIT + "is_silent", "return acks_arrive and", "return")),
    _bug(
        "no echo is ever read, so every silence waits for the last resort",
        (
            "arcade_cloud.services.fulfilment:Fulfilment.context",
            "self.heard_echo_ms() if _is_revoking(order) else None",
            "None",
        ),
    ),
    _bug(
        "an echo from before the latest revoke proves that acks would arrive",
        (CREDIT + "is_silent", "max(last_ms, end_ms)", "end_ms"),
        near=16,
        weather=(
            "Pi broken for good",
            "Pi without power",
            "message lost after the broker",
            "message lost before the broker",
            "acks held up",
            "link of a Pi down",
        ),
    ),
    _bug(
        "an echo from before the end of the time proves that acks would arrive",
        (CREDIT + "is_silent", "max(last_ms, end_ms)", "last_ms"),
    ),
    _bug(
        "a payment by a static link is as old as the cloud's knowledge of it",
        (
            "arcade_cloud.services.payment_intake:PaymentIntake._link_order",
            "created_at_ms=shown.paid_at_ms or now_ms",
            "created_at_ms=now_ms",
        ),
        near=83,
        weather=("database restored from a backup", "webhook ten times", "webhook late"),
    ),
    _bug(
        "a retained status proves that acks would arrive",
        (
            "arcade_cloud.services.machine_messages:MachineMessages._status",
            "    store = self.fulfilment.store\n",
            "    store = self.fulfilment.store\n    store.note_echo(self.fulfilment.now_ms())\n",
        ),
        near=22,
    ),
    _bug(
        "a retained ack proves that acks would arrive",
        (
            "arcade_cloud.services.machine_messages:MachineMessages._ack",
            "    self._verified(place, fields)\n",
            "    self._verified(place, fields)\n    self.fulfilment.store.note_echo(self.fulfilment.now_ms())\n",
        ),
        weather=(
            "leftovers retained",
            "Pi without power",
            "Pi broken for good",
            "acks lost on their way",
            "cloud killed before a commit or effect",
            "message lost after the broker",
        ),
    ),
    _bug(
        "an echo counts from when it came, not from when it was sent",
        (
            "arcade_cloud.services.machine_messages:MachineMessages._echo",
            "note_echo(echo.timestamp_ms)",
            "note_echo(self.fulfilment.now_ms())",
        ),
        near=100,
        weather=(
            "message very late",
            "message late",
            "Pi broken for good",
            "link of a Pi down",
            "Pi without power",
        ),
    ),
    # Two rules keep such an echo away from a decision: whoever reads it forgets it, and it proves nothing.
    _bug(
        "an echo from the future proves silence",
        (CREDIT + "is_silent", " <= context.now_ms + SKEW_MS", ""),
        (
            "arcade_cloud.services.fulfilment:Fulfilment.heard_echo_ms",
            "heard_ms is None or heard_ms <= believed_until_ms",
            "True",
        ),
        near=14,
        weather=(
            FAR_OFF,
            "acks held up",
            "acks lost on their way",
            "Pi broken for good",
            "link of a Pi down",
            "Pi without power",
        ),
    ),
    _bug(
        "what a clock that was ahead has put off stays put off",
        (LIFE + "decide", 'if context.clock == "right":', "if False:"),
        near=14,
        weather=SILENT_AND_FAR_OFF,
    ),
    _bug(
        "a credit that a clock has put off stays put off",
        (
            "arcade_cloud.domain.clocks:_credit",
            "_due(delivery.due_at_ms, LONGEST_CREDIT_WAIT_S, now_ms)",
            "delivery.due_at_ms",
        ),
        near=14,
        weather=SILENT_AND_FAR_OFF,
    ),
    _bug(
        "a machine that was asked in the future may be silent until then",
        ("arcade_cloud.domain.clocks:_credit", "_past(revoking.since_ms, now_ms)", "revoking.since_ms"),
        near=44,
        weather=(*SILENT_AND_FAR_OFF, "acks lost for good"),
    ),
    _bug(
        "a machine whose answer was confirmed in the future may be silent until then",
        (
            "arcade_cloud.domain.clocks:_credit",
            "_past(revoking.first_confirmed_at_ms, now_ms)",
            "revoking.first_confirmed_at_ms",
        ),
        near=44,
        weather=SILENT_AND_FAR_OFF,
    ),
    # Orders are put right one by one as well, with their next event, so nothing is lost by a useless look.
    _bug(
        "a process whose clock is wrong looks for what was put off",
        ("arcade_cloud.services.clock_recheck:ClockRecheck.look", 'fulfilment.clock() != "right"', "False"),
        elsewhere="tests/cloud/services/test_clock_off.py::"
        "test_a_process_that_is_hours_behind_takes_no_time_on_record_for_the_future",
    ),
    # A process whose clock is wrong looks at no machine, so it puts one off only in the moments before it knows.
    _bug(
        "a machine that a wrong clock has put off is not looked at",
        ("arcade_cloud.services.clock_recheck:ClockRecheck.look", "self.watch.look_at_put_off()", "pass"),
        elsewhere="tests/cloud/services/test_machine_watch.py::"
        "test_a_machine_that_another_process_s_clock_has_put_off_is_looked_at_in_time",
    ),
    _bug(
        "machines that are closed until later wait for their day",
        (
            "arcade_cloud.domain.machines:look",
            "again_ms if again_ms < closed.until_ms else closed.until_ms + silent_ms",
            "closed.until_ms + silent_ms",
        ),
        elsewhere="tests/cloud/services/test_machine_watch.py::"
        "test_machines_that_are_closed_for_the_night_do_not_hide_one_that_a_clock_has_put_off",
    ),
    # Stripe answers within a minute of the jump, and then the process knows.
    _bug(
        "a clock that is set back goes unnoticed",
        (STRIPE_CLOCK + "off_ms", "set_by_ms if set_by_ms <= -DATE_STEP_MS else 0", "0"),
        elsewhere="tests/cloud/adapters/stripe/test_clock.py::"
        "test_a_clock_that_is_set_back_after_the_measurement_is_known_at_once",
    ),
    _bug(
        "a clock that is set ahead, or was suspended, is still known",
        (STRIPE_CLOCK + "off_ms", "set_by_ms >= SUSPENDED_MS", "False"),
        elsewhere="tests/cloud/adapters/stripe/test_clock.py::"
        "test_a_process_that_was_suspended_or_set_ahead_knows_nothing_before_the_next_answer",
    ),
    # Its own echoes would have to prove for five minutes that it hears, and nobody says a word to it meanwhile.
    _bug(
        "a process whose clock is wrong calls machines silent",
        (WATCH + "run_once", ' or self.clock() == "wrong"', ""),
        elsewhere="tests/cloud/services/test_machine_watch.py::"
        "test_a_process_that_is_hours_ahead_calls_no_machine_silent",
    ),
    _bug(
        "a watch waits until the time that its clock said before it was set back",
        (WATCH + "run_once", "0 < self._next_ms - now_ms <= LOOK_EVERY_MS", "now_ms < self._next_ms"),
        elsewhere="tests/cloud/services/test_machine_watch.py::"
        "test_the_watch_goes_on_at_once_when_its_process_s_clock_is_set_back",
    ),
    _bug(
        "reconciliation waits until the time that its clock said before it was set back",
        (
            "arcade_cloud.services.reconciliation:Reconciliation.run_once",
            "0 < wait_ms <= RECONCILE_EVERY_S * 1000",
            "0 < wait_ms",
        ),
        near=2,
        weather=(FAR_OFF, "webhook never"),
    ),
    _bug(
        "a clock that is behind takes what others have put on record for the future",
        (LIFE + "decide", 'if context.clock == "right":', "if True:"),
        near=16,
        weather=(*SILENT_AND_FAR_OFF, "acks held up"),
    ),
    _bug(
        "a process whose clock is wrong ends the wait for a machine",
        (CREDIT + "revoke", ' and context.clock == "right"', ""),
        near=14,
        weather=SILENT_AND_FAR_OFF,
    ),
    _bug(
        "a process that does not know its clock ends the wait for a machine",
        (CREDIT + "revoke", 'context.clock == "right"', 'context.clock != "wrong"'),
        near=44,
        weather=SILENT_AND_FAR_OFF,
    ),
    _bug(
        "a silence counts from what a wrong clock says",
        ("arcade_cloud.domain.decisions:Context.true_ms", "self.now_ms - self.off_ms", "self.now_ms"),
        near=16,
        weather=SILENT_AND_FAR_OFF,
    ),
    _bug(
        "a process whose clock is wrong tells a Pi the time",
        (
            "arcade_cloud.services.machine_messages:MachineMessages._status",
            "if why_closed(self.fulfilment.payments.clock_off_ms()) is not None:",
            "if False:",
        ),
        near=8,
        weather=(
            FAR_OFF,
            "journal rolled back",
            "Pi without power",
            "message repeated",
            "message late",
            "Pi cut between pulses",
        ),
    ),
    # A clock would have to jump in the seconds between a refund of a part whose answer was lost and the moment at
    # which Stripe does it. No seed of some hundred in this weather has met that.
    _bug(
        "a process whose clock is wrong refunds",
        (
            "arcade_cloud.services.fulfilment:Fulfilment._settle",
            'effect.operation == "refund" and self.clock() == "wrong"',
            "False",
        ),
        elsewhere="tests/cloud/services/test_clock_off.py::"
        "test_a_process_with_a_wrong_clock_refunds_nothing_and_another_one_does",
        weather=(FAR_OFF, "Stripe's answer lost", "Stripe does it later", "operator refunds"),
    ),
    # A simulated Pi always has a key that is valid, so none of those whose messages are refused is a machine that
    # speaks; and no promise breaks where others forge while it is silent, or is paid for.
    _bug(
        "a machine whose signatures are refused is silent",
        (CREDIT + "_over", "credit.machine_id not in context.unheard and ", ""),
        within=1,
        elsewhere="tests/cloud/services/test_wrong_key.py::"
        "test_its_order_is_not_closed_as_silent_and_ends_right_once_the_old_secret_is_back",
    ),
    _bug(
        "somebody pays for a machine whose signatures are refused",
        (
            "arcade_cloud.domain.machines:condition",
            "presence.refused_at_ms > presence.heard_at_ms and ",
            "False and ",
        ),
        within=1,
        elsewhere="tests/cloud/services/test_wrong_key.py::"
        "test_nobody_can_pay_from_its_first_refused_status_until_its_next_good_one",
    ),
    _bug(
        "nobody is told that a machine's client id is taken",
        (
            "arcade_cloud.domain.machines:_news_of_contest",
            "status.contested != presence.contested",
            "presence.contested",
        ),
        weather=("client id of a Pi taken",),
    ),
    _bug(
        "a client id that was taken once is said to be taken for ever",
        (
            "arcade_cloud.domain.machines:_news_of_contest",
            "status.contested != presence.contested",
            "status.contested",
        ),
        weather=("client id of a Pi taken",),
    ),
    _bug(
        "a will says that a client id is taken no more",
        ("arcade_cloud.domain.machines:_news_of_contest", 'status.state == "online" and ', ""),
        elsewhere="tests/cloud/domain/test_machines.py::test_a_will_says_nothing_about_a_client_id",
    ),
    # Nobody is sold more by it: whoever pays for a machine that is gone gets the money back.
    _bug(
        "a status counts from when it came, not from when it was made",
        ("arcade_cloud.domain.machines:_updated", "stated_at_ms=status.timestamp_ms", "stated_at_ms=now_ms"),
        elsewhere="tests/cloud/domain/test_machines.py::test_a_status_is_fresh_for_a_while",
    ),
    _bug(
        "silence counts from the first revoke that was tried",
        (
            CREDIT + "is_silent",
            "first_ms, last_ms = revoking.first_confirmed_at_ms, ",
            "first_ms, last_ms = revoking.since_ms, ",
        ),
        near=27,
        weather=(
            "broker's word lost",
            "message lost before the broker",
            "Pi broken for good",
            "Pi without power",
            "link of a Pi down",
        ),
    ),
    _bug(
        "silence closes with nothing, whatever was reported",
        (CREDIT + "_silent", "_resolve(credit, reported,", "_resolve(credit, credit.count,"),
    ),
    _bug(
        "a machine may be silent for as long as ever, however short the hold",
        (PAYMENT + "patience", "if arrival.capture_before_ms is None:", "if True:"),
        weather=(
            "hold is short",
            "Pi broken for good",
            "Pi without power",
            "link of a Pi down",
            "Pi cut in a pulse",
        ),
    ),
    _bug(
        "a silence about a short hold ends while the machine may still pulse",
        (PAYMENT + "patience", "max(life_ms // 2, least_ms), max(life_ms * 3 // 4, least_ms)", "life_ms // 2, 0"),
        elsewhere="tests/cloud/domain/test_life.py::"
        "test_rule_a_machine_may_be_silent_as_long_as_it_may_still_pulse_however_short_the_hold",
    ),
    _bug(
        "the end of a hold is never learnt",
        (PAYMENT + "read_while_delivering", "arrival is not None and arrival.capture_before_ms is None", "False"),
        weather=(
            "hold is short",
            "Pi broken for good",
            "Pi without power",
            "link of a Pi down",
            "Pi cut in a pulse",
        ),
    ),
    _bug(
        "nothing is the last resort",
        (CREDIT + "_over", "context.now_ms >= last_resort_ms(revoking, patience, context)", "False"),
        near=13,
    ),
    _bug(
        "each refund has a new key at once",
        (SETTLEMENT + "_act", "    repeat = same and", "    repeat = False and"),
        (SETTLEMENT + "_act", 'operation == "refund" and alive and not repeat', "False"),
        near=9,
        weather=(
            "Stripe's answer lost",
            "Stripe does it later",
            "Stripe slow",
            "refund fails",
            "operator refunds",
        ),
    ),
    _bug(
        "a key does not tell the target",
        (SETTLEMENT + "_key", "{order.books.target_minor}:{order.settlement.serial}", "x"),
        near=15,
    ),
    _bug(
        "a refused part of a hold is not followed by the whole",
        (SETTLEMENT + "_refused", 'event.key == _key("capture", order)', "False"),
        near=6,
    ),
    _bug(
        "whatever Stripe says about a capture, all is captured",
        (SETTLEMENT + "_refused", "event.code == PARTIAL_CAPTURE and ", ""),
        weather=("Stripe refuses a capture", "Pi broken for good", "agent killed in a pulse"),
    ),
    _bug(
        "a share is not rounded to what Stripe moves",
        (
            "arcade_cloud.domain.money:Currency.rounded_down",
            "amount_minor - amount_minor % self.step_minor",
            "amount_minor",
        ),
    ),
    _bug(
        "a lost dispute has taken all",
        (SETTLEMENT + "step", "= shown.kept_minor,", '= 0 if shown.dispute == "lost" else shown.kept_minor,'),
        weather=(
            "dispute",
            "operator refunds",
            "refund fails",
            "agent killed in a pulse",
            "money moved by hand at Stripe",
        ),
    ),
    _bug(
        "a lost dispute has taken nothing",
        (SETTLEMENT + "step", "= shown.kept_minor,", "= shown.received_minor - shown.refunded_minor,"),
        weather=("dispute", "Pi broken for good", "agent killed in a pulse"),
    ),
    _bug(
        "what was read before an act counts after it",
        (SETTLEMENT + "is_outdated", "acts != order.settlement.acts or", ""),
        (PAYMENT + "was_read_before", "shown.is_older_than(known)", "False"),
        near=520,
        weather=(
            "Stripe's answer waits before it is used",
            "a cloud process has another time",
            "operator refunds",
            "work for Stripe dropped",
        ),
    ),
    # A process whose clock is a minute off or more refunds nothing. For less, no seed of some hundred met it.
    _bug(
        "a clock says which of two processes was first",
        (
            SETTLEMENT + "is_outdated",
            "acts != order.settlement.acts or",
            "read_at_ms < (order.settlement.key_at_ms or 0) + (not order.settlement.key_over) or",
        ),
        (PAYMENT + "was_read_before", "shown.is_older_than(known)", "False"),
        elsewhere="tests/cloud/services/test_old_readings.py::"
        "test_a_reading_from_before_an_operators_refund_refunds_nothing",
        weather=(
            "Stripe's answer waits before it is used",
            "a cloud process has another time",
            "operator refunds",
            "work for Stripe dropped",
        ),
    ),
    _bug(
        "a refund for another target does not wait for the one under way",
        (SETTLEMENT + "_act", 'operation == "refund" and alive and not repeat', "False"),
        near=70,
        weather=("Stripe's answer lost", "Stripe does it later", "operator refunds"),
    ),
    _bug(
        "what Stripe shows ends an attempt without a result",
        (SETTLEMENT + "_settled", "attempts=0, settled", "attempts=0, key_over=True, settled"),
        elsewhere="tests/cloud/domain/test_settlement.py::"
        "test_rule_a_refund_without_a_known_result_is_waited_for_even_if_stripe_shows_the_target",
        weather=(
            "Stripe's answer lost",
            "Stripe does it later",
            "operator refunds",
            "money moved by hand at Stripe",
        ),
    ),
    _bug(
        "a capture that an older database does not know goes back",
        (OWNERSHIP + "captured_for", "return int(target) if known else None", "return None"),
        weather=("database restored from a backup",),
    ),
    _bug(
        "a refund that fails is not made anew",
        (SETTLEMENT + "step", "if kept > target:", "if kept > target and not shown.refunds_failed:"),
        near=10,
    ),
    _bug(
        "the cloud checks no signatures",
        (
            "arcade_cloud.services.machine_messages:MachineMessages._verified",
            "key = verify(self.keyring.of_machine(place.machine_id), str(place), fields)",
            "key = self.keyring.of_machine(place.machine_id)[0]",
        ),
        near=22,
    ),
    _bug(
        "the agent checks no signatures",
        ("arcade_edge.agent.inbox:read_message", "verify(addressee.keys, topic, fields)", "pass"),
    ),
    _bug(
        "the agent obeys what is meant for another installation",
        ("arcade_edge.agent.inbox:_if_ours", "installation == addressee.installation", "True"),
        near=6,
    ),
    _bug(
        "duplicates are known in memory only",
        (DELIVERY + "_find", " or self._journal.find(credit_id)", ""),
    ),
    _bug(
        "a revoke of an unknown credit leaves no tombstone",
        (
            CREDITS + "_first_seen",
            'return Decision(Credit(event.credit_id, 0, "revoked", 0, reason=REVOKED))',
            'return Decision(None, Answer(event.credit_id, "revoked", True, 0, 0, 0, REVOKED))',
        ),
        near=52,
    ),
    _bug(
        "the Pi trusts its own clock",
        (
            "arcade_edge.agent.reports:Reports.cloud_ms",
            "return self._clock.cloud_ms(self._boottime_ms())",
            "return self._wall_ms() if self._clock.anchor_cloud_ms else None",
        ),
        near=24,
        weather=(
            "wall clock jumps",
            "message late",
            "message repeated",
            "card stalls",
            "machine not ready",
            "link of a Pi down",
        ),
    ),
    _bug(
        "a refusal is told and not journaled",
        (
            CREDITS + "_first_seen",
            "    return Decision(credit, None if refusal else answer_of(credit))",
            "    return Decision(None if refusal else credit, answer_of(credit))",
        ),
        near=90,
    ),
    _bug(
        "the first intent is not committed before the pulse",
        (
            DELIVERY + "_request",
            "self._save([credit])",
            "credit.intent or self._journal.commit([credit])",
        ),
        near=29,
    ),
    _bug(
        "the deadline is not read again before the first edge",
        (CREDITS + "_before_first_edge", "expired(credit, context) or", ""),
        near=14,
        weather=("card stalls", "message late", "machine not ready", "message repeated"),
    ),
    _bug(
        "what ended as the journal failed is decided anew",
        (
            DELIVERY + "_save",
            "credit.final and credit.credit_id in self._waiting",
            "credit is None",
        ),
        elsewhere="tests/edge/agent/test_agent_credits.py::"
        "test_what_waited_and_was_over_as_the_journal_failed_is_not_decided_anew",
    ),
    _bug(
        "what a start finds begun counts as delivered",
        (
            CREDITS + "_after_restart",
            "    delivered = _counted",
            "    credit = replace(credit, delivered=credit.delivered + credit.intent, intent=False)\n"
            "    delivered = _counted",
        ),
    ),
    _bug(
        "the uncertain pulse is hidden: it counts as not begun",
        (CREDITS + "_after_restart", "uncertain=int(credit.intent)", "uncertain=0"),
        near=22,
    ),
    _bug(
        "an orderly stop does not wait for the credit, and the next start pulses it again",
        (
            "arcade_edge.agent.loop:Agent._do_what_is_due",
            "if self._conditions.stopping and self._delivery.line_free:",
            "if self._conditions.stopping:",
        ),
        (
            CREDITS + "_after_restart",
            "    delivered = _counted",
            "    if credit.intent:\n"
            '        return replace(credit, state="accepted", delivered=0, intent=False)\n'
            "    delivered = _counted",
        ),
        (
            DELIVERY + "_close_what_was_left",
            "    if closed:\n",
            "    self._waiting.update({c.credit_id: c for c in closed if not c.final})\n"
            "    closed = [c for c in closed if c.final]\n    if closed:\n",
        ),
    ),
    _bug(
        "the last word is told before it is committed",
        (
            DELIVERY + "_end",
            "    try:\n",
            "    self._tell_final([credit])\n    try:\n",
        ),
        weather=("Pi cut before a journal write", "journal full"),
    ),
    _bug(
        "a ready line that cannot be read counts as what it said last",
        ("arcade_edge.agent.gate:ReadyLine.take", "self._lost.add(detector)", "pass"),
        weather=("detector of a Pi fails",),
    ),
    _bug(
        "a credit has its turn though the machine is not ready",
        ("arcade_edge.agent.gate:ReadyLine.take", "self._level = ready", "self._level = True"),
        weather=("machine not ready",),
    ),
    _bug(
        "a game over is forgotten once it is handed to the link",
        (
            "arcade_edge.agent.reports:Reports.send_due",
            "            self._retry_boot_ms = boot_ms + self._retry_ms\n",
            "            self._retry_boot_ms = boot_ms + self._retry_ms\n"
            "        elif self._due[key].until_boot_ms is not None:\n            del self._due[key]\n",
        ),
        weather=("message lost before the broker", "broker down"),
    ),
    _bug(
        "an ack that the broker refused is forgotten",
        (
            "arcade_edge.agent.reports:Reports.broker_answered",
            "    if event.ok:\n        if",
            "    if True:\n        if",
        ),
        elsewhere="tests/edge/agent/test_agent_reports.py::test_a_refusal_of_the_broker_is_no_confirmation",
    ),
    _bug(
        "a start resumes what it finds",
        (
            CREDITS + "_after_restart",
            "    delivered = _counted",
            '    return replace(credit, state="accepted", delivered=0, intent=False)\n    delivered = _counted',
        ),
        (
            DELIVERY + "_close_what_was_left",
            "    if closed:\n",
            "    self._waiting.update({c.credit_id: c for c in closed})\n    return\n    if closed:\n",
        ),
    ),
    _bug(
        "a Pi begins what was made before it started",
        (CREDITS + "made_before_start", "return context.started_ms", "return False and context.started_ms"),
        near=2,
        weather=(
            "journal rolled back",
            "Pi cut between pulses",
            "Pi without power",
            "message repeated",
            "message lost before the broker",
        ),
    ),
    _bug(
        "an order that nobody paid is forgotten at once",
        (PAYMENT + "_to_be_forgotten", "1000 * UNPAID_KEPT_S", "0"),
        (PAYMENT + "is_forgettable", "and is_old", ""),
        elsewhere="tests/cloud/domain/test_life.py::"
        "test_an_order_that_nobody_could_pay_any_more_is_forgotten_after_a_month",
    ),
    _bug(
        "what is reported about an order that nobody paid does not keep it",
        (PAYMENT + "reported", "noted.recheck or is_abandoned", "noted.recheck"),
        elsewhere="tests/cloud/domain/test_life.py::"
        "test_what_is_reported_about_an_unpaid_order_is_read_before_the_order_is_forgotten",
    ),
    _bug(
        "what was pruned counts as never seen", (CREDITS + "forgets_before_ms", "return", "return 0  #"), near=15
    ),
    _bug(
        "what reconciliation finds is not taken in",
        (
            "arcade_cloud.services.reconciliation:Reconciliation._take_in",
            "became = self.intake.take_in_found(report)",
            'became = "ignored"',
        ),
        near=57,
    ),
    _bug(
        "any mark proves that a payment is ours",
        (OWNERSHIP + "is_marked", "return any(", "return True or any("),
        near=9,
    ),
    _bug("a mark is good for any amount", (OWNERSHIP + "mark", "ours.amount_minor", "0"), near=31),
    _bug("a mark is good for any machine", (OWNERSHIP + "mark", "ours.machine_id", '""'), near=9),
    _bug("a mark is good for any order", (OWNERSHIP + "mark", "ours.order_id", '""'), near=45),
    _bug(
        "whoever names an order of ours has paid it",
        (INTAKE + "_on_record", "_session_of(named) == report.session_id", "True"),
        (INTAKE + "_on_record", " or report.session_id is None", ""),
        near=9,
    ),
    _bug(
        "a session that names our order is not compared with the order's own",
        (INTAKE + "_is_read_back", "checkout.payment.payment_intent != payment_intent", "False"),
        (INTAKE + "_is_read_back", "PaymentRead(checkout.payment, ", "PaymentRead(report.payment, "),
        (INTAKE + "_is_read_back", "checkout.payment is None or ", ""),
        near=31,
    ),
    _bug(
        "a declined payment that copies our mark takes the place of the order's own",
        (INTAKE + "_event", "if is_on_record or _session_of(order) is None else None", ""),
        near=9,
    ),
    _bug(
        "money that copies the mark of an unpaid order is shown to nobody",
        (INTAKE + "_told_apart", "return self._unclaimed(", 'return "ignored" or self._unclaimed('),
        near=33,
    ),
    _bug(
        "a payment for a machine here is ours at any price",
        (INTAKE + "_offer_sold", "offer.price_id == price_id and ", ""),
    ),
    _bug(
        "what nobody can prove to be ours goes back",
        (
            INTAKE + "_unclaimed",
            "    reference = (",
            "    return self._unmatched(shown.payment_intent, report, why)\n    reference = (",
        ),
        near=6,
    ),
    _bug(
        "what Stripe does not show is asked for again and again",
        (INTAKE + "take_in", "except PaymentsRefused as error:", "except ZeroDivisionError as error:"),
        near=28,
    ),
    _bug(
        "a payment that was taken is as old as the event that tells it",
        (
            "arcade_cloud.adapters.stripe.events:_payment_beyond_doubt",
            'is_hold = what == "payment_intent.amount_capturable_updated" and subject.get("status") == '
            '"requires_capture"',
            'is_hold = what.startswith("payment_intent.") and subject.get("status") in '
            '("requires_capture", "succeeded")',
        ),
    ),
    _bug(
        "the line does not ask whether a pulse may begin",
        ("arcade_edge.hardware.coin_line:PulseThread._pulse_credit", "if not self._may_begin():", "if False:"),
        weather=("machine not ready in a train", "card stalls"),
    ),
    _bug(
        "the ready line does not shut the gate",
        ("arcade_edge.agent.gate:Gate.is_open", "self._line.ready and", ""),
        weather=("machine not ready in a train",),
    ),
    _bug(
        "a train goes on though nothing is confirmed",
        ("arcade_edge.domain.train:Contact.reported", "return Contact(", "return self or Contact("),
        weather=("cable pulled in a train",),
    ),
    _bug(
        "another train begins though nothing is confirmed",
        (CREDITS + "_waiting", "and not context.pause", ""),
        elsewhere="tests/edge/agent/test_trains.py::test_without_the_broker_no_other_train_begins",
    ),
    _bug(
        "a train waits for ever",
        ("arcade_edge.domain.train:Train.end", "return next(", 'return "" and next('),
        weather=("machine not ready in a train",),
    ),
    _bug(
        "what the meter has missed is charged for",
        (CREDITS + "_counted", "if not counts or credit.registered is None:", "if True:"),
        weather=("coin not registered",),
    ),
    _bug(
        "a restart forgets what the meter has missed",
        (
            CREDITS + "_after_restart",
            "= _counted(credit, context.counts)",
            "= credit.delivered",
        ),
        weather=("coin not registered", "Pi cut between pulses"),
    ),
    _bug(
        "progress tells of coins that the meter has not registered",
        (DELIVERY + "_tell_progress", "counts=self._counts", "counts=False"),
        weather=("coin not registered", "Pi broken for good", "Pi cut between pulses"),
    ),
    _bug(
        "a machine whose meter misses every coin is sold on",
        ("arcade_edge.domain.meter:short_trains", "if registered < pulsed else 0", "if False else 0"),
        weather=("coin not registered",),
    ),
    _bug(
        "what a meter counted is not on record where it disagrees",
        ("arcade_cloud.domain.metering:counts", "if registered is None", "if registered is None or ack.reason"),
        weather=("coin not registered",),
    ),
    _bug(
        "what was delivered is on record for what was pulsed",
        ("arcade_cloud.domain.metering:_pulsed", "return told if", "return told if False and"),
        weather=("coin not registered",),
    ),
    _bug(
        "a machine is called silent though the cloud may be deaf",
        (
            "arcade_cloud.domain.machines:look",
            "hearing is None or now_ms - hearing.until_ms > HEARS_FOR_MS",
            "False",
        ),
        (
            "arcade_cloud.domain.machines:look",
            "if now_ms - hearing.since_ms < HEARS_FOR_MS:",
            "if False:",
        ),
        weather=("cloud down", "broker down"),
    ),
    _bug(
        "a machine that is heard again stays silent on record",
        (
            "arcade_cloud.services.machine_messages:MachineMessages._status",
            "if update.watched_anew:",
            "if False:",
        ),
    ),
    _bug(
        "a status that was long on its way is a sign of life",
        (
            "arcade_cloud.domain.machines:_is_sign_of_life",
            " and abs(status.timestamp_ms - now_ms) <= FRESH_MS",
            "",
        ),
        near=390,
    ),
    _bug(
        "a machine that fell silent once is never looked at again",
        (
            "arcade_cloud.domain.machines:_updated",
            "if due_at_ms is None and silent_ms and is_alive:",
            "if due_at_ms is None and silent_ms and is_alive and not presence.alive_at_ms:",
        ),
    ),
    _bug(
        "an order that is settled again books all of it again",
        (BOOKS + "lines", "due - total(line for line in plays(booked) if line.number == number)", "due"),
    ),
    _bug(
        "an order that is settled again books nothing more",
        (BOOKS + "lines", "if not order.settlement.done:", "if not order.settlement.done or booked:"),
    ),
    _bug(
        "money that moves while its order stays settled is not booked",
        (BOOKS + "settles", " or before.books != after.books", ""),
    ),
    _bug(
        "the lines are booked before the step that settles the order",
        (
            "arcade_cloud.services.fulfilment:Fulfilment._save",
            "    entry = HistoryEntry(",
            "    if lines:\n        self.store.book(lines)\n        lines = ()\n    entry = HistoryEntry(",
        ),
        weather=("cloud killed before a commit or effect",),
    ),
    _bug(
        "the lines of a settlement are not added to the tallies",
        ("arcade_cloud.services.fulfilment:Fulfilment._save", "tallies=booking.tallies,", ""),
    ),
    _bug(
        "what is settled again counts as much as what was settled first",
        ("arcade_cloud.domain.tallies:of_line", "total((line,))", "total((line,) * line.serial)"),
    ),
    _bug(
        "a day ends when it does in UTC",
        (BOOKS + "day_of", ".astimezone(zone)", ""),
    ),
    _bug(
        "credits that were given are not booked",
        (BOOKS + "lines", "if new == Sums():", "if new == Sums() or order.payment is None:"),
    ),
    _bug(
        "a credit that brought nothing is not booked",
        (BOOKS + "lines", "if new == Sums():", "if new == Sums() or (new.ordered and not new.delivered):"),
    ),
    _bug(
        "two pulses have no gap",
        (
            "arcade_edge.hardware.coin_line:PulseThread._pulse_credit",
            "self._wait_until(self._inactive_since_ns + self._profile.gap_ms * 1_000_000)",
            "pass",
        ),
    ),
    _bug(
        "a machine that is out of service is sold",
        ("arcade_cloud.domain.machines:why_not_ready", "closed = machine.closed(now_ms)", "closed = None"),
        weather=("machine out of service",),
    ),
    _bug(
        "money by a static link is delivered by a machine that is out of service",
        (INTAKE + "_is_paid_while_closed", "if closed is None", "if True"),
        near=14,
        weather=("machine out of service",),
    ),
    _bug(
        "a machine that is out of service is called silent",
        (WATCH + "_look", "if closed is not None:", "if False:"),
        near=15,
        weather=("machine out of service", "link of a Pi down", "Pi without power"),
    ),
    _bug(
        "a machine that is called silent stays so when it goes out of service",
        (WATCH + "_excused", '"machine_silent"', '"deaf"'),
        near=515,
        weather=("machine out of service", "link of a Pi down", "Pi without power"),
    ),
    _bug(
        "a machine that is closed until some time stays closed",
        ("arcade_cloud.domain.closure:standing", "now_ms >= closure.until_ms", "False"),
        elsewhere="tests/cloud/domain/test_closure.py::test_a_closure_ends_by_itself_at_its_time",
    ),
    _bug(
        "a machine that is put back is not watched again",
        (WATCH + "opened", "self._look_at(machine_id, self.now_ms() + self.silent_ms)", "pass"),
        elsewhere="tests/cloud/services/test_machine_watch.py::test_a_machine_put_back_that_stays_silent_is_told",
    ),
    _bug(
        "a fee is booked again whenever it is read",
        (BOOKS + "has_booked", "any(line.entry_id == entry.entry_id for line in booked)", "False"),
        elsewhere="tests/cloud/services/test_fees.py::test_the_same_entry_is_booked_once_however_often_it_is_read",
    ),
    _bug(
        "a fee counts in what an order has still to book",
        (BOOKS + "lines", "plays(booked) if", "booked if"),
        elsewhere="tests/cloud/domain/test_books.py::test_fees_change_nothing_of_what_the_order_books",
    ),
    _bug(
        "a dispute's fee is taken for the charge's",
        (BOOKS + "tells_fee", ' and line.what == "charge"', ""),
        elsewhere="tests/cloud/domain/test_books.py::test_a_dispute_tells_nothing_of_the_charges_fee",
    ),
    _bug(
        "a fee that is not known is nothing",
        (BOOKS + "fields", "None if row.knows_no_fee else ", ""),
        elsewhere="tests/cloud/entrypoints/test_cli_takings.py::"
        "test_a_fee_that_is_not_known_is_null_and_never_nothing",
    ),
    _bug(
        "a settlement meanwhile is taken for the fee's own booking",
        ("arcade_cloud.services.fees:book", "continue", "return order_id"),
        elsewhere="tests/cloud/services/test_fees.py::test_a_settlement_between_reading_and_booking_loses_nothing",
    ),
    _bug(
        "a sale does not wait for its receipt",
        (RECEIPTS + "due", "before <= 0 < before", "before < 0 < before"),
    ),
    _bug(
        "what was given free gets a receipt",
        (RECEIPTS + "due", "before <= 0 < before", "before <= 0 <= before"),
    ),
    _bug(
        "a batch begins with the last number of the one before",
        (RECEIPTS + "numbered", "series.last + len(receipts) + 1", "series.last + len(receipts)"),
        elsewhere="tests/cloud/domain/test_receipts.py::test_numbers_go_on_from_the_series_and_an_order_gets_one",
    ),
    _bug(
        "an order that has a number gets another one",
        (NUMBERING + "issue", "store.receipts_of([one.order_id for one in waiting])", "()"),
        elsewhere="tests/cloud/services/test_receipts.py::test_an_order_that_waits_again_gets_no_second_number",
    ),
    _bug(
        "what Stripe does not write on statements is not sold",
        (
            "arcade_cloud.adapters.stripe.gateway:StripeGateway.create_checkout",
            "not request.statement_suffix or",
            "True or",
        ),
        elsewhere="tests/cloud/web/test_receipt_pages.py::test_an_account_that_takes_no_suffix_sells_all_the_same",
    ),
    _bug(
        "a month's list has no credit notes",
        (RECEIPTS + "_document", "if not sums.kept_minor:", "if sums.kept_minor <= 0:"),
        elsewhere="tests/cloud/services/test_receipts.py::test_a_month_s_receipts_and_notes_come_to_its_takings",
    ),
    _bug(
        "a refund at Stripe is taken for one of ours",
        ("arcade_cloud.domain.balance:Entry.is_refund_by_hand", 'self.what == "refund"', "False"),
        elsewhere="tests/cloud/services/test_daily_reconciliation.py::"
        "test_a_refund_by_hand_is_found_once_the_books_have_it",
    ),
    _bug(
        "whatever calls itself ours is taken for a lost order",
        (DAILY + "_entry", "claims is not None and ownership", "claims is not None or ownership"),
        elsewhere="tests/cloud/services/test_daily_reconciliation.py::"
        "test_payments_of_another_shop_are_told_as_such_and_no_difference",
    ),
    _bug(
        "a dispute hides what else differs",
        (RECONCILING + "_money", "if rest and not of_hand and not of_dispute:", "if rest and not disputed:"),
        elsewhere="tests/cloud/domain/test_reconciling.py::"
        "test_both_at_once_explain_a_difference_and_a_third_does_not_hide_behind_them",
    ),
    _bug(
        "what Stripe will tell in a moment is a difference",
        (RECONCILING + "_unexplained", "< TOLD_WITHIN_MS", "< 0"),
        elsewhere="tests/cloud/services/test_daily_reconciliation.py::"
        "test_a_refund_of_this_very_moment_is_no_difference",
    ),
    _bug(
        "nobody is told of what a day has found",
        (DAILY + "_orders", "self._tell(done)", "pass"),
        elsewhere="tests/cloud/services/test_daily_reconciliation.py::"
        "test_a_refund_by_hand_that_the_books_lack_is_told",
    ),
    _bug(
        "a day that was begun begins anew with each process",
        (DAILY + "_wanted", "return report", "return self.begin(day)"),
        elsewhere="tests/cloud/services/test_daily_reconciliation.py::"
        "test_a_day_that_was_begun_is_finished_by_whoever_comes_next",
    ),
    _bug(
        "entries of the night after are told twice",
        (DAILY + "_entries", "if entry.created_ms >= end_ms:", "if False:"),
        elsewhere="tests/cloud/services/test_daily_reconciliation.py::"
        "test_entries_of_the_night_after_are_booked_and_told_the_next_day",
    ),
    # What other software is told.
    _bug(
        "a delivery is told as what was bought",
        (OUTBOX + "_play", '"delivered": delivered', '"delivered": credit.count'),
    ),
    _bug(
        "a step is stored without what it tells",
        (
            "arcade_cloud.services.fulfilment:Fulfilment._save",
            "self.outbox.of_step(order, decision.order, at_ms)",
            "()",
        ),
    ),
    _bug(
        "only what was refunded is told, and not what was released",
        (
            OUTBOX + "given_back_minor",
            "shown.amount_minor - shown.received_minor + shown.refunded_minor",
            "shown.refunded_minor",
        ),
    ),
    _bug(
        "the signature leaves out the time",
        (OUTBOX + "signature", 'b"%d." % at_s + body', "body"),
        elsewhere="tests/cloud/domain/test_outbox.py::test_signatures_are_as_openssl_computes_them",
    ),
    _bug(
        "what did not arrive is not tried again",
        (OUTBOX + "trying", "due_at_ms=now_ms + 1000 * wait_s", "due_at_ms=None"),
        elsewhere="tests/cloud/services/test_outbox_delivery.py::"
        "test_an_endpoint_that_fails_holds_up_no_other_and_gets_everything_later",
    ),
    _bug(
        "a try is made before it is written down",
        (TELLING + "_try", "self.store.change_posting(posting, sent)", "sent = posting"),
        elsewhere="tests/cloud/services/test_outbox_delivery.py::test_two_processes_send_one_posting_once",
    ),
    _bug(
        "a day in which the cloud was down counts for an endpoint's",
        (OUTBOX + "trying", "posting.since_ms if posting.tries else now_ms", "posting.since_ms"),
        elsewhere="tests/cloud/services/test_outbox_delivery.py::"
        "test_a_cloud_that_was_down_for_days_gives_nothing_up_at_the_first_failure",
    ),
    _bug(
        "what is given up is told to nobody",
        (TELLING + "_give_up", "self.alerts.store.raise_alert(", "(lambda alert: None)("),
        elsewhere="tests/cloud/services/test_outbox_delivery.py::"
        "test_what_is_not_taken_for_a_day_is_given_up_and_told",
    ),
    _bug(
        "a key does whatever it likes",
        ("arcade_cloud.domain.api_keys:check_scope", "if scope not in key.scopes:", "if False:"),
        elsewhere="tests/cloud/web/test_api_keys.py::test_a_key_does_what_its_scope_says_and_nothing_else",
    ),
    _bug(
        "a revoked key goes on working",
        ("arcade_cloud.domain.api_keys:is_valid", "is_its_own and key.revoked_at_ms is None", "is_its_own"),
        elsewhere="tests/cloud/web/test_api_keys.py::test_a_revoked_key_is_refused_at_once_and_for_good",
    ),
    *TAB_BUGS,
)


@contextmanager
def planted(mutation: Mutation) -> Iterator[None]:
    """The bug is in the code meanwhile."""
    with ExitStack() as stack:
        for edit in mutation.edits:
            stack.enter_context(_edited(edit))
        yield


@contextmanager
def _edited(edit: Edit) -> Iterator[None]:
    module_name, _, path = edit.where.partition(":")
    owner: Any = importlib.import_module(module_name)
    names = path.split(".")
    module = owner
    for name in names[:-1]:
        owner = getattr(owner, name)
    before: Any = getattr(owner, names[-1])
    function: Any = before.fget if isinstance(before, property) else before
    source = getattr(function, "mutated_source", None) or textwrap.dedent(inspect.getsource(function))
    if source.count(edit.old) != 1:
        raise LookupError(f"{edit.where} holds {source.count(edit.old)} times what is to be changed: {edit.old!r}")
    changed = source.replace(edit.old, edit.new)
    made: dict[str, Any] = {}
    exec(compile(changed, f"<mutated {edit.where}>", "exec"), module.__dict__, made)  # the point of this module
    after = made[names[-1]]
    changed_function: Any = after.fget if isinstance(after, property) else after
    changed_function.mutated_source = changed
    holders = [owner]
    if owner is module:  # others have it by its name
        ours = [other for name, other in list(sys.modules.items()) if name.startswith("arcade_")]
        holders += [other for other in ours if other is not owner and getattr(other, names[-1], None) is before]
    for holder in holders:
        setattr(holder, names[-1], after)
    try:
        yield
    finally:
        for holder in holders:
            setattr(holder, names[-1], before)


def hunt(mutation: Mutation, first: int, seeds: int) -> tuple[int, list[Broken]]:
    """After how many seeds the bug was found, and by what; 0 and nothing if it was not."""
    with planted(mutation):
        for number, seed in enumerate(range(first, first + seeds), start=1):
            broken = one(seed, mutation.weather, tabs=mutation.tabs).broken
            if broken:
                return number, broken
    return 0, []


def hunt_number(task: tuple[int, int, int]) -> tuple[str, int, str]:
    """`hunt` for another process: the bug's number, the first seed and how many; its name, when, and by what."""
    number, first, seeds = task
    found, broken = hunt(MUTATIONS[number], first, seeds)
    return MUTATIONS[number].name, found, broken[0].checker if broken else "–"
