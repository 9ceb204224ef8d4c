"""The published limits of an order's life. All of them are settings, in seconds."""

from dataclasses import dataclass

from arcade_shared.cabinet import MAX_TRAIN_S

# A hold on a card lasts seven days, on some cards less than five. After the last resort there must be time left to
# capture it, even if Stripe is down then.
LAST_RESORT_AT_MOST_S = 3 * 86_400
# A tab is for one visit. It must end long before the hold does, which every tab's own end sees to as well.
TAB_LIFE_AT_MOST_S = 2 * 86_400
TAB_FRESH_AT_MOST_S = 3600
# The clocks of the cloud's processes may differ by this much, and an agent's estimate of the cloud's time is ahead
# by one round trip. What comes from further ahead shows that some clock is wrong.
SKEW_MS = 10_000
# What lies further ahead than its rule puts it, by more than this, was written by a clock that was ahead. Clocks
# that differ by less harm nobody: something waits that much longer.
AHEAD_MS = 60_000
# The most of one offer that one order sells.
MAX_QUANTITY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits. docs/ORDER_LIFE.md says what follows from them.

    Attributes:
        deliver_within_s: From the payment to the first pulse.
        silence_limit_s: How long a machine may be silent after a confirmed revoke if the money is taken.
        hold_silence_limit_s: The same if the money is held.
        last_resort_s: After this time the money goes back, whatever is down.
        answer_s: How long the machine and the broker have to answer one revoke or one echo.
        checkout_life_s: The life of the payment page.
        tab_idle_s: A tab is closed when nobody has drawn on it for so long.
        tab_life_s: From a tab's payment until it is closed, at the latest.
        tab_fresh_s: Credits are drawn on a tab only while its hold was read standing so lately.
    """

    deliver_within_s: int = 120
    silence_limit_s: int = 15 * 60
    hold_silence_limit_s: int = 6 * 3600
    last_resort_s: int = 24 * 3600
    answer_s: int = 10
    checkout_life_s: int = 31 * 60
    tab_idle_s: int = 3600
    tab_life_s: int = 12 * 3600
    tab_fresh_s: int = 600

    @property
    def delivery_ms(self) -> int:
        """From the payment until no machine pulses for it any more, and its report has had time to come."""
        return 1000 * (self.deliver_within_s + MAX_TRAIN_S + self.answer_s) + SKEW_MS

    def faults(self, longest_train_s: int = MAX_TRAIN_S) -> list[str]:
        """What is wrong with these limits: one sentence for each fault, naming the setting.

        Args:
            longest_train_s: How long a machine may pulse for one command. Trials use less than the real limit.
        """
        found = [
            f"{name.upper()} must be at least 1 second, not {value}"
            for name, value in (
                ("deliver_within_s", self.deliver_within_s),
                ("silence_limit_s", self.silence_limit_s),
                ("hold_silence_limit_s", self.hold_silence_limit_s),
                ("last_resort_s", self.last_resort_s),
                ("answer_s", self.answer_s),
                ("tab_idle_s", self.tab_idle_s),
                ("tab_life_s", self.tab_life_s),
                ("tab_fresh_s", self.tab_fresh_s),
            )
            if value < 1
        ]
        shortest = self.deliver_within_s + longest_train_s
        for name, value in (
            ("SILENCE_LIMIT_S", self.silence_limit_s),
            ("HOLD_SILENCE_LIMIT_S", self.hold_silence_limit_s),
        ):
            if value <= shortest:
                found.append(
                    f"{name} ({value}) must exceed {shortest}, which is DELIVER_WITHIN_S plus a pulse train of "
                    f"{longest_train_s} s: a machine that is still pulsing is not silent"
                )
            if value >= self.last_resort_s:
                found.append(f"{name} ({value}) must be below LAST_RESORT_S ({self.last_resort_s})")
        if self.last_resort_s > LAST_RESORT_AT_MOST_S:
            found.append(
                f"LAST_RESORT_S ({self.last_resort_s}) must be at most {LAST_RESORT_AT_MOST_S}: holds on cards end"
            )
        if self.tab_idle_s > self.tab_life_s:
            found.append(f"TAB_IDLE_S ({self.tab_idle_s}) must be at most TAB_LIFE_S ({self.tab_life_s})")
        if self.tab_life_s > TAB_LIFE_AT_MOST_S:
            found.append(
                f"TAB_LIFE_S ({self.tab_life_s}) must be at most {TAB_LIFE_AT_MOST_S}: it is for one visit, and "
                "holds on cards end"
            )
        if self.tab_fresh_s > TAB_FRESH_AT_MOST_S:
            found.append(
                f"TAB_FRESH_S ({self.tab_fresh_s}) must be at most {TAB_FRESH_AT_MOST_S}: a hold that has ended "
                "pays for nothing"
            )
        if not 30 * 60 <= self.checkout_life_s <= 24 * 3600:
            found.append("CHECKOUT_LIFE_S must lie between 1800 and 86400: Stripe accepts no other life")
        return found


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a machine may be silent.

    The two `until` moments come from a hold: the rest of its life must suffice to capture what was delivered, even
    if Stripe is down for a while. They are None without a hold whose end is known.

    Attributes:
        silence_s: After a confirmed revoke.
        silent_until_ms: Proven silence counts from then on at the latest.
        last_resort_until_ms: The last resort comes then at the latest.
    """

    silence_s: int
    silent_until_ms: int | None = None
    last_resort_until_ms: int | None = None
