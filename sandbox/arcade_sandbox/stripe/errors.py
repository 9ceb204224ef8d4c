"""Every way in which the stand-in refuses a request, in Stripe's own words, codes and shapes."""

from collections.abc import Mapping
from typing import Any

from arcade_sandbox.errors import SandboxError

Json = dict[str, Any]

_DOC_URL = "https://stripe.com/docs/error-codes/"
_LOG_URL = "https://dashboard.stripe.com/test/logs/"


class StripeRefusal(SandboxError):
    """An answer with an error body.

    Attributes:
        stored: Whether an idempotency key remembers it. Stripe stores the outcome of every request whose work has
            begun, but not of one that failed the check of its parameters.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        stored: bool = False,
        should_retry: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.stored = stored
        self.should_retry = should_retry
        self.extra = dict(extra or {})

    def body(self, request_id: str) -> Json:
        """The body as Stripe sends it; absent fields are left out, as Stripe leaves them out."""
        error: Json = {}
        if self.code is not None:
            error["code"] = self.code
            error["doc_url"] = _DOC_URL + self.code.replace("_", "-")
        error["message"] = self.message
        if self.param is not None:
            error["param"] = self.param
        error.update(self.extra)
        error["request_log_url"] = _LOG_URL + request_id
        error["type"] = self.kind
        return {"error": error}


def no_such(kind: str, object_id: str, param: str) -> StripeRefusal:
    """404: no object has this id.

    Args:
        kind: The object's name as Stripe writes it in this sentence (`payment_intent`, `price`).
    """
    return StripeRefusal(
        f"No such {kind}: '{object_id}'", status=404, code="resource_missing", param=param, stored=True
    )


def unknown_parameters(names: list[str]) -> StripeRefusal:
    """400 for parameters that the endpoint does not know; Stripe names all of them and points at the first."""
    plural = "s" if len(names) > 1 else ""
    return StripeRefusal(
        f"Received unknown parameter{plural}: {', '.join(names)}", code="parameter_unknown", param=names[0]
    )


def missing_parameter(param: str) -> StripeRefusal:
    """400 for a required parameter that is absent."""
    return StripeRefusal(f"Missing required param: {param}.", code="parameter_missing", param=param)


def empty_parameter(param: str) -> StripeRefusal:
    """400 for a parameter set to the empty string that cannot be unset."""
    return StripeRefusal(
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; "
        f"however '{param}' cannot be unset. You should remove '{param}' from your request or supply a non-empty "
        "value.",
        code="parameter_invalid_empty",
        param=param,
    )


def bad_integer(text: str, param: str) -> StripeRefusal:
    """400 for something that is no integer."""
    return StripeRefusal(f"Invalid integer: {text[:60]}", code="parameter_invalid_integer", param=param)


def out_of_range(param: str, bound: str) -> StripeRefusal:
    """400 for an integer outside its range.

    Args:
        bound: Finishes the sentence.
    """
    return StripeRefusal(f"This value must be {bound}.", code="parameter_invalid_integer", param=param)


def unauthorized(message: str, code: str | None = None) -> StripeRefusal:
    """401: no key, or one that is not good here."""
    return StripeRefusal(message, status=401, code=code)


def unexpected_state(message: str, payment_intent: Json) -> StripeRefusal:
    """400 for an operation that the payment intent's status rules out; the body carries the intent."""
    return StripeRefusal(
        message,
        code="payment_intent_unexpected_state",
        stored=True,
        extra={"payment_intent": payment_intent},
    )
