"""The errors of the cloud.

ArcadeError
├── BadRequest            what a caller asked for can't be done; the text is for the caller
│   ├── UnknownMachine    no machine of that id is registered
│   ├── NotReady          the machine can't take credits now, so nobody may pay for it
│   ├── BadWebhook        not a signed event of Stripe's, or not of a shape that Stripe documents
│   └── TooMany           over a rate limit; try again later
├── StoreError
│   ├── Conflict          somebody else moved the record first: load it again
│   ├── AlreadySeen       this event has been recorded before: nothing is to be done
│   ├── PaymentTaken      the payment intent funds another order already
│   └── StoreUnavailable  nothing was stored, or it is unknown whether it was
│       └── FormTooNew    a record, or the whole store, was written by a newer version
├── PaymentsError
│   ├── PaymentsUnavailable   Stripe gave no verdict (time-out, 5xx, 429): the effect is unknown, try later
│   └── PaymentsRefused       Stripe's verdict is no (a definite 4xx): repeating the same changes nothing
└── InvariantBroken       a record contradicts the rules: a defect, never a caller's fault
"""


class ArcadeError(Exception):
    """Base of all errors raised here."""


class BadRequest(ArcadeError):
    """A caller's mistake. `code` is stable and for programs; the text is for the person."""

    code = "bad_request"
    status = 422


class UnknownMachine(BadRequest):
    """No such machine."""

    code = "unknown_machine"
    status = 404


class NotReady(BadRequest):
    """The machine can't take credits now."""

    code = "not_ready"
    status = 409


class BadWebhook(BadRequest):
    """A webhook whose signature, age or shape is wrong."""

    code = "bad_webhook"
    status = 400


class TooMany(BadRequest):
    """Over a rate limit."""

    code = "too_many_requests"
    status = 429


class StoreError(ArcadeError):
    """Base of what a store reports."""


class Conflict(StoreError):
    """The record has another version than expected."""


class AlreadySeen(StoreError):
    """The event's id is on record."""


class PaymentTaken(StoreError):
    """The payment intent belongs to another order."""


class StoreUnavailable(StoreError):
    """The store can't be reached, or is full."""


class FormTooNew(StoreUnavailable):
    """A record, or the whole store, has a form that this program does not know."""


class PaymentsError(ArcadeError):
    """Base of what the payments gateway reports."""


class PaymentsUnavailable(PaymentsError):
    """No verdict: what was asked may or may not have been done."""


class PaymentsRefused(PaymentsError):
    """A definite no. `code` is Stripe's error code, or its type where there is no code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class InvariantBroken(ArcadeError):
    """A rule of the order's life does not hold for a record."""
