"""What somebody can do who has one of the secrets, and what not. docs/SECURITY.md says what to do then."""

import json

from arcade_shared.messages import Ack
from arcade_shared.signing import machine_key, seal
from arcade_shared.times import format_ms
from arcade_shared.topics import machine_topic
from support.orders import only_command, session_of
from support.site import INGEST_SECRET, WEBHOOK_SECRET, Site

API_KEY = "the game software's own key"
INGEST = {"X-Ingest-Secret": INGEST_SECRET}


def paid_and_sent(site: Site) -> str:
    """A paid order whose machine has not answered yet."""
    order_id = site.begin(2)
    site.pay(order_id)
    assert site.order(order_id).state == "funded"
    return order_id


def invented_hold(site: Site, order_id: str) -> dict[str, object]:
    """The event that Stripe would send, had the order been paid."""
    order = site.order(order_id)
    intent = {
        "id": "pi_invented",
        "object": "payment_intent",
        "status": "requires_capture",
        "amount": order.amount_minor,
        "amount_capturable": order.amount_minor,
        "amount_received": 0,
        "currency": order.currency,
        "capture_method": "manual",
        "metadata": {"order_id": order_id, "machine_id": order.machine_id, "site": "https://play.example"},
    }
    event = {"id": "evt_invented", "object": "event", "created": site.now_ms // 1000}
    return {**event, "type": "payment_intent.amount_capturable_updated", "data": {"object": intent}}


def test_with_the_ingest_secret_no_ack_is_forged() -> None:
    """Every message is also signed by its machine, so a caller who may deliver messages cannot write them."""
    site = Site(gameover_api_key=API_KEY)
    order_id = paid_and_sent(site)
    order = site.order(order_id)
    topic = machine_topic("cab-01", "ack")
    genuine = json.loads(site.ack_payload(order, "accepted"))
    claim = {
        "machine_id": "cab-01",
        "credit_id": only_command(order).credit_id,
        "installation": only_command(order).installation,
        "state": "done",
        "final": True,
        "credits": 2,
        "delivered": 2,
        "uncertain": 0,
        "reason": "",
        "timestamp": format_ms(site.now_ms),
    }
    guessed = json.loads(seal(machine_key(INGEST_SECRET, "cab-01"), topic, Ack, **claim))
    forged = [
        {**genuine, "state": "done", "final": True, "delivered": 2},
        {name: value for name, value in guessed.items() if name != "signature"},
        guessed,
    ]
    messages = [{"topic": topic, "payload": payload} for payload in forged]
    answer = site.client.post("/ingest", json=messages, headers=INGEST)
    assert (answer.get_json()["accepted"], len(answer.get_json()["refused"])) == (0, 3)
    assert site.order(order_id) == order


def test_with_the_gameover_key_a_game_is_over_and_nothing_else() -> None:
    site = Site(gameover_api_key=API_KEY)
    key, sent = {"X-Api-Key": API_KEY, "Authorization": f"Bearer {API_KEY}"}, len(site.broker.sent)
    assert site.client.post("/gameover", json={"machine_id": "cab-01"}, headers=key).status_code == 200
    assert [message.topic for message in site.broker.sent[sent:]] == ["arcade/machine/cab-01/gameover"]
    assert site.client.post("/ingest", json=[], headers=key).status_code == 401
    assert site.client.post("/webhook", json={}, headers=key).status_code == 400


def test_with_the_webhook_secret_no_payment_is_invented() -> None:
    """Only what carries our mark counts before Stripe has shown it, and the mark is never sent to a player."""
    site = Site()
    order_id = site.begin(2)
    hold = invented_hold(site, order_id)
    page = {
        "id": session_of(site.order(order_id)),
        "object": "checkout.session",
        "mode": "payment",
        "payment_status": "paid",
        "payment_intent": "pi_invented",
        "metadata": {"order_id": order_id},
    }
    told = {**hold, "id": "evt_page", "type": "checkout.session.completed", "data": {"object": page}}
    for event in (hold, told, {**hold, "id": "evt_again"}):
        assert site.post_event(event).status_code == 200
    assert site.order(order_id).state == "open"
    assert [sent.topic for sent in site.broker.sent if "coinpulse" in sent.topic] == []
    assert site.payments.stripe.money() == []


def test_with_the_webhook_secret_no_credits_are_had_where_nobody_ordered() -> None:
    """An invented payment of an invented order, or of one that was paid already, pulses nothing."""
    site = Site()
    order_id = paid_and_sent(site)
    sent = len(site.broker.sent)
    event = invented_hold(site, order_id)
    site.post_event(event)
    data = json.loads(json.dumps(event).replace(order_id, "ord_nobody").replace("evt_inv", "evt_other"))
    site.post_event(data)
    assert [message.topic for message in site.broker.sent[sent:] if "coinpulse" in message.topic] == []


def test_with_an_old_webhook_secret_nothing_can_be_done_once_it_was_taken_away() -> None:
    site = Site(stripe_webhook_secrets=("whsec_the_new_one",))
    body = json.dumps(invented_hold(site, site.begin(2))).encode()
    headers = {"Stripe-Signature": site.signature(body, WEBHOOK_SECRET)}
    assert site.client.post("/webhook", data=body, headers=headers).status_code == 400
