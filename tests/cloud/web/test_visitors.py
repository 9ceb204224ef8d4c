"""One phone that asks without end stops nobody beside it, and nobody gets more by asking under many names."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.web.visitors import LIFE_S, SOFTWARE, STRANGERS, TOKENS, VISITOR, new_token, visitor_of
from support.site import Site

KEY, OLD_KEY = b"k" * 32, b"o" * 32
NOW_S = 1_790_000_000
PER_MINUTE = 120
SHARED_ADDRESS = {"REMOTE_ADDR": "203.0.113.9"}


def phone(site: Site) -> FlaskClient:
    """A browser of its own behind the address that all of them share."""
    return site.app.test_client()


def opens(client: FlaskClient) -> int:
    return client.get("/m/cab-01", environ_base=SHARED_ADDRESS).status_code


def taps(client: FlaskClient) -> int:
    return client.post("/m/cab-01/checkout", data={}, environ_base=SHARED_ADDRESS).status_code


def software_orders(client: FlaskClient) -> int:
    body = {"machine_id": "cab-01"}
    return client.post("/create-payment-link", json=body, environ_base=SHARED_ADDRESS).status_code


def for_a_minute(site: Site, each: Callable[[], int], per_s: int = 10) -> list[int]:
    """The statuses of what is done `per_s` times a second for a minute; machines stay ready meanwhile."""
    statuses = []
    for _ in range(60 * per_s):
        site.now_ms += 1000 // per_s
        if site.now_ms % 20_000 < 1000 // per_s:
            site.say_status("cab-01")
        statuses.append(each())
    return statuses


@pytest.fixture
def site() -> Site:
    return Site(rate_limit_per_minute=PER_MINUTE)


# --- neighbours ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_a_token", [True, False])
def test_a_phone_that_posts_without_end_stops_nobody_behind_its_address(site: Site, with_a_token: bool) -> None:
    bad, neighbour = phone(site), phone(site)
    if with_a_token:
        opens(bad)
    statuses = for_a_minute(site, lambda: taps(bad))
    part = PER_MINUTE // (VISITOR if with_a_token else STRANGERS)
    assert 2 * part - 1 <= statuses.count(303) <= 2 * part  # at once, and within the minute
    assert opens(neighbour) == 200
    assert [taps(neighbour) for _ in range(3)] == [303] * 3
    assert software_orders(phone(site)) == 200


def test_a_page_fetched_anew_for_each_post_gets_no_further_than_the_address(site: Site) -> None:
    known, elsewhere = phone(site), phone(site)
    opens(known)

    def fetch_and_post() -> int:
        bad = phone(site)
        opens(bad)
        return taps(bad)

    statuses = for_a_minute(site, fetch_and_post)
    new_tokens = 2 * PER_MINUTE // TOKENS
    assert statuses.count(303) <= new_tokens + 2 * PER_MINUTE // STRANGERS
    assert taps(known) == 303  # who came before has a bucket of its own, and the address has room
    elsewhere.get("/m/cab-01", environ_base={"REMOTE_ADDR": "198.51.100.1"})
    other = elsewhere.post("/m/cab-01/checkout", data={}, environ_base={"REMOTE_ADDR": "198.51.100.1"})
    assert other.status_code == 303


def test_both_ways_to_begin_an_order_draw_on_one_bucket_of_the_address(site: Site) -> None:
    begun = sum(software_orders(phone(site)) == 200 for _ in range(PER_MINUTE))
    assert begun == PER_MINUTE // SOFTWARE
    for _ in range(20):
        client = phone(site)
        opens(client)
        begun += sum(taps(client) == 303 for _ in range(PER_MINUTE // VISITOR))
    assert begun == PER_MINUTE
    newcomer = phone(site)
    opens(newcomer)
    assert taps(newcomer) == 429


def test_without_a_limit_nobody_is_counted() -> None:
    site = Site(rate_limit_per_minute=0)
    bad = phone(site)
    assert {taps(bad) for _ in range(50)} == {303}


# --- tokens ----------------------------------------------------------------------------------------------


def test_a_page_gives_a_token_once_and_it_is_safe_in_a_browser(site: Site) -> None:
    client = phone(site)
    answer = client.get("/m/cab-01")
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert not client.get("/m/cab-01").headers.getlist("Set-Cookie")
    assert not client.get("/m/cab-01?format=json").headers.getlist("Set-Cookie")
    site.now_ms += LIFE_S * 1000
    assert client.get("/m/cab-01").headers.getlist("Set-Cookie")


def test_without_https_the_cookie_is_kept_all_the_same() -> None:
    site = Site(public_base_url="http://localhost:5000", rate_limit_per_minute=PER_MINUTE)
    (cookie,) = phone(site).get("/m/cab-01").headers.getlist("Set-Cookie")
    assert "Secure" not in cookie


def test_a_token_names_its_visitor_while_it_is_young_and_its_key_is_known() -> None:
    token = new_token(KEY, NOW_S)
    visitor = visitor_of(token, [KEY], NOW_S)
    assert visitor is not None
    assert visitor_of(token, [OLD_KEY, KEY], NOW_S + LIFE_S - 1) == visitor
    assert visitor_of(token, [KEY], NOW_S + LIFE_S) is None
    assert visitor_of(token, [KEY], NOW_S - LIFE_S) is None
    assert visitor_of(token, [OLD_KEY], NOW_S) is None
    assert visitor_of(new_token(KEY, NOW_S), [KEY], NOW_S) != visitor


@given(text=st.text(max_size=60), at=st.integers(0, 39), letter=st.sampled_from("ABab01-_"))
def test_nobody_makes_up_a_token(text: str, at: int, letter: str) -> None:
    assert visitor_of(text, [KEY], NOW_S) is None
    token = new_token(KEY, NOW_S)
    changed = token[:at] + letter + token[at + 1 :]
    assert changed == token or visitor_of(changed, [KEY], NOW_S) is None


# --- proxies ---------------------------------------------------------------------------------------------


def forwarded_alerts(site: Site) -> list[str]:
    return [alert.text for alert in site.store.recent_alerts(10) if alert.kind == "untrusted_proxy"]


def test_a_proxy_that_no_setting_tells_of_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(trusted_proxies=0)
    site.client.get("/status")
    assert not forwarded_alerts(site)
    for _ in range(3):
        site.client.get("/m/cab-01", headers={"X-Forwarded-For": "198.51.100.7"})
    (text,) = forwarded_alerts(site)
    assert "Set TRUSTED_PROXIES" in text
    assert [record.getMessage() for record in caplog.records].count(text) == 1


def test_a_proxy_is_told_of_later_where_the_store_is_down(site: Site) -> None:
    headers = {"X-Forwarded-For": "198.51.100.7"}
    site.store.unavailable = True
    assert site.client.get("/status", headers=headers).status_code == 200
    site.store.unavailable = False
    site.client.get("/status", headers=headers)
    assert len(forwarded_alerts(site)) == 1


def test_a_trusted_proxy_is_no_news() -> None:
    site = Site(trusted_proxies=1)
    site.client.get("/m/cab-01", headers={"X-Forwarded-For": "198.51.100.7"})
    assert not forwarded_alerts(site)
