"""What people do is allowed by their role, written down before and after, and bounded by a manager's limits."""

import ast
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest

import arcade_cloud
from arcade_cloud.domain.fleet import Line
from arcade_cloud.domain.machines import MachineChange
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.people import Act, Actor, Role, command_line
from arcade_cloud.errors import BadRequest, Forbidden, StoreUnavailable, UnknownMachine
from arcade_cloud.services import audit_log
from support.site import PRICE_ID, Site

ROOT = command_line("root")
PACKAGE = Path(arcade_cloud.__file__).parent
OWNER, MANAGER, TECHNICIAN, VIEWER = (
    Actor(name=role.value, role=role, second_factor=True, ip="192.0.2.1") for role in Role
)
ONE = Offer(offer_id="one", credits=1, amount_minor=100, currency="myr", price_id=PRICE_ID)


@pytest.fixture
def site() -> Site:
    return Site(manager_grant_limit=5, manager_refund_limits={"myr": 250})


def lines(site: Site, **which):
    return site.desk.log.read(50, **which)


def bought(site: Site, credits: int = 3) -> str:
    """An order that was paid, delivered and captured; its id."""
    order_id = site.begin(credits)
    site.pay(order_id)
    site.say_ack(order_id, delivered=credits)
    assert site.order(order_id).state == "settled"
    return order_id


# --- each act, each role ------------------------------------------------------------------------------------

ACTS = {
    "add": ("OMT", lambda acts, who: acts.machine_add(who, "cab-02", MachineChange(name="Pac-Man"))),
    "add with offers": ("OM", lambda acts, who: acts.machine_add(who, "cab-02", MachineChange(offers=(ONE,)))),
    "copy": ("OMT", lambda acts, who: acts.machine_copy(who, "cab-01", "cab-02", MachineChange())),
    "set": ("OMT", lambda acts, who: acts.machine_set(who, "cab-01", MachineChange(name="Pac-Man"))),
    "offers": ("OM", lambda acts, who: acts.machine_set(who, "cab-01", MachineChange(offers=(ONE,)))),
    "no offers": ("OM", lambda acts, who: acts.machine_set(who, "cab-01", MachineChange(offers=()))),
    "out of service": ("OMT", lambda acts, who: list(acts.machines_close(who, ["cab-01"]))),
    "in service": ("OMT", lambda acts, who: list(acts.machines_open(who, ["cab-01"]))),
    "retire": ("OM", lambda acts, who: list(acts.machines_close(who, ["cab-01"], for_good=True))),
    "import": (
        "OM",
        lambda acts, who: list(acts.machines_take_in(who, [Line(2, "cab-02", MachineChange(name="Q"))])),
    ),
    "config": ("OMT", lambda acts, who: acts.machine_config(who, "cab-01")),
    "test": ("OMT", lambda acts, who: acts.machine_test(who, "cab-01", 1)),
    "grant": ("OM", lambda acts, who: acts.grant(who, "cab-01", 1, reason="free", token="t")),
    "give back": ("OM", lambda acts, who: acts.give_back(who, "pi_1")),
    "deliver": ("OM", lambda acts, who: acts.deliver(who, "pi_1", "cab-01", 1)),
    "dismiss": ("OM", lambda acts, who: acts.dismiss(who, "pi_1")),
    "acknowledge": ("OMT", lambda acts, who: acts.acknowledge(who, "none:none")),
    "key": ("O", lambda acts, who: acts.key_add(who, "kiosk", ["checkout"])),
    "revoke": ("O", lambda acts, who: acts.key_revoke(who, "none")),
    "webhook": ("O", lambda acts, who: acts.endpoint_add(who, "https://shop.example/hook", ["play.delivered"])),
    "webhook's secret": ("O", lambda acts, who: acts.endpoint_secret(who, "we_none")),
    "webhook's test": ("O", lambda acts, who: acts.endpoint_test(who, "we_none")),
    "webhook's end": ("O", lambda acts, who: acts.endpoint_remove(who, "we_none")),
    "replay": ("O", lambda acts, who: acts.replay(who, "we_none", "evt_none")),
    "replay by time": ("O", lambda acts, who: acts.replay_since(who, "we_none", 0, 1)),
    "reconcile": ("OM", lambda acts, who: acts.reconcile(who, date(2026, 9, 20))),
    "accept": ("OM", lambda acts, who: acts.accept(who, date(2026, 9, 20), reason="known")),
    "store": ("O", lambda acts, who: acts.doing(who, Act.STORE, "store").__enter__()),
}


@pytest.mark.parametrize("actor", [OWNER, MANAGER, TECHNICIAN, VIEWER], ids=lambda actor: actor.name)
@pytest.mark.parametrize("act", list(ACTS))
def test_each_act_is_for_its_roles(site, act, actor):
    allowed, do = ACTS[act]
    if actor.role[0].upper() not in allowed:
        with pytest.raises(Forbidden):
            do(site.desk.acts, actor)
        assert lines(site) == []
        return
    with suppress(BadRequest):  # there is no such payment or alert
        do(site.desk.acts, actor)
    assert len(lines(site)) == 1  # an act that is not allowed is not even begun


@pytest.mark.parametrize(
    "act", ["add with offers", "offers", "config", "grant", "give back", "deliver", "dismiss"]
)
def test_money_needs_the_second_factor_of_an_owner_too(site, act):
    with pytest.raises(Forbidden, match="second factor"):
        ACTS[act][1](site.desk.acts, Actor(name="owner", role=Role.OWNER))
    assert lines(site) == []


def test_a_refund_is_for_its_roles(site):
    order_id = bought(site)
    for actor in (TECHNICIAN, VIEWER, Actor(name="owner", role=Role.OWNER)):
        with pytest.raises(Forbidden):
            site.desk.acts.refund(actor, order_id, reason="broken")
    assert site.order(order_id).books.target_minor == 300
    site.desk.acts.refund(OWNER, order_id, reason="broken")
    assert site.order(order_id).books.target_minor == 0


def test_who_retired_machines_may_put_them_back_and_a_technician_may_not(site):
    list(site.desk.acts.machines_close(MANAGER, ["cab-01"], for_good=True))
    with pytest.raises(Forbidden):
        list(site.desk.acts.machines_open(TECHNICIAN, ["cab-01"]))
    list(site.desk.acts.machines_open(MANAGER, ["cab-01"]))
    assert site.store.machine("cab-01").closure is None


# --- what is written down -----------------------------------------------------------------------------------


def test_a_change_is_written_down_with_before_and_after(site):
    site.desk.acts.machine_set(TECHNICIAN, "cab-01", MachineChange(name="Pac-Man", location="Hall 2"))
    ((entry, outcome),) = lines(site)
    assert (entry.who, entry.act, entry.on, entry.ip) == ("technician", Act.MACHINE_SET, "cab-01", "192.0.2.1")
    assert entry.wish == "name: Pac-Man; location: Hall 2"
    assert outcome.result == "done"
    assert outcome.before == "name: Street Fighter II; location: -"
    assert outcome.after == "name: Pac-Man; location: Hall 2"


def test_each_machine_of_several_is_a_line(site):
    site.add_machine("cab-02")
    list(
        site.desk.acts.machines_close(
            ROOT, ["cab-01", "cab-02"], reason="Closed for the night.", until="2030-01-01"
        )
    )
    first, second = sorted(lines(site), key=lambda line: line.entry.on)  # both of one millisecond
    assert (first.entry.on, second.entry.on) == ("cab-01", "cab-02")
    assert first.entry.wish == "out of service until 2030-01-01: Closed for the night."
    assert first.outcome.before == "in service"
    assert first.outcome.after.startswith("out of service until")


def test_a_refund_says_what_was_kept_and_is(site):
    order_id = bought(site)
    site.desk.acts.refund(ROOT, order_id, reason="two did not count", keep_minor=100)
    ((entry, outcome),) = lines(site, on=order_id)
    assert entry.wish == "keep RM 1.00: two did not count"
    assert entry.before == "settled, RM 3.00 kept"
    assert outcome.after.endswith("at most RM 1.00 kept")
    assert (entry.amount, entry.unit) == (200, "myr")
    assert site.store.history(order_id)[-1] is not None
    assert any("command line root" in entry.text for entry in site.store.history(order_id))


def test_what_is_refused_is_written_down_as_refused(site):
    with pytest.raises(UnknownMachine):
        site.desk.acts.machine_set(ROOT, "cab-09", MachineChange(name="x"))
    ((_, outcome),) = lines(site)
    assert outcome.result == "refused"
    assert "no machine cab-09" in outcome.after


def test_an_act_whose_process_dies_stays_without_an_end(site, monkeypatch):
    """The intention is on record before anything happens, and nobody claims to know how it ended."""

    class Died(BaseException):
        pass

    operations = type(site.cloud.operations)
    real = operations.machine_set

    def dies(self, machine_id, change):
        assert [line.outcome for line in lines(site)] == [None]
        real(self, machine_id, change)
        raise Died

    monkeypatch.setattr(operations, "machine_set", dies)
    with pytest.raises(Died):
        site.desk.acts.machine_set(ROOT, "cab-01", MachineChange(name="Pac-Man"))
    ((entry, outcome),) = lines(site)
    assert entry.wish == "name: Pac-Man"
    assert outcome is None
    assert site.store.machine("cab-01").name == "Pac-Man"


def test_what_may_or_may_not_have_been_done_is_not_called_done_or_refused(site):
    site.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        site.desk.acts.machine_set(ROOT, "cab-01", MachineChange(name="Pac-Man"))
    ((_, outcome),) = lines(site)
    assert outcome.result == "unknown"


def test_what_cannot_be_written_down_is_not_done(site):
    site.people.unavailable = True
    with pytest.raises(StoreUnavailable):
        site.desk.acts.machine_set(ROOT, "cab-01", MachineChange(name="Pac-Man"))
    assert site.store.machine("cab-01").name == "Street Fighter II"


def test_an_end_that_cannot_be_written_down_does_not_undo_what_was_done(site, monkeypatch):
    def down(outcome):
        raise StoreUnavailable("down")

    monkeypatch.setattr(site.people, "append_outcome", down)
    _, after = site.desk.acts.machine_set(ROOT, "cab-01", MachineChange(name="Pac-Man"))
    assert after.name == "Pac-Man"
    assert lines(site)[0].outcome is None


def test_a_page_of_what_one_person_did_to_one_thing(site):
    for number in range(7):
        who = ROOT if number % 2 else OWNER
        site.now_ms += 1000
        site.desk.acts.machine_set(who, "cab-01", MachineChange(name=f"number {number}"))
    assert len(lines(site, who="owner", on="cab-01")) == 4
    assert len(site.desk.log.read(3, who="owner", on="cab-01")) == 3
    assert len(lines(site, since_ms=site.now_ms - 2000)) == 3
    assert len(lines(site, who="owner", since_ms=site.now_ms - 2000)) == 2


def test_a_page_of_what_is_rare_goes_on_where_it_stopped_to_look(site, monkeypatch):
    monkeypatch.setattr(audit_log, "PAGE", 2)
    monkeypatch.setattr(audit_log, "PAGES_LOOKED_AT", 2)
    for number in range(7):
        site.now_ms += 1000
        site.desk.acts.machine_set(OWNER, "cab-01", MachineChange(name=f"number {number}"))
        if number in {0, 4}:
            site.now_ms += 1  # what is done in one millisecond has no order
            list(site.desk.acts.machines_close(OWNER, ["cab-01"], reason=f"after {number}"))
    found, pages, before = [], 0, None
    while True:
        page = site.desk.log.page(1, before=before, act=Act.MACHINE_SERVICE)
        found += [line.entry.wish for line in page.lines]
        pages, before = pages + 1, page.older
        if before is None:
            break
    assert len(found) == 2
    assert "after 4" in found[0]
    assert "after 0" in found[1]
    assert pages == 4  # the one of number 4, nothing among four lines, the one of number 0, the end


# --- limits -------------------------------------------------------------------------------------------------


def test_a_manager_gives_so_many_credits_in_a_day_and_an_owner_any_number(site):
    def grant(who: Actor, credits: int, token: str) -> None:
        site.desk.acts.grant(who, "cab-01", credits, reason="free", token=token)

    grant(MANAGER, 3, "a")
    grant(MANAGER, 3, "a")  # the same once more gives nothing more, and counts for nothing
    with pytest.raises(BadRequest, match="limit is 5 credits, and 3 credits of it are used"):
        grant(MANAGER, 3, "b")
    grant(MANAGER, 2, "c")  # what was refused counts for nothing
    with pytest.raises(BadRequest, match="limit"):
        grant(MANAGER, 1, "d")
    grant(OWNER, 40, "e")
    assert len(site.store.recent_orders(50)) == 3
    site.now_ms += 24 * 3_600_000 + 1
    site.say_status("cab-01")
    grant(MANAGER, 5, "f")


def test_a_manager_gives_back_so_much_in_a_day(site):
    first, second = bought(site), bought(site)
    with pytest.raises(BadRequest, match=r"limit is RM 2\.50, and RM 0\.00 of it are used"):
        site.desk.acts.refund(MANAGER, first, reason="all of it")
    assert site.order(first).books.target_minor == 300
    site.desk.acts.refund(MANAGER, first, reason="two", keep_minor=100)
    with pytest.raises(BadRequest, match="limit"):
        site.desk.acts.refund(MANAGER, second, reason="one", keep_minor=200)
    site.desk.acts.refund(OWNER, second, reason="all")


def unclaimed(site: Site, amount_minor: int = 200) -> str:
    """A payment that names an order of ours, and has no mark; its id."""
    shop = site.payments.stripe.visit_shop(amount_minor, metadata={"order_id": site.begin()}, held=True)
    intent = site.payments.stripe.pay(shop)
    site.deliver_events()
    return intent


def test_what_a_manager_gives_back_without_proof_counts_too(site):
    first, second = unclaimed(site, 200), unclaimed(site, 100)
    site.desk.acts.give_back(MANAGER, first)
    with pytest.raises(BadRequest, match=r"limit is RM 2\.50, and RM 2\.00 of it are used"):
        site.desk.acts.give_back(MANAGER, second)
    with pytest.raises(BadRequest, match="limit"):
        site.desk.acts.refund(MANAGER, bought(site), reason="one", keep_minor=200)
    site.desk.acts.give_back(OWNER, second)


def test_credits_that_a_payment_without_proof_does_not_buy_are_free_ones(site):
    paid, more, wrong, last = unclaimed(site, 100), unclaimed(site, 100), unclaimed(site, 70), unclaimed(site, 100)
    site.desk.acts.deliver(MANAGER, paid, "cab-01", 1)  # what was paid for counts for nothing
    with pytest.raises(BadRequest, match="limit is 5 credits, and 0 credits of it are used"):
        site.desk.acts.deliver(MANAGER, more, "cab-01", 7)
    site.desk.acts.deliver(MANAGER, more, "cab-01", 3)
    with pytest.raises(BadRequest, match="2 credits of it are used"):
        site.desk.acts.deliver(MANAGER, wrong, "cab-01", 4)  # it is the price of nothing
    with pytest.raises(UnknownMachine):
        site.desk.acts.deliver(MANAGER, wrong, "cab-99", 1)
    site.desk.acts.deliver(MANAGER, wrong, "cab-01", 3)
    with pytest.raises(BadRequest, match="limit"):
        site.desk.acts.grant(MANAGER, "cab-01", 1, reason="free", token="t")
    site.desk.acts.deliver(OWNER, last, "cab-01", 40)


def test_a_currency_without_a_limit_is_not_without_one_where_others_have_one(site):
    strict = Site(manager_refund_limits={"sgd": 1000})
    order_id = bought(strict)
    with pytest.raises(BadRequest, match="limit"):
        strict.desk.acts.refund(MANAGER, order_id, reason="x")
    free = Site(manager_refund_limits={})
    order_id = bought(free)
    free.desk.acts.refund(MANAGER, order_id, reason="x")


def test_an_act_that_was_cut_short_counts_towards_the_limit(site, monkeypatch):
    class Died(BaseException):
        pass

    def dies(*_args, **_fields):
        raise Died

    monkeypatch.setattr(type(site.cloud.operations), "grant", dies)
    with pytest.raises(Died):
        site.desk.acts.grant(MANAGER, "cab-01", 5, reason="free", token="a")
    monkeypatch.undo()
    with pytest.raises(BadRequest, match="5 credits of it are used"):
        site.desk.acts.grant(MANAGER, "cab-01", 1, reason="free", token="b")


# --- the one place ------------------------------------------------------------------------------------------

CHANGES = {
    *(
        "machine_add",
        "machine_set",
        "take_in",
        "grant",
        "refund",
        "give_back",
        "deliver",
        "dismiss",
        "acknowledge",
    ),
    *("revoke", "set_password", "set_second_factor", "put_machine", "put_person", "book", "move"),
}


def changing_calls(source: str) -> list[str]:
    """Calls that change something, but not by the acts or accounts that check and write down."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = [func for func in calls if isinstance(func, ast.Attribute) and func.attr in CHANGES]
    return [
        ast.unparse(func) for func in named if ast.unparse(func.value).split(".")[-1] not in {"acts", "accounts"}
    ]


def test_commands_and_pages_change_nothing_but_by_acts():
    folders = (PACKAGE / "entrypoints" / "cli", PACKAGE / "web" / "console")
    modules = [path for folder in folders for path in folder.glob("*.py")]
    assert len(modules) >= 30
    assert {path.name: found for path in modules if (found := changing_calls(path.read_text()))} == {}
    assert changing_calls("cloud.services.operations.refund(order_id)") == ["cloud.services.operations.refund"]


def test_what_is_done_with_webhooks_is_written_down_without_what_may_be_secret(site):
    acts = site.desk.acts
    endpoint = acts.endpoint_add(OWNER, "https://shop.example/hook?token=hidden", ["play.delivered"])
    secret = acts.endpoint_secret(OWNER, endpoint.endpoint_id)
    assert acts.endpoint_test(OWNER, endpoint.endpoint_id) is None
    order_id = bought(site)
    (posting,) = site.store.software.postings(endpoint.endpoint_id, 10)
    acts.replay(OWNER, endpoint.endpoint_id, posting.event_id)
    assert acts.replay_since(OWNER, endpoint.endpoint_id, 0, site.now_ms + 1) == 1
    acts.endpoint_remove(OWNER, endpoint.endpoint_id)
    found = lines(site)
    assert [line.entry.act for line in found] == [Act.WEBHOOKS] * 6
    assert all(line.outcome is not None and line.outcome.result == "done" for line in found)
    written = repr(found)
    assert endpoint.endpoint_id in written
    assert "shop.example" in written
    assert "hidden" not in written
    assert secret not in written
    assert order_id not in written
