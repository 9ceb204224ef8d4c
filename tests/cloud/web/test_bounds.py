"""Every route has a bound: how often it may be used and by whom, how long a body it takes, how little it costs.

A new route fails here until it stands in one of the four lists.
"""

from typing import Any

import pytest

from arcade_cloud.ports.payments import MAX_EVENT_BYTES
from arcade_cloud.web.assets import STATIC
from arcade_cloud.web.guards import MAX_BODY_BYTES
from arcade_cloud.web.ingest import MAX_INGEST_BYTES
from support.orders import session_of
from support.site import INGEST_SECRET, Site

BROWSER = {"Accept": "text/html"}
API_KEY = "the game software's own key"
# Without a tab these do nothing, and say so.
FOR_A_TAB = {"/m/<machine_id>/tab", "/m/<machine_id>/play", "/tab/join"}
# These cause work elsewhere: so many a minute for one address.
PAGES = {"/m/<machine_id>/checkout", "/m/<machine_id>/o/<order_id>/claim", *FOR_A_TAB}
COUNTED = {"/create-payment-link", "/gameover", *PAGES}
# This needs the secret of a tab, and what a page of that tab carries: it may end it once.
OWNED = {"/tab/finish"}
# These need a key, and read nothing without it.
KEYED = {"/ingest": {"X-Ingest-Secret": INGEST_SECRET}, "/gameover": {"X-Api-Key": API_KEY}}
# This needs an API key, and has a limit for each: tests/cloud/web/test_api_keys.py.
REPORTS = {"/takings"}
# Stripe alone can sign for these, and it must never be turned away.
SIGNED = {"/webhook", "/addCredit"}
# These read a record or two and change nothing, however often they are asked.
OF_AN_ORDER = "/m/<machine_id>/o/<order_id>"
READING = {
    "/status",
    "/openapi.json",
    "/static/<path:filename>",
    "/static/theme.css",
    "/static/logo",
    "/",
    "/m/<machine_id>",
    "/m/<machine_id>/checkout",
    "/m/<machine_id>/tab",
    "/m/<machine_id>/play",
    "/tab",
    "/tab/join",
    "/tab/finish",
    OF_AN_ORDER,
    f"{OF_AN_ORDER}/claim",
    f"{OF_AN_ORDER}/receipt",
    "/kiosk/<machine_id>",
}
BODIES = {
    **dict.fromkeys(COUNTED | OWNED, MAX_BODY_BYTES),
    **dict.fromkeys(SIGNED, MAX_EVENT_BYTES),
    "/ingest": MAX_INGEST_BYTES,
}
WRITES = ("move", "note_seen", "put_machine", "put_presence", "raise_alert", "note_unmatched_ack", "note_echo")


def routes_of(site: Site, method: str) -> set[str]:
    return {rule.rule for rule in site.app.url_map.iter_rules() if method in (rule.methods or ())}


def address(rule: str, order_id: str = "ord_1") -> str:
    known = {"<machine_id>": "cab-01", "<order_id>": order_id, "<path:filename>": "live.js"}
    for part, value in known.items():
        rule = rule.replace(part, value)
    return rule


def played(site: Site) -> str:
    """An order that was paid and delivered; its id."""
    order_id = site.begin()
    site.pay(order_id)
    site.say_ack(order_id, delivered=1)
    site.deliver_events()
    return order_id


def watch(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written, from now on."""
    written: list[str] = []
    for name in WRITES:
        real = getattr(site.store, name)

        def noting(*arguments: Any, _name: str = name, _real: Any = real, **more: Any) -> Any:
            written.append(_name)
            return _real(*arguments, **more)

        monkeypatch.setattr(site.store, name, noting)
    return written


def test_every_route_has_a_bound_of_some_kind() -> None:
    site = Site()
    assert routes_of(site, "POST") == COUNTED | OWNED | set(KEYED) | SIGNED
    assert routes_of(site, "GET") == READING | REPORTS
    methods = {method for rule in site.app.url_map.iter_rules() for method in rule.methods or ()}
    assert methods == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize("rule", sorted(COUNTED))
def test_a_route_that_causes_work_is_rate_limited(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(rate_limit_per_minute=12 if rule in PAGES else 6)
    body = {"data": {"credits": "1"}} if rule in PAGES else {"json": {"machine_id": "cab-01"}}
    path = address(rule, played(site)) if rule.endswith("claim") else address(rule)
    statuses = [site.client.post(path, **body).status_code for _ in range(3)]
    written, calls, sent = watch(site, monkeypatch), len(site.payments.calls), len(site.broker.sent)
    statuses += [site.client.post(path, **body).status_code for _ in range(5)]
    assert max(statuses[:3]) < (429 if rule in FOR_A_TAB else 400)
    assert statuses[3:] == [429] * 5
    assert (written, len(site.payments.calls), len(site.broker.sent)) == ([], calls, sent)


@pytest.mark.parametrize("rule", sorted(KEYED))
def test_a_route_with_a_key_does_nothing_without_it(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(gameover_api_key=API_KEY)
    written, sent = watch(site, monkeypatch), len(site.broker.sent)
    status = {"topic": "arcade/machine/cab-01/status", "payload": site.status_payload("cab-01").decode()}
    body = {"machine_id": "cab-01", **status}
    for headers in ({}, {"X-Api-Key": "", "X-Ingest-Secret": ""}, {"Authorization": "Bearer wrong"}):
        assert site.client.post(rule, json=body, headers=headers).status_code == 401
    assert (written, len(site.broker.sent)) == ([], sent)
    assert site.client.post(rule, json=body, headers=KEYED[rule]).status_code == 200


@pytest.mark.parametrize("rule", sorted(SIGNED))
def test_a_route_for_stripe_does_nothing_for_anybody_else(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    order_id = site.begin()
    site.payments.stripe.pay(session_of(site.order(order_id)))
    event = site.payments.stripe.take_events()[0]
    written, calls = watch(site, monkeypatch), len(site.payments.calls)
    for header in (None, "", "t=1,v1=0", site.signature(b"another body")):
        headers = {} if header is None else {"Stripe-Signature": header}
        assert site.client.post(rule, json=event, headers=headers).status_code == 400
    assert (written, len(site.payments.calls)) == ([], calls)
    assert site.post_event(event, path=rule).status_code == 200
    assert written


@pytest.mark.parametrize("rule", sorted(READING))
def test_a_route_that_reads_changes_nothing_and_calls_nobody(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the price, which is kept for minutes once it was read, and the page of an order that is not paid.

    Opening that one has Stripe asked sooner, once for as often as it is opened in that time.
    """
    site = Site(rate_limit_per_minute=1, site_colour="#c2185b", site_logo=str(STATIC / "icon.svg"))
    path = address(rule, site.begin())
    written, calls, sent = watch(site, monkeypatch), len(site.payments.calls), len(site.broker.sent)
    for query in ("", "?format=json"):
        for _ in range(3):
            assert site.client.get(path + query, headers=BROWSER).status_code < 400
    assert (written, len(site.broker.sent)) == (["move"] if rule == OF_AN_ORDER else [], sent)
    assert set(site.payments.calls[calls:]) <= {"read_price"}


@pytest.mark.parametrize("rule", sorted(BODIES))
def test_a_route_takes_no_more_than_its_bound(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(gameover_api_key=API_KEY)
    written, bound = watch(site, monkeypatch), BODIES[rule]
    headers = {**KEYED.get(rule, {}), "Content-Type": "application/x-www-form-urlencoded"}
    path = address(rule, site.begin())
    written.clear()
    assert site.client.post(path, data=b"x" * (bound + 1), headers=headers).status_code == 413
    assert not written
    assert site.client.post(path, data=b"x" * bound, headers=headers).status_code in {303, 400, 409, 422}
