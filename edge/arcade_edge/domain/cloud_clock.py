"""The cloud's time on a machine whose own clock may be wrong: asked with a nonce, then carried on (pure).

An answer is anchored at the moment its nonce was *sent*, so the estimate can only be ahead of the cloud: a
deadline may be kept too early, never too late. It is carried on by CLOCK_BOOTTIME, which counts suspended
time as well and begins anew with each boot. All moments named `boot_ms` are milliseconds of that clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

# 15 minutes: older than that, the machine is not shown as ready, for the answer is also the proof that the
# cloud reaches it. It exceeds three refreshes, so one or two lost answers take no machine off the market.
MAX_AGE_MS = 15 * 60 * 1000
REFRESH_MS = 4 * 60 * 1000
# Asking again: a serverless cloud that starts cold answers within seconds; a dead one is not hammered.
FIRST_RETRY_MS = 3_000
LAST_RETRY_MS = 60_000
# CLOCK_BOOTTIME may run slow or fast: NTP slews it by up to 500 ppm, and a cheap crystal is 100 ppm off. One
# part in a thousand keeps the estimates ahead of both.
DRIFT_DIVISOR = 1_000


@dataclass(frozen=True, slots=True)
class CloudClock:
    """What is known of the cloud's time. Begin with `CloudClock()`: nothing is."""

    anchor_cloud_ms: int | None = None
    anchor_boot_ms: int = 0
    nonce: str = ""
    asked_boot_ms: int = 0
    retry_ms: int = FIRST_RETRY_MS
    due_boot_ms: int = 0

    def wants_answer(self, boot_ms: int) -> bool:
        """Whether it is time to put a new nonce into a status."""
        return boot_ms >= self.due_boot_ms

    def asked(self, nonce: str, boot_ms: int) -> CloudClock:
        """`nonce` goes out now, at `boot_ms`; an answer to an earlier one counts no more."""
        return replace(
            self,
            nonce=nonce,
            asked_boot_ms=boot_ms,
            due_boot_ms=boot_ms + self.retry_ms,
            retry_ms=min(2 * self.retry_ms, LAST_RETRY_MS),
        )

    def connected(self, boot_ms: int) -> CloudClock:
        """A connection was made: ask at once, for an answer to what was asked before may be lost."""
        return replace(self, nonce="", due_boot_ms=boot_ms, retry_ms=FIRST_RETRY_MS)

    def answered(self, nonce: str, cloud_ms: int) -> CloudClock | None:
        """The clock after a verified answer; None if it answers no outstanding nonce, so changes nothing."""
        if not self.nonce or nonce != self.nonce:
            return None
        return CloudClock(cloud_ms, self.asked_boot_ms, due_boot_ms=self.asked_boot_ms + REFRESH_MS)

    def cloud_ms(self, boot_ms: int) -> int | None:
        """The cloud's time (epoch ms) or a little later; None before the first answer in this boot."""
        if self.anchor_cloud_ms is None:
            return None
        age_ms = boot_ms - self.anchor_boot_ms
        return self.anchor_cloud_ms + age_ms + age_ms // DRIFT_DIVISOR

    def started_ms(self) -> int | None:
        """When this computer started (epoch ms, the cloud's time), or a little later; None while unknown."""
        if self.anchor_cloud_ms is None:
            return None
        return self.anchor_cloud_ms - self.anchor_boot_ms + self.anchor_boot_ms // DRIFT_DIVISOR + 1

    def boot_ms_at(self, cloud_ms: int) -> int | None:
        """When the estimate reaches `cloud_ms`, rounded up; None while the cloud's time is unknown."""
        if self.anchor_cloud_ms is None:
            return None
        ahead_ms = cloud_ms - self.anchor_cloud_ms
        boot_ms = self.anchor_boot_ms + ahead_ms * DRIFT_DIVISOR // (DRIFT_DIVISOR + 1)
        while (reached := self.cloud_ms(boot_ms)) is not None and reached < cloud_ms:
            boot_ms += 1
        return boot_ms

    def fresh(self, boot_ms: int) -> bool:
        """Whether the last answer is young enough for the machine to be called ready."""
        return self.anchor_cloud_ms is not None and boot_ms - self.anchor_boot_ms <= MAX_AGE_MS
