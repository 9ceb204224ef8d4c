"""Everything that can go wrong in the cloud, as one tree.

ArcadeError
├── BadRequest                the request cannot be fulfilled; the text is for the caller
│   ├── BadHost               the Host header is not a host name
│   ├── BadWebhook            not an event signed by Stripe, or not in a shape that Stripe documents
│   ├── Closed                the route is closed in this installation
│   ├── CrossSite             another site had a browser send this
│   ├── Forbidden             this person or key may not do that
│   ├── NotConfirmed          the broker has not confirmed the message; it may still arrive
│   ├── NotEnough             too little is left on the tab
│   ├── NotFound              nothing exists at this address
│   ├── NotReady              the machine cannot take credits now, so nobody may pay for it
│   ├── PageOutdated          the page was shown too long ago, or for something else
│   ├── PriceChanged          it no longer costs what was shown
│   ├── TabClosed             nothing can be drawn on this tab
│   ├── TooLittle             it costs too little for the first play on a tab
│   ├── TooManyRequests       over a rate limit; try again later
│   ├── SignInRefused         the name, the password or the code is wrong
│   ├── TryLater              too much of it goes on at this moment; try again
│   ├── Unauthorized          the key or the secret is missing or wrong
│   ├── UnknownHost           this site has another name
│   └── UnknownMachine        no machine with this id is registered
├── StoreError
│   ├── AlreadySeen           this event has been recorded before: there is nothing to do
│   ├── BackupFailed          no copy of the database was made
│   ├── Conflict              another worker moved the record first: load it again
│   ├── PaymentTaken          the payment intent already funds another order
│   └── StoreUnavailable      nothing was stored, or it is unknown whether it was
│       └── FormTooNew        a record, or the whole store, was written by a newer version
├── PaymentsError
│   ├── PaymentsRefused       Stripe's verdict is no (a definite 4xx): repeating the request changes nothing
│   └── PaymentsUnavailable   Stripe gave no verdict (time-out, 5xx, 429): the effect is unknown, try later
├── SettingsError             the settings cannot be used (config/settings.py)
├── PortTaken                 another process listens on the port (entrypoints/server.py)
├── UnknownEvent              neither HTTP nor a tick (entrypoints/aws_lambda/handler.py)
├── BadEvent                  an HTTP event that cannot be read (entrypoints/aws_lambda/wsgi.py)
└── InvariantBroken           a record contradicts the rules: a defect, never the caller's fault

An error that only one module raises is defined in that module, which the tree names. A message from a machine that
breaks the contract raises `arcade_shared.errors.BadMessage`. Three errors never leave their adapter: `Unreadable`
(adapters/stripe/objects.py), `Refused` (adapters/store/dynamodb/client.py) and `_Refused`
(adapters/outgoing_webhooks.py).
"""


class ArcadeError(Exception):
    """Base of all errors of the cloud."""


class BadRequest(ArcadeError):
    """The request cannot be fulfilled. `code` is stable and for programs; the text is for people."""

    code = "bad_request"


class BadHost(BadRequest):
    """The Host header is not a host name."""

    code = "bad_host"


class BadWebhook(BadRequest):
    """The signature, the age or the shape of a webhook is wrong."""

    code = "bad_webhook"


class Closed(BadRequest):
    """The route is closed in this installation."""

    code = "closed"


class CrossSite(BadRequest):
    """A page of another site had a browser send this."""

    code = "cross_site"


class Forbidden(BadRequest):
    """This person or key may not do that; the text says what is missing."""

    code = "forbidden"


class NotConfirmed(BadRequest):
    """The broker has not confirmed the message; it may still arrive."""

    code = "not_confirmed"


class NotFound(BadRequest):
    """Nothing exists at this address."""

    code = "not_found"


class NotReady(BadRequest):
    """The machine cannot take credits now."""

    code = "not_ready"


class NotEnough(BadRequest):
    """Too little is left on the tab."""

    code = "not_enough"


class PageOutdated(BadRequest):
    """The page was shown too long ago, or for something else. Nothing was drawn."""

    code = "page_outdated"


class PriceChanged(BadRequest):
    """It no longer costs what was shown. Nothing was drawn."""

    code = "price_changed"


class TabClosed(BadRequest):
    """There is no such tab, or nothing can be drawn on it any more, or yet."""

    code = "tab_closed"


class TooLittle(BadRequest):
    """It costs too little for the first play on a tab."""

    code = "too_little"


class SignInRefused(BadRequest):
    """The name, the password or the code is wrong. Which of them is not told."""

    code = "sign_in_refused"


class TooManyRequests(BadRequest):
    """Over a rate limit. `wait_s` is the time until the next request may pass."""

    code = "too_many_requests"

    def __init__(self, wait_ms: int, what: str = "Too many requests from this address.") -> None:
        self.wait_s = -(-wait_ms // 1000)
        super().__init__(f"{what} Try again in {self.wait_s} s.")


class TryLater(BadRequest):
    """Too much of it goes on at this moment. Nothing was done."""

    code = "try_later"


class Unauthorized(BadRequest):
    """The key or the secret is missing or wrong."""

    code = "unauthorized"


class UnknownHost(BadRequest):
    """This site does not have the name in the Host header."""

    code = "unknown_host"


class UnknownMachine(BadRequest):
    """No machine with this id is registered."""

    code = "unknown_machine"


class StoreError(ArcadeError):
    """Base of what a store reports."""


class BackupFailed(StoreError):
    """The database was not copied; the text says why."""


class AlreadySeen(StoreError):
    """The event's id is on record."""


class Conflict(StoreError):
    """The record has another version than expected."""


class PaymentTaken(StoreError):
    """The payment intent belongs to another order."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or is full."""


class FormTooNew(StoreUnavailable):
    """A record, or the whole store, has a form that this program does not know."""


class PaymentsError(ArcadeError):
    """Base of what the payments gateway reports."""


class PaymentsRefused(PaymentsError):
    """A definite no.

    Attributes:
        code: Stripe's error code, or its type where there is no code.
        param: The parameter that Stripe objects to, if it names one.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.param = param


class PaymentsUnavailable(PaymentsError):
    """No verdict: the request may or may not have taken effect."""


class InvariantBroken(ArcadeError):
    """A record contradicts a rule of the order's life."""
