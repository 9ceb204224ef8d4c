"""The console's people: an owner adds, changes and blocks them, and nobody else gets there."""

import re

import pytest

from arcade_cloud.domain.people import Role
from arcade_cloud.web.console.guard import FIELD
from support.signed_in import PASSWORD, Visitor, a_person, form_token_of, signed_in
from support.site import BASE_URL, Site

MARKUP = "<script>alert(1)</script>\"'"
POSTS = ["/console/people", "/console/people/bob", "/console/people/bob/password", "/console/people/bob/no-phone"]


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def owner(site: Site) -> Visitor:
    visitor = signed_in(site)
    a_person(site, "bob", Role.MANAGER)
    visitor.get("/console/people")
    return visitor


def test_somebody_is_added_and_can_sign_in(site, owner):
    answer = owner.post("/console/people", name="Eve", role="viewer", password=PASSWORD, full_name=MARKUP)
    assert answer.headers["Location"] == "/console/people/eve?done=added"
    page = owner.get("/console/people/eve?done=added")
    assert "They may sign in now." in page.text
    for text in (page.text, owner.get("/console/people").text):
        assert "<script>" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert Visitor(site).sign_in("eve").status_code == 303
    (line,) = [line for line in site.desk.log.read(9, on="person eve") if line.entry.who == "ann"]
    assert (line.entry.wish, line.outcome.result) == ("add, viewer", "done")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": "a b"}, "no name to sign in with"),
        ({"name": "bob"}, "there is a person bob already"),
        ({"role": "boss"}, "there is no role"),
        ({"role": ""}, "there is no role"),
        ({"password": "short"}, "10 to 256 characters"),
        ({"full_name": "x" * 90}, "at most 80"),
    ],
)
def test_what_cannot_be_added_is_told_and_what_was_typed_stays(site, owner, fields, why):
    typed = {"name": "eve", "role": "viewer", "password": PASSWORD, "full_name": "Eve Tan", **fields}
    answer = owner.post("/console/people", **typed)
    assert answer.status_code == 422
    assert why in answer.text
    assert typed["password"] not in answer.text
    if "name" not in fields:
        assert 'value="eve"' in answer.text
    assert len(site.people.people()) == 2


def test_a_person_is_changed_and_their_sessions_end(site, owner):
    bob = signed_in(site, "carl", Role.MANAGER)
    assert bob.get("/console/account").status_code == 200
    owner.get("/console/people/carl")
    assert owner.post("/console/people/carl", role="viewer", full_name="").headers["Location"].endswith("done=set")
    assert bob.get("/console/account").status_code == 303
    owner.get("/console/people/carl")
    assert owner.post("/console/people/carl", role="viewer").headers["Location"].endswith("done=same")
    assert site.people.person("carl").role is Role.VIEWER


def test_a_person_is_blocked_and_let_in_again(site, owner):
    for state, status in (("disabled", 403), ("enabled", 303)):
        page = owner.get("/console/people/bob")
        assert f'name="state" value="{state}"' in page.text
        owner.post("/console/people/bob", state=state)
        assert Visitor(site).sign_in("bob").status_code == status


def test_a_forgotten_password_and_a_lost_phone_are_mended(site, owner):
    owner.get("/console/people/bob")
    owner.post("/console/people/bob/password", password="another good one")
    owner.get("/console/people/bob")
    owner.post("/console/people/bob/no-phone")
    visitor = Visitor(site)
    assert visitor.sign_in("bob", "another good one").headers["Location"] == "/console/"
    assert "Phone lost" not in owner.get("/console/people/bob").text


def test_the_last_owner_stays_one(site, owner):
    owner.get("/console/people/ann")
    for fields in ({"role": "viewer"}, {"state": "disabled"}):
        answer = owner.post("/console/people/ann", **fields)
        assert answer.status_code == 422
        assert "the only owner" in answer.text


def test_who_is_unknown_is_not_found(owner):
    for path in ("/console/people/eve", "/console/people/%3Cb%3E", "/console/people/x%00"):
        assert owner.get(path).status_code == 404


@pytest.mark.parametrize("role", [Role.MANAGER, Role.TECHNICIAN, Role.VIEWER])
def test_nobody_but_an_owner_gets_there(site, role):
    a_person(site, "bob", Role.MANAGER)
    visitor = signed_in(site, "carl", role)
    token = form_token_of(visitor.get("/console/account").text)
    assert "People" not in re.findall(r"<a [^>]*>([^<]*)</a>", visitor.get("/console/").text)
    assert visitor.get("/console/people").status_code == 403
    assert visitor.get("/console/people/bob").status_code == 403
    before = site.people.people()
    for path in POSTS:
        fields = {FIELD: token, "name": "eve", "role": "owner", "password": PASSWORD, "state": "disabled"}
        assert visitor.client.post(path, base_url=BASE_URL, data=fields).status_code == 403
    assert site.people.people() == before


def test_an_owner_without_a_phone_is_led_to_set_it_up_first(site):
    visitor = signed_in(site, with_phone=False)
    assert visitor.get("/console/people").headers["Location"].endswith("/second-factor?needed=1")
    page = visitor.get("/console/account")
    data = {FIELD: form_token_of(page.text), "name": "eve", "role": "owner", "password": PASSWORD}
    assert visitor.client.post("/console/people", base_url=BASE_URL, data=data).status_code == 403


@pytest.mark.parametrize("path", POSTS)
def test_a_form_from_elsewhere_changes_nobody(site, owner, path):
    before = site.people.people()
    data = {FIELD: "0" * 64, "name": "eve", "role": "owner", "password": PASSWORD, "state": "disabled"}
    assert owner.client.post(path, base_url=BASE_URL, data=data).status_code == 403
    assert site.people.people() == before
