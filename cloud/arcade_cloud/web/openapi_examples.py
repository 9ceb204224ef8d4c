"""The examples in the description of the API. A test sends each to the application, and compares the answers."""

from typing import Any

Example = Any

MACHINE_ID = "cab-01"
ORDER_ID = "ord_01a0c4506c0079869e4c10820285b7cc"
SIGNATURE = "t=1790000000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"
# What an operation gets besides its body and what stands in its path.
QUERY: dict[str, Example] = {
    "from": "2026-11-01",
    "to": "2026-11-30",
    "by": "machine",
    "format": "json",
    "lang": "en",
}

_ROW = {
    "name": MACHINE_ID,
    "currency": "MYR",
    "gross": "412.00",
    "goodwill": "6.00",
    "lost": "0.00",
    "fees": "88.18",
    "feesOpen": 0,
    "net": "317.82",
    "credits": 210,
    "delivered": 206,
}

# By the name of the schema.
EXAMPLES: dict[str, Example] = {
    "Status": {"status": "up", "message": "API is running"},
    "PaymentLinkRequest": {"machine_id": MACHINE_ID, "price_id": "price_play", "quantity": 3},
    "PaymentLink": {"url": "https://checkout.stripe.com/c/pay/cs_live_a1BNpKVQ", "orderId": ORDER_ID},
    "GameOverRequest": {"machine_id": MACHINE_ID},
    "Message": {"message": "Game over signal sent"},
    "Takings": {
        "from": QUERY["from"],
        "to": QUERY["to"],
        "by": QUERY["by"],
        "rows": [_ROW],
        "totals": [{**_ROW, "name": "total"}],
    },
    "StripeEvent": {
        "id": "evt_1Pq",
        "object": "event",
        "type": "checkout.session.completed",
        "created": 1_790_000_000,
        "data": {"object": {"id": "cs_live_a1BNpKVQ", "object": "checkout.session"}},
    },
    "Received": {"received": True},
    "IngestMessage": {
        "topic": f"arcade/machine/{MACHINE_ID}/gameover",
        "payload": {"machineId": MACHINE_ID, "status": "game_over", "timestamp": "2026-11-26T12:00:00.000Z"},
    },
    "Ingested": {"accepted": 0, "refused": [{"index": 0, "reason": "topic must be a string"}]},
    "CheckoutForm": {"offer_id": "credit", "quantity": 1},
    "ClaimForm": {"credits": 1},
    "TabForm": {"limit": 2000},
    "PlayForm": {"ticket": "WyJ0YWJfMDFhMGM0Il0.5f3c"},
    "JoinForm": {"secret": "q3xgT2k1b0Yc5mV9d7uJ8hLr4wZ6sN0eKfAiPtXyBoU"},  # nosec B105 - of no tab
    "FinishForm": {"token": "9a1c64f2b07d5e83a1c64f2b07d5e839"},  # nosec B105 - of no tab
    "MachineState": {"machineId": MACHINE_ID, "ready": True, "word": "Ready to play", "maxCredits": 50},
    "KioskState": {
        "machineId": MACHINE_ID,
        "state": "ready",
        "title": "Scan to play",
        "detail": "Point your phone's camera at the code.",
        "language": "en",
        "emblems": [{"colour": "blue", "shape": "star", "words": "blue star"}],
        "page": "44321625dbfb",
    },
    "OrderState": {
        "code": "33DTTX",
        "phase": "part",
        "title": "2 of 3 credits added",
        "detail": "Press START on the machine. The machine did not accept the rest.",
        "money": "You pay only for 2: RM 2.00. The rest of the hold, RM 1.00, has been released.",
        "delivered": 2,
        "credits": 3,
        "final": True,
        "ask": False,
        "claimable": 2,
    },
    "OpenApi": {"openapi": "3.1.0", "info": {"title": "Arcade API", "version": "1.0.0"}, "paths": {}},
    "PlayDelivered": {
        "id": "evt_6f1c0a9b2d3e4f5061728394a5b6c7d8",
        "type": "play.delivered",
        "created": "2026-11-26T12:00:00.000Z",
        "site": "https://play.example",
        "data": {
            "orderId": ORDER_ID,
            "code": "33DTTX",
            "machineId": MACHINE_ID,
            "creditId": "01a0c450-6c00-7986-9e4c-10820285b7cc",
            "credits": 3,
            "delivered": 2,
            "currency": "MYR",
            "amount": "2.00",
        },
    },
    "OrderRefunded": {
        "id": "evt_0a1b2c3d4e5f60718293a4b5c6d7e8f9",
        "type": "order.refunded",
        "created": "2026-11-26T12:00:01.000Z",
        "site": "https://play.example",
        "data": {
            "orderId": ORDER_ID,
            "code": "33DTTX",
            "machineId": MACHINE_ID,
            "currency": "MYR",
            "paid": "3.00",
            "refunded": "1.00",
            "kept": "2.00",
        },
    },
    "MachineOffline": {
        "id": "evt_ffeeddccbbaa99887766554433221100",
        "type": "machine.offline",
        "created": "2026-11-26T12:10:05.000Z",
        "site": "https://play.example",
        "data": {"machineId": MACHINE_ID, "name": "Space Duel", "lastHeardAt": "2026-11-26T12:00:00.000Z"},
    },
}
EXAMPLES["IngestRequest"] = [EXAMPLES["IngestMessage"]]


def _error(code: str, message: str) -> Example:
    return {"error": {"code": code, "message": message}}


# By status, and for some paths another one.
ERRORS: dict[int, Example] = {
    400: _error("bad_webhook", "the header Stripe-Signature is missing"),
    401: _error("unauthorized", "This API key is wrong, or was revoked."),
    403: _error("forbidden", "This key is for other machines."),
    404: _error("unknown_machine", "no machine cab-99 is registered: see `arcade-cloud machine add`"),
    409: _error("not_ready", "This machine is offline."),
    413: _error("too_large", "The body is too large: the limit is 65536 bytes."),
    422: _error("bad_request", "machine_id is missing"),
    429: _error("too_many_requests", "Too many requests from this address. Try again in 12 s."),
    502: _error(
        "payments_refused",
        "The payment provider refused the request. Nothing was charged. The operator must check the setup.",
    ),
    503: _error("store_unavailable", "The database cannot be reached right now. Try again in a few seconds."),
}
ERRORS_OF: dict[tuple[str, int], Example] = {
    ("/takings", 403): _error("forbidden", "This key does not have the scope takings. The operator can make one."),
    ("/takings", 422): _error("bad_request", "from must be a day such as 2026-11-26"),
    ("/ingest", 401): _error("unauthorized", "The key is missing or wrong. Send it as `X-Ingest-Secret: …`."),
    ("/ingest", 403): _error("closed", "This installation takes no messages by HTTP."),
    ("/ingest", 413): _error("too_large", "The body is too large: the limit is 1048576 bytes."),
    ("/ingest", 422): _error("bad_request", "the body must be one message or a list of messages"),
    ("/webhook", 413): _error("too_large", "The body is too large: the limit is 524288 bytes."),
    ("/addCredit", 413): _error("too_large", "The body is too large: the limit is 524288 bytes."),
    ("/", 404): _error("not_found", "There is nothing at this address. /openapi.json lists what there is."),
    ("/m/{machine_id}/o/{order_id}", 404): _error("not_found", "This order does not exist."),
}
