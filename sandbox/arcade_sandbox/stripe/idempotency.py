"""Idempotency keys as Stripe treats them: what is answered to a key that was seen before."""

from collections import OrderedDict
from dataclasses import dataclass, replace

from arcade_sandbox.stripe.errors import StripeRefusal

# "You can remove keys from the system automatically after they're at least 24 hours old": Stripe forgets then.
KEY_LIFE_S = 24 * 3600
MAX_KEY_LENGTH = 255
# A bound for a sandbox that is never restarted; the oldest go first.
MAX_KEYS = 200_000


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, the exact bytes of its body, and Stripe's advice whether to repeat the request."""

    status: int
    body: bytes
    request_id: str
    should_retry: bool | None = None


@dataclass(frozen=True)
class _Use:
    path: str
    params: str
    first_used_s: int
    answer: Answer | None


class IdempotencyKeys:
    """Which keys were used for what. Not thread-safe: `StripeWorld` calls it under its lock."""

    def __init__(self) -> None:
        self._uses: OrderedDict[str, _Use] = OrderedDict()

    def begin(self, key: str, path: str, params: str, now_s: int) -> Answer | None:
        """Take the key for a request, or give the stored answer.

        Raises:
            StripeRefusal: The key is too long or was used for another request (400), or its request is still in
                progress (409).
        """
        if len(key) > MAX_KEY_LENGTH:
            raise StripeRefusal(
                f"Invalid Idempotency Key: it can be up to {MAX_KEY_LENGTH} characters long.",
                kind="idempotency_error",
            )
        self._forget(now_s)
        use = self._uses.get(key)
        if use is None:
            self._uses[key] = _Use(path, params, now_s, None)
            return None
        if use.path != path:
            raise StripeRefusal(
                "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                f"('{path}' vs '{use.path}'). Try using a key other than '{key}' if you meant to execute a "
                "different request.",
                kind="idempotency_error",
            )
        if use.params != params:
            raise StripeRefusal(
                "Keys for idempotent requests can only be used with the same parameters they were first used "
                f"with. Try using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        if use.answer is None:
            raise StripeRefusal(
                "There is currently another in-progress request using this Idempotent Key (that probably means "
                f"you submitted twice, and the other request is still going through): {key}. Please try again "
                "later.",
                status=409,
                code="idempotency_key_in_use",
                should_retry=True,
            )
        return use.answer

    def finish(self, key: str, answer: Answer | None) -> None:
        """Remember the answer of the request that holds the key; None forgets the key, as if never used."""
        if answer is None:
            self._uses.pop(key, None)
        else:
            self._uses[key] = replace(self._uses[key], answer=answer)

    def _forget(self, now_s: int) -> None:
        while self._uses:
            use = next(iter(self._uses.values()))
            too_old = use.first_used_s + KEY_LIFE_S <= now_s and use.answer is not None
            if not too_old and len(self._uses) < MAX_KEYS:
                return
            self._uses.popitem(last=False)
