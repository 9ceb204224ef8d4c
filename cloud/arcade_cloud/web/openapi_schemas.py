"""The schemas in the description of the API."""

from typing import Any, get_args

from arcade_cloud.domain.books import By
from arcade_cloud.domain.limits import MAX_QUANTITY
from arcade_cloud.domain.screens import Colour, Shape
from arcade_cloud.web.ingest import MAX_MESSAGES
from arcade_cloud.web.kiosk_view import KioskState
from arcade_cloud.web.openapi_examples import EXAMPLES
from arcade_cloud.web.player_view import Phase
from arcade_shared.ids import MACHINE_ID_PATTERN

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """Where a schema stands."""
    return {"$ref": f"#/components/schemas/{name}"}


def an_object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties}


def schemas() -> Schema:
    """All schemas, by name, each with its example."""
    return {
        name: {**schema, "examples": [EXAMPLES[name]]} if name in EXAMPLES else schema
        for name, schema in _schemas().items()
    }


def _schemas() -> Schema:
    text: Schema = {"type": "string"}
    count: Schema = {"type": "integer", "minimum": 0}
    yes_or_no: Schema = {"type": "boolean"}
    machine_id: Schema = {"type": "string", "pattern": f"^{MACHINE_ID_PATTERN}$"}
    message = an_object(
        "topic payload",
        topic=text,
        payload={"type": ["object", "string"], "description": "The payload as an object, or as text"},
        payload_encoding={"const": "base64", "description": "Set if the payload is base64"},
    )
    plays: Schema = {
        "type": "array",
        "items": an_object(
            "time machine price result underWay",
            time=text,
            machine=text,
            price=text,
            result=text,
            underWay=yes_or_no,
        ),
        "description": "Of a tab, the newest first",
    }
    refused = an_object("index reason", index=count, reason=text)
    return {
        "Error": an_object("error", error=an_object("code message", code=text, message=text)),
        "Status": an_object("status message", status={"const": "up"}, message={"const": "API is running"}),
        "Message": an_object("message", message=text),
        "Received": an_object("received", received={"const": True}),
        "PaymentLinkRequest": an_object(
            "machine_id",
            machine_id=machine_id,
            price_id={
                "type": ["string", "null"],
                "description": "The Stripe price of one of the machine's offers",
            },
            quantity={"type": ["integer", "null"], "minimum": 1, "maximum": MAX_QUANTITY, "default": 1},
        ),
        "PaymentLink": an_object("url orderId", url={"type": "string", "format": "uri"}, orderId=text),
        "Takings": _takings(),
        "StripeEvent": {"type": "object", "description": "As Stripe documents it"},
        "CheckoutForm": {
            "type": "object",
            "properties": {
                "offer_id": {"type": "string", "description": "Default: the first offer"},
                "quantity": {"type": "integer", "minimum": 1, "maximum": MAX_QUANTITY, "default": 1},
            },
        },
        "ClaimForm": {
            "type": "object",
            "required": ["credits"],
            "properties": {"credits": {"type": "integer", "minimum": 1, "description": "How many did not arrive"}},
        },
        "TabForm": {
            "type": "object",
            "properties": {"limit": {"type": "integer", "description": "One that the page shows, in minor units"}},
        },
        "PlayForm": {
            "type": "object",
            "properties": {"ticket": {"type": "string", "description": "From the page; it plays once"}},
        },
        "JoinForm": {
            "type": "object",
            "properties": {"secret": {"type": "string", "description": "From the fragment of the tab's link"}},
        },
        "FinishForm": {
            "type": "object",
            "properties": {"token": {"type": "string", "description": "From the page"}},
        },
        "OpenApi": {"type": "object", "required": ["openapi", "info", "paths"]},
        **_events(),
        "GameOverRequest": an_object("machine_id", machine_id=machine_id),
        "IngestMessage": message,
        "IngestRequest": {
            "oneOf": [
                ref("IngestMessage"),
                {"type": "array", "maxItems": MAX_MESSAGES, "items": ref("IngestMessage")},
            ]
        },
        "Ingested": an_object("accepted refused", accepted=count, refused={"type": "array", "items": refused}),
        "MachineState": an_object(
            "machineId ready word maxCredits",
            machineId=machine_id,
            ready=yes_or_no,
            word={"type": "string", "description": "For people: ready, or why not"},
            maxCredits={"type": "integer", "minimum": 0, "description": "The most credits that it takes at once"},
            tab={
                **an_object(
                    "open title whyNot finish unconfirmed leftMinor leastMinor plays",
                    open=yes_or_no,
                    title=text,
                    whyNot={
                        "type": "string",
                        "description": "Why nothing can be played on it here now; empty: it can",
                    },
                    finish=text,
                    unconfirmed=text,
                    leftMinor=count,
                    leastMinor={**count, "description": "The least that the next play costs"},
                    plays=plays,
                ),
                "description": "The tab of the browser that asks, while it is open or being finished",
            },
        ),
        "KioskState": an_object(
            "machineId state title detail language emblems page",
            machineId=machine_id,
            state={"enum": list(get_args(KioskState)), "description": "The code is shown in `ready` only"},
            title=text,
            detail=text,
            language={"type": "string", "description": "Of the texts, as HTML names it"},
            emblems={
                "type": "array",
                "maxItems": 2,
                "items": an_object(
                    "colour shape words",
                    colour={"enum": list(get_args(Colour))},
                    shape={"enum": list(get_args(Shape))},
                    words=text,
                ),
                "description": "Show these: players compare them with what their phones show",
            },
            page={"type": "string", "description": "When this changes, reload the page"},
        ),
        "OrderState": an_object(
            "phase title detail money delivered credits final ask code claimable",
            phase={"enum": list(get_args(Phase))},
            title=text,
            detail=text,
            money=text,
            delivered={"type": "integer", "minimum": 0, "description": "Credits that the machine has reported"},
            credits={**count, "description": "0 for a tab"},
            final={"type": "boolean", "description": "Nothing more happens without a person"},
            ask={"type": "boolean", "description": "The player may want to contact the operator"},
            code={"type": "string", "description": "The code that the player tells the operator"},
            claimable={
                "type": "integer",
                "minimum": 0,
                "description": "Of so many credits the player may say now that they did not arrive",
            },
            finish={"type": "string", "description": "Of a tab: what the button says that ends it"},
            unconfirmed={"type": "string", "description": "Of a tab: what no machine has confirmed yet"},
            plays=plays,
        ),
    }


def _takings() -> Schema:
    day: Schema = {"type": "string", "format": "date"}
    amount: Schema = {
        "type": ["string", "null"],
        "description": "In the currency's own units; null for free credits",
    }
    count: Schema = {"type": "integer"}
    row = an_object(
        "name currency gross goodwill lost fees feesOpen net credits delivered",
        name={"type": ["string", "null"], "description": "The day, week, month, location, machine or method"},
        currency={"type": ["string", "null"], "description": "ISO 4217; null for free credits"},
        gross=amount,
        goodwill=amount,
        lost=amount,
        fees={**amount, "description": "Stripe's; null while none is known"},
        feesOpen={**count, "description": "How many payments' fees Stripe has not told yet"},
        net=amount,
        credits={**count, "description": "Bought or given"},
        delivered={**count, "description": "Of these"},
    )
    rows: Schema = {"type": "array", "items": row}
    return an_object(
        "from to by rows totals",
        **{"from": day, "to": day},
        by={"enum": list(get_args(By))},
        rows=rows,
        totals={**rows, "description": "One for each currency"},
    )


def _events() -> Schema:
    """What is posted to other software."""
    text: Schema = {"type": "string"}
    moment: Schema = {"type": "string", "format": "date-time"}
    amount: Schema = {"type": "string", "description": "In the currency's own units"}
    count: Schema = {"type": "integer", "minimum": 1}
    nullable: Schema = {"type": ["string", "null"]}

    def event(kind: str, data: Schema) -> Schema:
        return an_object(
            "id type created site data",
            id={"type": "string", "description": "The same if the event comes again"},
            type={"const": kind},
            created=moment,
            site={"type": "string", "format": "uri"},
            data=data,
        )

    order: Schema = {"orderId": text, "code": text, "machineId": text}
    play = an_object(
        "orderId code machineId creditId credits delivered currency amount",
        **order,
        creditId=nullable,
        credits={**count, "description": "Bought or given"},
        delivered={**count, "description": "Of these"},
        currency={**nullable, "description": "ISO 4217; null for free credits"},
        amount={**nullable, "description": "The price of what was delivered"},
    )
    refund = an_object(
        "orderId code machineId currency paid refunded kept",
        **order,
        currency=text,
        paid={**amount, "description": "What was held or taken"},
        refunded={**amount, "description": "What of it was released or given back, in all so far"},
        kept=amount,
    )
    offline = an_object("machineId name lastHeardAt", machineId=text, name=text, lastHeardAt=moment)
    return {
        "PlayDelivered": event("play.delivered", play),
        "OrderRefunded": event("order.refunded", refund),
        "MachineOffline": event("machine.offline", offline),
    }
