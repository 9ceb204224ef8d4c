"""Other software with an API key: what it may do, and what it may not."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from arcade_cloud.domain import api_keys
from arcade_cloud.domain.api_keys import USED_EVERY_MS, Scope, parts_of
from arcade_cloud.errors import BadRequest, UnknownMachine
from support.site import Site, check_error

LINK = {"machine_id": "cab-01"}
HOUR_MS = 3_600_000


@pytest.fixture
def site() -> Site:
    return Site()


def new_key(site: Site, *scopes: Scope, machines: tuple[str, ...] = ()) -> str:
    _, text = site.dependencies.keys.add("Kiosk", scopes, machines, by="ann")
    return text


def parts(text: str) -> tuple[str, str]:
    found = parts_of(text)
    assert found is not None
    return found


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def call(site: Site, scope: str, headers: dict[str, str], machine_id: str = "cab-01") -> Any:
    if scope == "takings":
        return site.client.get("/takings", headers=headers)
    path = {"checkout": "/create-payment-link", "gameover": "/gameover"}[scope]
    return site.client.post(path, json={"machine_id": machine_id}, headers=headers)


SCOPES: tuple[Scope, ...] = ("checkout", "gameover", "takings")


@pytest.mark.parametrize("has", SCOPES)
@pytest.mark.parametrize("wants", SCOPES)
def test_a_key_does_what_its_scope_says_and_nothing_else(site: Site, has: Scope, wants: str) -> None:
    answer = call(site, wants, bearer(new_key(site, has)))
    if has == wants:
        assert answer.status_code == 200, answer.text
    else:
        assert wants in check_error(answer, 403, "forbidden")


@pytest.mark.parametrize("wants", SCOPES)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t[:-1] + ("0" if t[-1] != "0" else "1"),
        lambda t: t[:-1],
        lambda t: t + "0",
        lambda t: t[:30],  # copied only in part
        lambda t: t + "a" * 5_000,
    ],
)
def test_a_wrong_key_is_refused_everywhere(site: Site, wants: str, spoil: Any) -> None:
    text = new_key(site, *SCOPES)
    check_error(call(site, wants, bearer(spoil(text))), 401, "unauthorized")
    check_error(call(site, wants, {"X-Api-Key": spoil(text)}), 401, "unauthorized")
    assert call(site, wants, {"X-Api-Key": text}).status_code == 200


@pytest.mark.parametrize("wants", SCOPES)
def test_a_revoked_key_is_refused_at_once_and_for_good(site: Site, wants: str) -> None:
    text = new_key(site, *SCOPES)
    assert call(site, wants, bearer(text)).status_code == 200
    key_id = parts(text)[0]
    before, after = site.dependencies.keys.revoke(key_id, by="bob")
    assert (before.revoked_at_ms, after.revoked_at_ms, after.revoked_by) == (None, site.now_ms, "bob")
    check_error(call(site, wants, bearer(text)), 401, "unauthorized")
    assert site.dependencies.keys.revoke(key_id, by="carol") == (after, after)


def test_a_key_for_one_machine_is_for_no_other(site: Site) -> None:
    site.add_machine("cab-02")
    site.say_status("cab-02")
    text = new_key(site, "checkout", "gameover", machines=("cab-02",))
    for scope in ("checkout", "gameover"):
        assert call(site, scope, bearer(text), "cab-02").status_code == 200
        check_error(call(site, scope, bearer(text), "cab-01"), 403, "forbidden")


def test_the_doors_that_were_open_stay_open(site: Site) -> None:
    for headers in ({}, {"X-Api-Key": "of some other system"}, bearer("arcade_secret"), bearer("é")):
        assert call(site, "checkout", headers).status_code == 200
        assert call(site, "gameover", headers).status_code == 200
    check_error(call(site, "takings", {}), 401, "unauthorized")


def test_the_one_key_of_the_settings_goes_on_working_beside_others() -> None:
    site = Site(gameover_api_key="the-one-key")
    assert call(site, "gameover", {"X-Api-Key": "the-one-key"}).status_code == 200
    assert call(site, "gameover", bearer(new_key(site, "gameover"))).status_code == 200
    check_error(call(site, "gameover", bearer(new_key(site, "checkout"))), 403, "forbidden")
    check_error(call(site, "gameover", {}), 401, "unauthorized")
    assert call(site, "checkout", {"X-Api-Key": "the-one-key"}).status_code == 200
    check_error(call(site, "takings", {"X-Api-Key": "the-one-key"}), 401, "unauthorized")


def test_nothing_that_is_stored_opens_a_door(site: Site) -> None:
    text = new_key(site, "checkout")
    (key,) = site.store.software.api_keys()
    key_id, secret = parts(text)
    assert secret not in repr(key)
    assert len(secret) == 64
    stolen = api_keys.text_of(key_id, key.hashed)
    check_error(call(site, "checkout", bearer(stolen)), 401, "unauthorized")


def test_its_last_use_is_written_down_once_an_hour(site: Site) -> None:
    text = new_key(site, "gameover")

    def used() -> tuple[int | None, int]:
        (key,) = site.store.software.api_keys()
        return key.used_at_ms, key.version

    assert used() == (None, 1)
    call(site, "gameover", bearer(text))
    first = site.now_ms
    assert used() == (first, 2)
    site.now_ms += USED_EVERY_MS - 1
    call(site, "gameover", bearer(text))
    assert used() == (first, 2)
    site.now_ms += 1
    call(site, "gameover", bearer(text))
    assert used() == (first + USED_EVERY_MS, 3)
    check_error(call(site, "checkout", bearer(text)), 403)


def test_a_use_at_the_very_moment_of_the_revocation_does_not_undo_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = parts(text := new_key(site, "gameover"))[0]
    store = site.store.software
    found = store.api_key(key_id)
    assert found is not None
    store.put_api_key(api_keys.revoked(found, "bob", site.now_ms), 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "api_key", lambda _: found)  # the reading is old by the time of the write
        site.dependencies.keys.authenticate(text)
    after = store.api_key(key_id)
    assert after is not None
    assert after.revoked_by == "bob"


def test_software_with_a_key_has_a_limit_of_its_own() -> None:
    site = Site(rate_limit_per_minute=2)
    text = new_key(site, "checkout", "takings")
    while call(site, "checkout", {}).status_code == 200:
        pass
    assert [call(site, "checkout", bearer(text)).status_code for _ in range(3)] == [200, 200, 429]
    assert [call(site, "takings", bearer(text)).status_code for _ in range(2)] == [200, 429]


def test_what_an_operator_mistypes_is_refused(site: Site) -> None:
    keys = site.dependencies.keys
    wrong: list[tuple[str, tuple[Scope, ...], tuple[str, ...], type[Exception]]] = [
        ("", ("checkout",), (), BadRequest),
        ("a\nb", ("checkout",), (), BadRequest),
        ("Kiosk", (), (), BadRequest),
        ("Kiosk", ("checkout",), ("cab-99",), UnknownMachine),
    ]
    for name, scopes, machines, error in wrong:
        with pytest.raises(error):
            keys.add(name, scopes, machines, by="ann")
    with pytest.raises(BadRequest):
        keys.revoke("nothing", by="ann")
    assert site.store.software.api_keys() == []


def test_takings_are_what_was_booked(site: Site) -> None:
    order_id = site.begin(3)
    site.pay(order_id)
    site.say_ack(order_id, "done", 2)
    site.deliver_events()
    site.cloud.fulfilment.run_once()
    assert site.order(order_id).state == "settled"
    headers = bearer(new_key(site, "takings"))
    (row,) = (found := site.client.get("/takings?by=machine", headers=headers).get_json())["rows"]
    assert row["name"] == "cab-01"
    assert (row["currency"], row["gross"], row["credits"], row["delivered"]) == ("MYR", "2.00", 3, 2)
    assert found["totals"] == [{**row, "name": "total"}]
    other = site.client.get("/takings", headers=bearer(new_key(site, "takings", machines=("cab-01",))))
    assert len(other.get_json()["rows"]) == 1
    site.add_machine("cab-02")
    none = site.client.get("/takings", headers=bearer(new_key(site, "takings", machines=("cab-02",))))
    assert none.get_json()["rows"] == []
    day = site.client.get("/takings?from=2001-01-01&to=2001-01-31&by=method", headers=headers).get_json()
    assert day == {"from": "2001-01-01", "to": "2001-01-31", "by": "method", "rows": [], "totals": []}


@pytest.mark.parametrize(
    "query",
    [
        "by=colour",
        "from=yesterday",
        "to=2026-11-26T00:00",
        "from=20261126",
        "from=0001-01-01&to=0001-01-02",
        "from=2026-11-27&to=2026-11-26",
        "from=2026-01-01&to=2026-12-31",
        "from=9999-12-01&to=9999-12-32",
        "from=%00",
    ],
)
def test_a_report_that_makes_no_sense_is_refused_in_words(site: Site, query: str) -> None:
    check_error(site.client.get(f"/takings?{query}", headers=bearer(new_key(site, "takings"))), 422, "bad_request")


def test_the_end_of_time_can_be_reported(site: Site) -> None:
    answer = site.client.get("/takings?from=9999-12-31&to=9999-12-31", headers=bearer(new_key(site, "takings")))
    assert json.loads(answer.text)["rows"] == []


def test_a_key_of_a_later_version_is_not_taken_for_less_than_it_is(site: Site) -> None:
    """A field that this version does not know may narrow what the key may do."""
    from arcade_cloud.adapters.store import records
    from arcade_cloud.errors import InvariantBroken

    new_key(site, "checkout")
    (key,) = site.store.software.api_keys()
    record = json.loads(records.encode(replace(key)))
    with pytest.raises(InvariantBroken):
        records.api_key(json.dumps({**record, "only_on_sundays": True}).encode(), key.key_id)
