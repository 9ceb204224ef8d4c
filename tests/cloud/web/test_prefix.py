"""A path such as /prod before every other: taken off, kept in links, and nothing where there is none."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.config.settings import SettingsError, load
from arcade_cloud.web.prefix import path_below
from support.orders import session_of
from support.site import Site

GOOD = {
    "STRIPE_API_KEY": "sk_test_prefix",
    "STRIPE_WEBHOOK_SECRET": "whsec_prefix",
    "EMQX_BROKER_URL": "localhost",
    "SIGNING_SECRET": "0123456789abcdef" * 2,
}


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("/prod/status", "/status"),
        ("/prod/prod/status", "/prod/status"),
        ("/prod", "/"),
        ("/prod/", "/"),
        ("/prod//status", "//status"),
        ("/production/status", None),
        ("/status", None),
        ("/m/prod", None),
        ("", None),
    ],
)
def test_only_a_whole_first_part_is_taken_off(path: str, below: str | None) -> None:
    assert path_below(path, "/prod") == below


@given(st.text())
def test_without_a_prefix_no_path_is_changed(path: str) -> None:
    assert path_below(path, "") is None


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/status", None),
        ("POST", "/create-payment-link", {"machine_id": "cab-01"}),
        ("POST", "/create-payment-link", {"machine_id": "cab-01", "price_id": "price_play", "quantity": 2}),
        ("POST", "/gameover", {"machine_id": "cab-01"}),
        ("GET", "/openapi.json", None),
    ],
)
def test_each_route_answers_the_same_below_the_stage(site: Site, method: str, path: str, body: object) -> None:
    """The examples that have been printed with /prod in them need nothing but another host name."""
    plain, staged = (site.client.open(prefix + path, method=method, json=body) for prefix in ("", "/prod"))
    assert (
        (staged.status_code, staged.mimetype) == (plain.status_code, plain.mimetype) == (200, "application/json")
    )
    assert staged.get_json().keys() == plain.get_json().keys()


def test_a_signed_webhook_arrives_below_the_stage(site: Site) -> None:
    order_id = site.begin()
    session_id = session_of(site.order(order_id))
    assert session_id is not None
    site.payments.stripe.pay(session_id, "card")
    while events := site.payments.stripe.take_events():
        assert [site.post_event(event, path="/prod/webhook").status_code for event in events] == [200] * len(
            events
        )
    assert site.order(order_id).state == "funded"


def test_every_link_of_a_page_keeps_the_stage_and_leads_somewhere(site: Site) -> None:
    page = site.client.get("/prod/m/cab-01")
    links = set(re.findall(r'(?:href|src|action|data-state-url)="(/[^"]*)"', page.text))
    assert len(links) > 3
    assert all(link.startswith("/prod/") for link in links), links
    for link in links:
        assert site.client.get(link, headers={"Accept": "text/html"}).status_code in {200, 303}, link


def test_links_have_no_stage_where_the_request_had_none(site: Site) -> None:
    assert "/prod" not in site.client.get("/m/cab-01").text


def test_a_redirection_keeps_the_stage(site: Site) -> None:
    answer = site.client.get("/prod/m/cab-01/checkout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/prod/m/cab-01")


def test_a_page_below_the_stage_reports_its_errors_as_a_page(site: Site) -> None:
    answer = site.client.get("/prod/m/nothing")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_another_prefix_can_be_set_and_is_the_only_one() -> None:
    client = Site(stage_prefix="/arcade/v1").client
    assert client.get("/arcade/v1/status").status_code == client.get("/status").status_code == 200
    assert client.get("/prod/status").status_code == 404


@pytest.mark.parametrize(
    ("given", "read"),
    [(None, "/prod"), ("", "/prod"), ("/", ""), ("/live/", "/live"), ("/a/b", "/a/b")],
)
def test_the_prefix_is_a_setting(given: str | None, read: str) -> None:
    environ = GOOD if given is None else {**GOOD, "STAGE_PREFIX": given}
    assert load({**environ, "MQTT_USERNAME": "u", "MQTT_PASSWORD": "p"}, None).stage_prefix == read


@pytest.mark.parametrize(
    ("address", "read"),
    [
        ("https://play.example", "/prod"),
        ("https://play.example/arcade/", "/arcade"),
        ("https://play.example/ü", "/prod"),
    ],
)
def test_the_path_of_the_public_address_is_the_prefix(address: str, read: str) -> None:
    """API Gateway leaves the base path of an own domain before every path that it hands on."""
    environ = {**GOOD, "MQTT_USERNAME": "u", "MQTT_PASSWORD": "p", "PUBLIC_BASE_URL": address}
    assert load(environ, None).stage_prefix == read
    assert load({**environ, "STAGE_PREFIX": "/live"}, None).stage_prefix == "/live"


@pytest.mark.parametrize("given", ["prod", "//", "/a b", "/prod?x", "https://x/prod", "/ü"])
def test_a_prefix_must_be_a_path(given: str) -> None:
    with pytest.raises(SettingsError, match="STAGE_PREFIX"):
        load({**GOOD, "STAGE_PREFIX": given}, None)
