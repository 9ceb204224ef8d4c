"""The deliberate bugs of tabs: each takes a rule of docs/ORDER_LIFE.md away. `mutations.py` plants them."""

from functools import partial

from simulation.bugs import bug

LIFE = "arcade_cloud.domain.life:"
TAB = "arcade_cloud.domain.tab:"
ORDER = "arcade_cloud.domain.order:Order."
SETTLEMENT = "arcade_cloud.domain.settlement:"
TABS = "arcade_cloud.services.tabs:Tabs."

_bug = partial(bug, tabs=True)

TAB_BUGS = (
    _bug(
        "money that a webhook shows opens a tab",
        (
            LIFE + "_read",
            "order.tab is not None and shown is not None and event.read_at_ms is None and",
            "False and",
        ),
        (
            LIFE + "_read",
            "shown.has_money and order.tab is not None and event.read_at_ms is not None",
            "shown.has_money and order.tab is not None",
        ),
        (
            LIFE + "_read",
            "shown, event.read_at_ms, context)\n            if",
            "shown, event.read_at_ms or context.now_ms, context)\n            if",
        ),
        # Only a reading says when the hold ends, so the money goes back.
        elsewhere="tests/cloud/domain/test_tab.py::test_a_webhook_alone_opens_nothing_its_hold_is_read_back",
    ),
    _bug(
        "money that was taken instead of held opens a tab",
        (TAB + "why_not_opened", 'if shown.status != "requires_capture":', "if False:"),
        (TAB + "why_not_opened", "if order.payment is None or not stands(order.payment, shown):", "if False:"),
        weather=("money moved by hand at Stripe", "webhook never"),
    ),
    _bug(
        "a hold that became known long ago opens a tab",
        (TAB + "why_not_opened", "if age_ms >= 1000 * limits.tab_idle_s:", "if False:"),
        (TAB + "why_over", 'return "idle" if', 'return "idle" if tab.hold_read_at_ms is None and'),
        weather=("webhook never", "Stripe down"),
    ),
    _bug(
        "a hold's freshness counts from when the answer is used",
        (
            TAB + "read",
            "latest_ms = read_at_ms if tab.hold_read_at_ms is None else max(tab.hold_read_at_ms, read_at_ms)",
            "latest_ms = context.now_ms",
        ),
        weather=("Stripe's answer waits before it is used", "Stripe busy", "Stripe down"),
        near=40,
    ),
    _bug(
        "a hold that was read once is drawn on for ever",
        (TAB + "is_fresh", "-SKEW_MS <= now_ms - tab.hold_read_at_ms < 1000 * limits.tab_fresh_s", "True"),
        weather=("Stripe down", "work for Stripe dropped"),
    ),
    _bug(
        "what is under way counts for nothing",
        (ORDER + "committed_minor", "earned_minor + under_way", "earned_minor"),
        near=55,
    ),
    _bug(
        "what is asked back counts for nothing",
        (ORDER + "committed_minor", "if credit.under_way)", "if credit.under_way and not credit.is_revoking)"),
        # It takes two machines, one of which is silent, and a tab with almost nothing left.
        elsewhere="tests/cloud/domain/test_tab.py::test_what_is_under_way_counts_also_when_its_refund_was_asked_for",
    ),
    _bug("a tab has no limit", (TAB + "why_not_drawn", "if price > left_minor(order):", "if False:")),
    _bug(
        "a machine that owes an answer is drawn on",
        (
            TAB + "why_not_drawn",
            "if any(other.under_way and other.machine_id == credit.machine_id",
            "if any(False",
        ),
    ),
    _bug(
        "the first play may be too small to be captured",
        (TAB + "why_not_drawn", "if price < least_minor(order):", "if False:"),
    ),
    _bug(
        "a ticket draws whenever it is sent",
        (TABS + "draw", "return order, drawn", "pass"),
        (LIFE + "_drawn", "is_drawn or ", ""),
    ),
    _bug(
        "a ticket draws another credit each time",
        ("arcade_cloud.services.tabs:_token", 'ticket.partition(".")[0].encode()', "secrets.token_bytes(8)"),
    ),
    _bug(
        "a ticket never gets old",
        (TAB + "why_not_drawn", "if not -SKEW_MS <= context.now_ms - draw.at_ms < TOKEN_LIFE_MS:", "if False:"),
        near=55,
    ),
    _bug(
        "a ticket draws on whatever tab comes with it",
        (TABS + "draw", "wanted is None or wanted.order_id != order.order_id", "wanted is None"),
        near=15,
    ),
    _bug(
        "the price that was shown does not matter",
        (TABS + "_credit", "sold != (wanted.credits, wanted.price_minor, wanted.currency)", "False"),
    ),
    _bug(
        "a tab that is closed is drawn on",
        (TAB + "why_none_drawn", "if tab is not None and tab.closing is not None:", "if False:"),
        (
            TAB + "why_none_drawn",
            "if not order.is_open_tab:",
            "if not order.is_open_tab and (tab is None or tab.closing is None):",
        ),
    ),
    _bug(
        "a hold that stands opens a closed tab again",
        (TAB + "read", "tab = of(order)", "order = _with(order, closing=None)\n    tab = of(order)"),
        # Nothing reads the hold of a closed tab, unless Stripe tells of a change.
        elsewhere="tests/cloud/domain/test_tab.py::test_closed_is_closed_though_its_hold_is_read_standing",
    ),
    _bug(
        "what is under way goes on when its hold is gone",
        (
            LIFE + "_tab_read",
            'return _joined(closed, _revoke_all(closed.order, tabs.closed_text("hold"), context))',
            "return closed",
        ),
        weather=("money moved by hand at Stripe", "hold ends early", "Pi without power", "link of a Pi down"),
    ),
    _bug(
        "a tab stays open when its hold is gone",
        (
            LIFE + "_tab_read",
            '_closed(read.order, "restored" if is_restored else "hold", context)',
            "Decision(read.order)",
        ),
        weather=("money moved by hand at Stripe", "hold ends early"),
    ),
    _bug(
        "a tab of which all is asked back goes on",
        (
            LIFE + "_refund_asked",
            '_closed(_keeping_at_most(order, keep), "operator", context)',
            "Decision(_keeping_at_most(order, keep))",
        ),
        weather=("operator refunds",),
    ),
    _bug(
        "what is asked back of a tab is not revoked",
        (LIFE + "_refund_asked", "_joined(closed, _revoke_all(closed.order, text, context))", "closed"),
        weather=("operator refunds", "Pi without power", "link of a Pi down"),
    ),
    _bug(
        "the money moves while a machine works",
        (
            LIFE + "_settling",
            "if order.is_open_tab or any(credit.under_way for credit in order.credits):",
            "if order.is_open_tab:",
        ),
        (
            ORDER + "state",
            "if not under_way:",
            "if not under_way or (self.tab is not None and self.tab.closing is not None):",
        ),
    ),
    _bug(
        "the money moves while more may be drawn",
        (LIFE + "_settling", "if order.is_open_tab or any(", "if any("),
        (ORDER + "state", "if self.is_open_tab:", "if self.is_open_tab and not self.settlement.attempts:"),
        # The timer would look at the tab again and again.
        elsewhere="tests/cloud/domain/test_tab.py::test_a_visit_of_three_plays_is_one_capture_of_exactly_these",
    ),
    _bug(
        "the whole of a tab is captured where a part is refused",
        (SETTLEMENT + "_refused", "is_partial and order.tab is None and", "is_partial and"),
        weather=("Stripe takes no part of a hold",),
    ),
    _bug(
        "a sum that Stripe does not capture is tried",
        (SETTLEMENT + "step", "if is_too_small(read, target):", "if False:"),
        near=150,
        weather=("operator refunds", "Pi cut in a pulse"),
    ),
    _bug(
        "the plays of a tab are rounded together",
        (
            ORDER + "earned_minor",
            "sum(credit.earned_minor(self.currency) for credit in self.credits)",
            "int(sum(c.price_minor * (c.resolution.delivered if c.resolution else 0) / c.count "
            "for c in self.credits))",
        ),
        # It takes two plays on one tab that were both cut short.
        elsewhere="tests/cloud/domain/test_tab.py::test_each_play_is_rounded_by_itself",
    ),
    _bug(
        "a tab lives on however short its hold is",
        (TAB + "ends_at_ms", "min(1000 * limits.tab_life_s, silent_ms, resort_ms)", "1000 * limits.tab_life_s"),
        weather=("hold is short",),
    ),
    _bug(
        "a tab has no end",
        (TAB + "why_over", "if tab.ends_at_ms is not None and now_ms >= tab.ends_at_ms:", "if False:"),
        # Players stop long before, so nobody draws, and it is closed for that.
        elsewhere="tests/cloud/domain/test_tab.py::test_its_life_ends_whoever_plays",
    ),
    _bug(
        "a tab on which nobody draws stays open",
        (TAB + "why_over", 'return "idle" if idle_ms is not None and now_ms >= idle_ms else None', "return None"),
    ),
    _bug("nobody looks at a tab", (ORDER + "due_at_ms", "if self.tab is not None:", "if False:")),
    _bug(
        "an older database's tabs stay open",
        (TABS + "close_all", "if order is not None and order.can_be_closed:", "if False:"),
        weather=("database restored from a backup",),
    ),
    _bug(
        "an older database's tabs open later, and are drawn on",
        (TABS + "close_all", "if order is not None and order.can_be_closed:", "if order and order.is_open_tab:"),
        # It takes a tab that was paid between the copy and its return.
        elsewhere="tests/cloud/services/test_tabs.py::test_a_tab_that_an_older_database_has_not_seen_paid_is_closed",
    ),
    _bug(
        "a tab opens although it was closed before",
        (TAB + "why_not_opened", "if order.tab is not None and order.tab.closing is not None:", "if False:"),
        elsewhere="tests/cloud/domain/test_tab.py::test_a_tab_that_is_closed_before_it_is_open_never_opens",
    ),
    _bug(
        "a machine out of service is drawn on",
        (
            TABS + "_credit",
            "self.sales.ready_installation(machine, wanted.credits, words=words)",
            "self.sales.ready_installation(machine, wanted.credits, is_free=True, words=None)",
        ),
        weather=("machine out of service",),
    ),
    _bug(
        "a reading from the future is believed",
        ("arcade_cloud.domain.clocks:_tab", "read_at_ms > now_ms + AHEAD_MS", "False"),
        ("arcade_cloud.domain.clocks:_tab", "tab_fresh_s // 2", "1_800"),
        near=20,
        weather=("a cloud process's clock is hours off",),
    ),
)
