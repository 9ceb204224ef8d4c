"""The site answers under its own names, and other sites' pages start nothing here."""

import pytest

from arcade_cloud.config.host_names import host_name
from support.site import BASE_URL, INGEST_SECRET, Site, check_error

OWN = ["play.example", "PLAY.example:443", "play.example.", "localhost:5000", "127.0.0.1:5000", "[::1]:5000"]
ADDRESSES = ["203.0.113.9", "10.0.0.2:5000", "[2001:db8::1]:5000"]
OTHERS = ["evil.example", "play.example.evil.example", "notplay.example", "example", "arcade_cloud:5000"]
MALFORMED = [
    "x" * 64 + ".example",
    ".".join(["a" * 60] * 5),
    "a..b",
    "a b",
    "play.example:99999",
    "play.example:x",
    "play.example/path",
    "user@play.example",
    "[::1",
    "[play.example]",
    "\xff\xfe",
    "-x.example",
    "::1",
]
PAGES = ["/m/cab-01", "/kiosk/cab-01", "/nowhere", "/openapi.json", "/static/live.js", "/m//cab-01", "/"]


@pytest.mark.parametrize("host", [*OWN, *ADDRESSES])
@pytest.mark.parametrize("path", ["/m/cab-01", "/m/cab-01?format=json", "/kiosk/cab-01", "/status"])
def test_the_sites_own_names_and_plain_addresses_are_answered(host: str, path: str) -> None:
    assert Site().client.get(path, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", OTHERS)
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_not_there_under_another_name(host: str, path: str) -> None:
    answer = Site().client.get(path, headers={"Host": host})
    assert answer.status_code == 421
    assert "Location" not in answer.headers
    assert "evil" not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", MALFORMED)
@pytest.mark.parametrize("path", [*PAGES, "/status"])
def test_what_is_no_host_name_is_a_bad_request(host: str, path: str) -> None:
    answer = Site().client.get(path, headers={"Host": host})
    assert answer.status_code == 400, answer.text
    assert "Location" not in answer.headers


def test_a_host_that_is_refused_gets_the_one_error_shape() -> None:
    client = Site().client
    check_error(client.get("/openapi.json", headers={"Host": "evil.example"}), 421, "unknown_host")
    check_error(client.get("/status", headers={"Host": "x" * 64}), 400, "bad_host")


def test_a_redirection_never_leads_to_a_name_that_was_sent() -> None:
    client = Site().client
    assert client.get("/m//cab-01", headers={"Host": "evil.example"}).status_code == 421
    answer = client.get("/m//cab-01", headers={"Host": "play.example"})
    assert answer.headers["Location"].removeprefix("http://play.example") == "/m/cab-01"


def test_software_is_let_in_under_any_name() -> None:
    """Broker, kiosk and game software often know this cloud by a name of their own network."""
    site = Site()
    inside = {"Host": "arcade_cloud:5000"}
    status = {"topic": "arcade/machine/cab-01/status", "payload": site.status_payload("cab-01").decode()}
    secret = {"X-Ingest-Secret": INGEST_SECRET}
    body = {"machine_id": "cab-01"}
    assert site.client.get("/status", headers=inside).status_code == 200
    assert site.client.post("/ingest", json=status, headers={**inside, **secret}).status_code == 200
    assert site.client.post("/create-payment-link", json=body, headers=inside).status_code == 200
    assert site.client.post("/gameover", json=body, headers=inside).status_code == 200
    for path in ("/webhook", "/addCredit", "/prod/webhook"):
        assert site.client.post(path, data=b"{}", headers=inside).status_code == 400  # no signature


def test_a_further_name_is_answered_once_it_is_set() -> None:
    site = Site(allowed_hosts=frozenset({"play.example", "shop.example"}))
    assert site.client.get("/m/cab-01", headers={"Host": "shop.example"}).status_code == 200
    assert site.client.get("/m/cab-01", headers={"Host": "evil.example"}).status_code == 421


def test_a_name_is_logged_once_with_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    for _ in range(3):
        site.client.get("/m/cab-01", headers={"Host": "shop.example"})
    (text,) = [record.getMessage() for record in caplog.records if "shop.example" in record.getMessage()]
    assert "ALLOWED_HOSTS" in text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Play.Example:443", "play.example"),
        ("play.example.", "play.example"),
        ("spiel.öst", "spiel.xn--st-eka"),
        ("[::1]:5000", "::1"),
        ("", None),
        ("x" * 64, None),
        ("x" * 63, "x" * 63),
        ("a\n", None),
    ],
)
def test_a_host_name_is_read_as_browsers_send_it(text: str, name: str | None) -> None:
    assert host_name(text) == name


# --- other sites -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/m/cab-01/checkout", "/create-payment-link", "/gameover"])
def test_a_post_from_another_site_starts_nothing(path: str) -> None:
    site = Site()
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    body = "" if "checkout" in path else '{"machine_id": "cab-01"}'
    calls, published = len(site.payments.calls), len(site.broker.sent)
    assert site.client.post(path, headers=headers, data=body).status_code == 403
    assert (len(site.payments.calls), len(site.broker.sent)) == (calls, published)
    assert not site.store.recent_orders(10)


@pytest.mark.parametrize("where", [None, "same-origin", "same-site", "none"])
def test_a_players_own_tap_and_software_that_says_nothing_go_through(where: str | None) -> None:
    site = Site()
    headers = {} if where is None else {"Sec-Fetch-Site": where}
    assert site.client.post("/m/cab-01/checkout", data={}, headers=headers).status_code == 303
    body = {"machine_id": "cab-01"}
    assert site.client.post("/create-payment-link", json=body, headers=headers).status_code == 200


def test_a_scanned_code_and_a_link_from_elsewhere_open_the_page() -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert Site().client.get("/m/cab-01", headers=headers).status_code == 200


@pytest.mark.parametrize("machine_id", ["garbage!", "%2e%2e", "cab-99", "x" * 65])
def test_the_way_back_to_a_machine_that_is_not_there_is_not_found(machine_id: str) -> None:
    assert Site().client.get(f"/m/{machine_id}/checkout").status_code == 404


# --- https -----------------------------------------------------------------------------------------------


def test_browsers_are_told_to_stay_with_https_where_the_site_has_it() -> None:
    assert BASE_URL.startswith("https:")
    for path in ("/m/cab-01", "/status", "/nowhere"):
        assert Site().client.get(path).headers["Strict-Transport-Security"] == "max-age=31536000"
    plain = Site(public_base_url="http://localhost:5000").client.get("/m/cab-01")
    assert "Strict-Transport-Security" not in plain.headers
