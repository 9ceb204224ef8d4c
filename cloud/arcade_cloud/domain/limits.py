"""The published limits of an order's life, in seconds; all of them are settings."""

from dataclasses import dataclass

from arcade_shared.cabinet import MAX_TRAIN_S

# A hold on a card lasts for seven days, on some cards for less than five. It must still be captured after the last
# resort, even if Stripe is down then.
LAST_RESORT_AT_MOST_S = 3 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """See docs/ORDER_LIFE.md for what follows from them.

    `deliver_within_s` runs from the payment and gates the first pulse. `silence_limit_s` (money taken) and
    `hold_silence_limit_s` (money held) are how long a machine may stay silent after a confirmed revoke. After
    `last_resort_s` money is given back whatever is down. `answer_s`: how long a machine and the broker get to
    answer one revoke or one echo.
    """

    deliver_within_s: int = 120
    silence_limit_s: int = 15 * 60
    hold_silence_limit_s: int = 6 * 3600
    last_resort_s: int = 24 * 3600
    answer_s: int = 10
    checkout_life_s: int = 31 * 60

    def faults(self, longest_train_s: int = MAX_TRAIN_S) -> list[str]:
        """What is wrong with these numbers, one sentence each, naming the settings; empty when all is well.

        Args:
            longest_train_s: For how long a machine may go on pulsing. Less than is sold to it is for trials.
        """
        found = [
            f"{name.upper()} must be at least 1 second, not {value}"
            for name, value in (
                ("deliver_within_s", self.deliver_within_s),
                ("silence_limit_s", self.silence_limit_s),
                ("hold_silence_limit_s", self.hold_silence_limit_s),
                ("last_resort_s", self.last_resort_s),
                ("answer_s", self.answer_s),
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
                    f"{name} ({value}) must exceed {shortest}, which is DELIVER_WITHIN_S and a pulse train of "
                    f"{longest_train_s} s: a machine that is still pulsing is not silent"
                )
            if value >= self.last_resort_s:
                found.append(f"{name} ({value}) must be below LAST_RESORT_S ({self.last_resort_s})")
        if self.last_resort_s > LAST_RESORT_AT_MOST_S:
            found.append(
                f"LAST_RESORT_S ({self.last_resort_s}) must be at most {LAST_RESORT_AT_MOST_S}: holds on cards end"
            )
        if not 30 * 60 <= self.checkout_life_s <= 24 * 3600:
            found.append("CHECKOUT_LIFE_S must lie between 1800 and 86400: Stripe accepts no other life")
        return found


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a machine's silence may last: so long after a confirmed revoke, and until then at the latest.

    The two moments are the ends of what a hold leaves: Stripe must still be found well enough, in the rest of the
    hold's life, to capture what was delivered. None: no hold bounds them.
    """

    silence_s: int
    silent_until_ms: int | None = None
    last_resort_until_ms: int | None = None
