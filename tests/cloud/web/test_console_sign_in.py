"""The console's way in, by its pages: forms from elsewhere, prepared and stolen sessions, and who gets where."""

import re
import subprocess
import sys

import pyotp
import pytest
from flask import Flask

from arcade_cloud.domain.people import FREE_TRIES, IDLE_MS, Act, Actor, Role, Tries
from arcade_cloud.errors import InvariantBroken, StoreUnavailable
from arcade_cloud.services.sign_in import FOR_PERSON
from arcade_cloud.web.console.app import create_console
from arcade_cloud.web.console.guard import FIELD, LIVE, Guard
from support.signed_in import PASSWORD, ROOT, Visitor, a_person, form_token_of, signed_in
from support.site import BASE_URL, ENVIRONMENT, Site

OPEN = {"console.sign_in", "console.sign_in_do", "console.code", "console.code_do"}


@pytest.fixture
def site() -> Site:
    return Site()


def is_in(visitor: Visitor) -> bool:
    return visitor.get("/console/account").status_code == 200


# --- whether there is a console at all ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/sign-in", "/console/x"])
def test_without_people_there_is_no_console(site, path):
    assert site.client.get(path).status_code == 404
    assert site.client.post(path).status_code == 404


def test_with_the_first_person_there_is_one_at_once(site):
    assert Visitor(site).get("/console/sign-in").status_code == 404
    a_person(site)
    assert Visitor(site).get("/console/sign-in").status_code == 200


def test_other_addresses_are_not_the_console_s(site):
    a_person(site)
    assert site.client.get("/consoles").status_code == 404
    assert site.client.get("/status").status_code == 200


def test_a_database_that_is_down_is_told(site):
    a_person(site)
    visitor = signed_in(site, "bob")
    site.people.unavailable = True
    answer = visitor.get("/console/account")
    assert answer.status_code == 503
    assert "database cannot be reached" in answer.text
    fresh = Site()
    fresh.people.unavailable = True
    assert fresh.client.get("/console/sign-in").status_code == 200  # nobody knows whether there are people
    fresh.people.unavailable = False
    assert fresh.client.get("/console/sign-in").status_code == 404


def test_players_pay_nothing_for_the_console(tmp_path):
    """What a player's page imports has no password hashing, no codes, no page of the console, and no acts."""
    script = """
import os, sys
from arcade_cloud.bootstrap import build
from arcade_cloud.config.settings import load
from arcade_cloud.web.app import create_app
with build(load(os.environ, None)) as cloud:
    client = create_app(cloud.web_dependencies()).test_client()
    assert client.get("/m/cab-01").status_code == 404
    assert client.get("/console").status_code == 404
found = {name for name in sys.modules if name.split(".")[0] in {"argon2", "pyotp", "flask_wtf"}}
ours = ("web.console.", "services.acts", "services.accounts", "services.sign_in", "services.audit_log")
found |= {name for name in sys.modules if name.removeprefix("arcade_cloud.").startswith(ours)}
print(sorted(found))
"""
    settings = {**ENVIRONMENT, "DATABASE_URL": f"sqlite:///{tmp_path}/arcade.db"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=settings)
    assert done.stdout.strip() == "[]"


# --- every view says who may see it ---------------------------------------------------------------------------


def console_of(site: Site) -> Flask:
    return create_console(site.dependencies)


def test_every_view_names_its_act_and_only_those_of_signing_in_are_open(site):
    views = {name: view for name, view in console_of(site).view_functions.items() if name != "static"}
    assert len(views) >= 8
    assert {name for name, view in views.items() if getattr(view, "needs_act", Act.SEE) is None} == OPEN


def test_a_view_that_names_no_act_is_shown_to_nobody(site):
    app = Flask("test")
    Guard(site.desk.sign_in, site.settings).install(app)
    app.add_url_rule("/x", view_func=lambda: "secret")
    app.testing = True
    with pytest.raises(InvariantBroken, match="does not say who may see it"):
        app.test_client().get("/x")


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("with_phone", [True, False], ids=["code", "no code"])
def test_the_guard_lets_each_role_to_its_acts_and_to_no_others(site, role, with_phone):
    visitor = signed_in(site, role=role, with_phone=with_phone)
    app = console_of(site)
    guard = Guard(site.desk.sign_in, site.settings)
    for act in Act:
        view = guard.needs(act)(lambda: "there")
        app.add_url_rule(f"/console/{act.name}", act.name, view, methods=["GET", "POST"])
    client = app.test_client()
    client.set_cookie("__Host-console", visitor.cookie(), domain="play.example", secure=True)
    token = form_token_of(visitor.get("/console/account").text)
    for act in Act:
        path = f"/console/{act.name}"
        shown = client.get(path, base_url=BASE_URL)
        sent = client.post(path, base_url=BASE_URL, data={FIELD: token})
        if Actor(name="ann", role=role, second_factor=with_phone).can(act):
            assert (shown.status_code, sent.status_code) == (200, 200), act
            continue
        assert sent.status_code == 403, act
        if Actor(name="ann", role=role, second_factor=True).can(act):  # a code is all that is missing
            assert shown.headers["Location"].endswith("/console/account/second-factor?needed=1"), act
        else:
            assert shown.status_code == 403, act
            assert "Ask an owner" in shown.text


# --- in and out -----------------------------------------------------------------------------------------------


def test_a_stranger_is_led_to_the_way_in_and_then_to_where_they_wanted(site):
    a_person(site, with_phone=False)
    visitor = Visitor(site)
    answer = visitor.get("/console/account/password")
    assert answer.status_code == 303
    page = visitor.get(answer.headers["Location"])
    (onward,) = re.findall(r'name="next" value="([^"]*)"', page.text)
    answer = visitor.post("/console/sign-in", name="ann", password=PASSWORD, next=onward)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/console/account/password"


def test_below_a_stage_every_address_is_below_it_too():
    site = Site(stage_prefix="/prod")
    a_person(site, with_phone=False)
    visitor = Visitor(site)
    answer = visitor.get("/prod/console/account/password")
    assert answer.headers["Location"] == "/prod/console/sign-in?next=/console/account/password"
    page = visitor.get(answer.headers["Location"])
    assert 'action="/prod/console/sign-in"' in page.text
    answer = visitor.post("/prod/console/sign-in", name="ann", password=PASSWORD, next="/console/account/password")
    assert answer.headers["Location"] == "/prod/console/account/password"
    assert visitor.get(answer.headers["Location"]).status_code == 200


@pytest.mark.parametrize(
    "onward",
    [
        "https://evil.example/",
        "//evil.example",
        "/console/\\evil.example",
        "/console@evil.example",
        "/m/cab-01",
        "/consoles",
        "/console\r\nX: y",
        "javascript:alert(1)",
        "/console/é",
        "/console/../m/cab-01",
        "/console/%2e%2E/m/cab-01",
        "/console/.%2e",
        "/console/" + "x" * 2000,
    ],
)
def test_nobody_is_led_elsewhere(site, onward):
    a_person(site, with_phone=False)
    visitor = Visitor(site)
    answer = visitor.sign_in("ann", next=onward)
    assert answer.headers["Location"] == "/console/"
    assert visitor.get("/console/sign-in?next=/console/account").headers["Location"] == "/console/account"


def test_with_a_phone_the_password_alone_leads_to_the_code_and_nowhere_else(site):
    secret = a_person(site)
    visitor = Visitor(site)
    assert visitor.sign_in("ann").headers["Location"] == "/console/code"
    assert visitor.get("/console/account").status_code == 303
    waiting = visitor.cookie()
    assert visitor.get("/console/code").status_code == 200
    assert visitor.post("/console/code", code="000000").status_code == 403
    assert visitor.give_code(secret).headers["Location"] == "/console/"
    assert visitor.cookie() != waiting
    assert is_in(visitor)


def test_a_code_that_nobody_waits_for_leads_back(site):
    a_person(site)
    visitor = Visitor(site)
    assert visitor.get("/console/code").headers["Location"].startswith("/console/sign-in")
    visitor.get("/console/sign-in")
    assert visitor.post("/console/code", code="1").headers["Location"].startswith("/console/sign-in")


def test_what_is_wrong_is_told_with_the_name_kept(site):
    a_person(site)
    answer = Visitor(site).sign_in('"><script>alert(1)</script>', "x")
    assert answer.status_code == 403
    assert "The name or the password is wrong." in answer.text
    assert "<script>alert" not in answer.text
    assert 'value="&#34;&gt;&lt;script&gt;' in answer.text
    assert PASSWORD not in Visitor(site).sign_in("x", PASSWORD).text


def test_guessing_is_slowed_down_in_words(site):
    a_person(site, with_phone=False)
    visitor = Visitor(site)
    for _ in range(FREE_TRIES):
        assert visitor.sign_in("ann", "wrong").status_code == 403
    answer = visitor.sign_in("ann")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "30"
    assert "Too many wrong tries. Try again in 30 s." in answer.text
    assert not visitor.cookie()


def test_a_browser_that_was_in_before_comes_in_whatever_strangers_do(site):
    visitor = signed_in(site, with_phone=False)
    assert visitor.cookie("__Host-device")
    visitor.get("/console/account")
    visitor.post("/console/sign-out")
    version = site.people.tries("person:ann").version
    guessed = Tries(key="person:ann", version=version + 1, count=FOR_PERSON, last_ms=site.now_ms)
    site.people.put_tries(guessed, version)
    assert Visitor(site).sign_in("ann").status_code == 429
    assert visitor.sign_in("ann").status_code == 303


# --- sessions that are prepared, stolen or old ------------------------------------------------------------------


def test_a_prepared_session_is_never_the_one_that_is_signed_in(site):
    """Whatever cookie a browser was given before, signing in gives it another; the prepared one opens nothing."""
    a_person(site, with_phone=False)
    victim, thief = Visitor(site), Visitor(site)
    for browser in (victim, thief):
        browser.client.set_cookie("__Host-console", "f" * 64, domain="play.example", secure=True)
    assert victim.sign_in("ann").status_code == 303
    assert victim.cookie() != "f" * 64
    assert is_in(victim)
    assert not is_in(thief)


def test_a_session_before_the_sign_in_is_dead_after_it(site):
    visitor = signed_in(site, with_phone=False)
    old = visitor.cookie()
    a_person(site, "bob", Role.VIEWER, with_phone=False)
    thief = Visitor(site)
    thief.client.set_cookie("__Host-console", old, domain="play.example", secure=True)
    assert is_in(thief)  # stolen
    visitor.page = visitor.get("/console/account")
    visitor.post("/console/sign-in", name="bob", password=PASSWORD)
    assert visitor.cookie() != old
    assert not is_in(thief)


def test_a_stolen_session_is_dead_after_signing_out(site):
    visitor = signed_in(site)
    thief = Visitor(site)
    thief.client.set_cookie("__Host-console", visitor.cookie(), domain="play.example", secure=True)
    assert is_in(thief)
    visitor.get("/console/account")
    assert visitor.post("/console/sign-out").status_code == 303
    assert not is_in(thief)
    assert not visitor.cookie()


@pytest.mark.parametrize("change", ["disable", "password", "role", "second factor"])
def test_a_session_is_dead_once_its_person_has_changed(site, change):
    a_person(site, "boss")
    visitor = signed_in(site)
    assert is_in(visitor)
    accounts = site.desk.accounts
    match change:
        case "disable":
            accounts.change(ROOT, "ann", disabled=True)
        case "password":
            accounts.set_password(ROOT, "ann", "another good one")
        case "role":
            accounts.change(ROOT, "ann", role=Role.VIEWER)
        case _:
            accounts.set_second_factor(ROOT, "ann", "")
    assert not is_in(visitor)


def test_an_idle_session_is_over(site):
    visitor = signed_in(site)
    site.now_ms += IDLE_MS
    answer = visitor.get("/console/account?x=1")
    assert answer.headers["Location"] == "/console/sign-in?next=/console/account?x%3D1"


def test_a_page_that_renews_itself_does_not_keep_its_session_alive(site):
    a_person(site)
    visitor = signed_in(site, "bob")
    site.now_ms += IDLE_MS - 1
    assert visitor.get("/console/account", **{LIVE: "1"}).status_code == 200
    site.now_ms += 1
    assert visitor.get("/console/account", **{LIVE: "1"}).status_code == 303


def test_the_cookies_are_of_this_host_alone_and_no_script_reads_them(site):
    secret = a_person(site)
    visitor = Visitor(site)
    answers = [visitor.get("/console/sign-in"), visitor.post("/console/sign-in", name="ann", password=PASSWORD)]
    answers.append(visitor.give_code(secret))
    cookies = [cookie for answer in answers for cookie in answer.headers.getlist("Set-Cookie")]
    assert {cookie.split("=")[0] for cookie in cookies} == {"__Host-form", "__Host-console", "__Host-device"}
    for cookie in cookies:
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


def test_without_https_the_cookies_go_without_what_needs_it():
    site = Site(public_base_url="http://127.0.0.1:5000")
    a_person(site, with_phone=False)
    client = site.app.test_client()
    page = client.get("/console/sign-in")
    fields = {FIELD: form_token_of(page.text), "name": "ann", "password": PASSWORD}
    assert client.post("/console/sign-in", data=fields).status_code == 303
    assert client.get_cookie("console") is not None
    assert client.get("/console/account").status_code == 200


# --- forms from elsewhere ----------------------------------------------------------------------------------------

FORMS = ["/console/sign-out", "/console/account/password", "/console/account/second-factor"]


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("token", [None, "", "0" * 64, "é", "another session's"])
def test_a_form_without_the_right_token_does_nothing(site, path, token):
    visitor = signed_in(site)
    if token == "another session's":
        other = signed_in(site, "eve", Role.VIEWER)
        token = form_token_of(other.get("/console/account").text)
        assert token
    fields = {} if token is None else {FIELD: token}
    fields |= {"old": PASSWORD, "new": "another good one", "again": "another good one"}
    answer = visitor.client.post(path, base_url=BASE_URL, data=fields)
    assert answer.status_code == 403
    assert "Open the page again" in answer.text
    assert is_in(visitor)


@pytest.mark.parametrize("path", ["/console/sign-in", "/console/code"])
def test_nobody_is_signed_in_by_a_form_from_elsewhere(site, path):
    a_person(site, with_phone=False)
    visitor = Visitor(site)
    fields = {"name": "ann", "password": PASSWORD, "code": "1"}
    assert visitor.client.post(path, base_url=BASE_URL, data=fields).status_code == 403
    visitor.get("/console/sign-in")
    assert visitor.client.post(path, base_url=BASE_URL, data={**fields, FIELD: "0" * 64}).status_code == 403
    other = form_token_of(Visitor(site).get("/console/sign-in").text)
    assert visitor.client.post(path, base_url=BASE_URL, data={**fields, FIELD: other}).status_code == 403
    assert not visitor.cookie()


def test_a_browser_that_tells_of_another_site_is_believed(site):
    visitor = signed_in(site)
    token = form_token_of(visitor.get("/console/account").text)
    answer = visitor.client.post(
        "/console/sign-out", base_url=BASE_URL, data={FIELD: token}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403
    assert is_in(visitor)


# --- one's own account ---------------------------------------------------------------------------------------


def test_a_second_factor_is_set_up_by_the_page(site):
    visitor = signed_in(site, with_phone=False)
    page = visitor.get("/console/account/second-factor")
    assert "<svg" in page.text
    (spaced,) = re.findall(r"<code>([A-Z2-7 ]+)</code>", page.text)
    secret = spaced.replace(" ", "")
    answer = visitor.post("/console/account/second-factor", code="000000", password=PASSWORD)
    assert answer.status_code == 403
    assert spaced in answer.text  # the same one, so that the phone need not scan again
    code = pyotp.TOTP(secret).at(site.now_ms // 1000)
    assert visitor.post("/console/account/second-factor", code=code, password="no").status_code == 403
    old = visitor.cookie()
    answer = visitor.post("/console/account/second-factor", code=code, password=PASSWORD)
    assert answer.headers["Location"] == "/console/account?done=1"
    assert visitor.cookie() != old
    assert "You gave a code of your phone" in visitor.get(answer.headers["Location"]).text
    assert site.people.person("ann").totp_secret == secret


def test_the_password_is_changed_by_the_page(site):
    visitor = signed_in(site)
    path, new = "/console/account/password", "another good one"
    visitor.get(path)
    assert visitor.post(path, old=PASSWORD, new=new, again="else").status_code == 422
    assert visitor.post(path, old="no", new=new, again=new).status_code == 403
    assert visitor.post(path, old=PASSWORD, new="short", again="short").status_code == 422
    assert visitor.post(path, old=PASSWORD, new=new, again=new).status_code == 303
    assert is_in(visitor)
    assert Visitor(site).sign_in("ann").status_code == 403
    assert Visitor(site).sign_in("ann", new).status_code == 303


def test_a_name_that_is_code_is_shown_as_text(site):
    site.desk.accounts.add(ROOT, "eve", Role.VIEWER, PASSWORD, full_name="<script>alert(1)</script>")
    visitor = Visitor(site)
    visitor.sign_in("eve")
    page = visitor.get("/console/account")
    assert "<script>" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text


def test_pages_load_nothing_from_elsewhere_send_forms_nowhere_else_and_hold_no_code(site):
    visitor = signed_in(site, with_phone=False)
    for path in ("account", "account/password", "account/second-factor"):
        page = visitor.get(f"/console/{path}")
        policy = page.headers["Content-Security-Policy"]
        assert "form-action 'self';" in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["Cache-Control"] == "no-store"
        assert "<script" not in page.text
        assert 'style="' not in page.text


def test_an_unknown_address_and_a_wrong_method_are_pages_too(site):
    visitor = signed_in(site)
    for answer, status in ((visitor.get("/console/nothing"), 404), (visitor.post("/console/account"), 405)):
        assert answer.status_code == status
        assert answer.mimetype == "text/html"


def test_a_page_is_answered_under_the_site_s_own_name_only(site):
    a_person(site)
    answer = site.client.get("/console/sign-in", base_url="https://evil.example")
    assert answer.status_code == 421


def test_whatever_is_sent_is_answered(site):
    """No input gives a 500, and nothing of it is code on a page."""
    a_person(site)
    visitor = Visitor(site)
    for text in ("\x00", "é" * 5000, "<b>", "%", "\ud800".encode("utf-8", "surrogatepass"), "a" * 100_000):
        token = form_token_of(visitor.get("/console/sign-in").text)
        for name in ("name", "password", "next", FIELD):
            fields = {FIELD: token, "name": "x", "password": "y", name: text}
            answer = visitor.client.post("/console/sign-in", base_url=BASE_URL, data=fields)
            assert answer.status_code in {403, 413, 429}, (name, answer.status_code)
        visitor.client.set_cookie("__Host-console", "é\x00" * 50, domain="play.example", secure=True)
        assert visitor.get("/console/account").status_code == 303
        visitor.client.delete_cookie("__Host-console", domain="play.example")


def test_signing_in_is_in_the_log_with_the_address(site):
    signed_in(site)
    (line,) = site.desk.log.read(9, who="ann")
    assert (line.entry.wish, line.entry.ip, line.outcome.result) == ("sign in", "127.0.0.1", "done")


def test_a_session_that_cannot_be_written_down_is_no_session(site, monkeypatch):
    a_person(site, with_phone=False)

    def down(session):
        raise StoreUnavailable("down")

    monkeypatch.setattr(site.people, "put_session", down)
    visitor = Visitor(site)
    assert visitor.sign_in("ann").status_code == 503
    assert not visitor.cookie()
