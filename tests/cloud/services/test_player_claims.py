"""A player's claim is written down once, granted at once within limits or shown to a person, and answered."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.people import Actor, Role
from arcade_cloud.domain.player_claims import (
    AT_ONCE_A_DAY,
    AT_ONCE_MACHINE,
    MACHINE_A_DAY,
    PHONE_A_DAY,
    PLAYER,
    WITHIN_MS,
)
from arcade_cloud.errors import BadRequest, Forbidden, StoreUnavailable
from arcade_cloud.services.player_claims import AT_ONCE, EVERY_MS, PlayerClaims
from support.site import Site

OWNER = Actor(name="ann", role=Role.OWNER, second_factor=True)
SIX = Offer(offer_id="six", credits=6, amount_minor=1000, currency="myr")


@pytest.fixture
def site() -> Site:
    made = Site(claim_limits={"myr": 200})
    made.add_machine("cab-02", offers=(SIX,))
    return made


def played(site: Site, credits: int = 3, machine_id: str = "cab-01", **said) -> str:
    """An order that was paid, delivered and captured; its id. A credit costs RM 1.00."""
    site.say_status(machine_id)
    order_id = site.begin(credits, machine_id)
    site.pay(order_id)
    ordered = site.order(order_id).ordered
    site.say_ack(order_id, delivered=said.pop("delivered", ordered), **said)
    site.deliver_events()
    assert site.order(order_id).state == "settled"
    return order_id


def kept(site: Site, order_id: str) -> int:
    """What Stripe shows as kept."""
    site.deliver_events()
    site.cloud.fulfilment.run_once()
    found: int = site.payments.stripe.money_of(str(site.order(order_id).payment_intent))["kept"]
    return found


def alerts(site: Site) -> list[str]:
    return [alert.subject for alert in site.store.standing_alerts(100) if alert.kind == "player_claim"]


def restarted(site: Site) -> PlayerClaims:
    """The claims in a new process."""
    known = site.player_claims
    return PlayerClaims(
        operations=known.operations, alerts=known.alerts, log=known.log, limits=known.limits, now_ms=known.now_ms
    )


# --- granted at once -----------------------------------------------------------------------------------------


def test_a_small_claim_is_granted_at_once_and_stands_in_the_log(site):
    order_id = played(site)
    claim = site.player_claims.claim(order_id, 2, "phone")
    assert (claim.state, claim.answer, claim.claimed.back_minor) == ("granted", AT_ONCE, 200)
    assert kept(site, order_id) == 100
    assert site.order(order_id).books.goodwill_minor == 200
    said, refund = sorted(site.desk.log.read(9, on=order_id), key=lambda line: line.entry.amount)
    assert (refund.entry.who, refund.entry.act, refund.entry.amount, refund.end) == (PLAYER, "refund", 200, "done")
    assert (said.entry.who, said.entry.wish, said.end) == (
        PLAYER,
        "2 of 3 credits did not arrive: RM 2.00",
        "done",
    )
    assert alerts(site) == []
    assert site.player_claims.listed(9) == []
    assert len(site.player_claims.listed(9, only_waiting=False)) == 1


def test_however_often_it_is_sent_it_counts_once(site):
    order_id = played(site)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: site.player_claims.claim(order_id, 1, "phone"), range(6)))
    site.player_claims.claim(order_id, 2, "phone")  # nor does another number change it
    assert {claim.line.entry.entry_id for claim in found} == {found[0].line.entry.entry_id}
    assert kept(site, order_id) == 200
    assert len(site.player_claims.listed(9, only_waiting=False)) == 1


@pytest.mark.parametrize("dies_in", ["append_outcome", "begin the refund", "end the refund"])
def test_a_process_that_dies_in_between_is_followed_by_the_timer(site, monkeypatch, dies_in):
    class Died(BaseException):
        pass

    def dies(*_args, **_named):
        raise Died

    order_id = played(site)
    with monkeypatch.context() as patch:
        if dies_in == "append_outcome":
            patch.setattr(site.people, "append_outcome", dies)
        elif dies_in == "begin the refund":
            patch.setattr(type(site.cloud.operations), "refund", dies)
        else:
            patch.setattr(type(site.player_claims), "_answer", dies)
        with pytest.raises(Died):
            site.player_claims.claim(order_id, 1, "phone")
    again = restarted(site)
    again.run_once()
    assert [claim.state for claim in again.listed(9, only_waiting=False)] == ["granted"]
    assert kept(site, order_id) == 200
    assert alerts(site) == []
    site.now_ms += EVERY_MS
    again.run_once()
    assert kept(site, order_id) == 200


def test_what_cannot_be_written_down_is_not_granted(site):
    order_id = played(site)
    site.people.unavailable = True
    with pytest.raises(StoreUnavailable):
        site.player_claims.claim(order_id, 1, "phone")
    site.people.unavailable = False
    site.player_claims.run_once()
    assert kept(site, order_id) == 300


# --- a person decides ----------------------------------------------------------------------------------------


def test_without_a_limit_a_person_decides():
    site = Site()
    order_id = played(site)
    assert site.player_claims.claim(order_id, 1, "phone").state == "waits"
    assert alerts(site) == [order_id]
    assert kept(site, order_id) == 300
    (claim,) = site.player_claims.listed(9)
    assert claim.meter == "no coin meter has counted them"
    restarted(site).run_once()
    assert alerts(site) == [order_id]


def test_more_than_the_limit_waits(site):
    order_id = played(site)
    assert site.player_claims.claim(order_id, 3, "phone").state == "waits"
    assert kept(site, order_id) == 300


def test_a_limit_in_another_currency_is_none():
    site = Site(claim_limits={"sgd": 10_000})
    assert site.player_claims.claim(played(site), 1, "phone").state == "waits"


def test_what_the_coin_meter_registered_is_not_granted_at_once(site):
    counted, missed = played(site, registered=3), played(site, registered=1)
    assert site.player_claims.claim(counted, 1, "one").state == "waits"
    assert site.player_claims.claim(counted, 1, "one").meter == "the coin meter registered 3 of 3"
    assert site.player_claims.claim(missed, 2, "two").state == "granted"


def test_a_second_claim_of_one_phone_and_many_for_one_machine_wait(site):
    assert site.player_claims.claim(played(site), 1, "phone").state == "granted"
    assert site.player_claims.claim(played(site), 1, "phone").state == "waits"
    found = [
        site.player_claims.claim(played(site), 1, f"phone {number}").state for number in range(AT_ONCE_MACHINE)
    ]
    assert found == ["granted"] * (AT_ONCE_MACHINE - 2) + ["waits"] * 2
    site.now_ms += 24 * 3_600_000 + 1
    assert site.player_claims.claim(played(site), 1, "phone").state == "granted"


def test_what_is_granted_at_once_in_a_day_has_a_limit(site, monkeypatch):
    monkeypatch.setattr("arcade_cloud.domain.player_claims.AT_ONCE_MACHINE", 1000)
    found = [
        site.player_claims.claim(played(site), 2, f"phone {number}").state for number in range(AT_ONCE_A_DAY + 2)
    ]
    assert found == ["granted"] * AT_ONCE_A_DAY + ["waits"] * 2


def test_a_person_grants_it_by_a_refund(site):
    order_id = played(site)
    site.player_claims.claim(order_id, 3, "phone")
    site.desk.acts.refund(OWNER, order_id, reason="3 credits did not arrive")
    claim = site.player_claims.of(site.order(order_id))
    assert (claim.state, claim.answer) == ("granted", "money was given back by ann")
    assert alerts(site) == []
    assert kept(site, order_id) == 0


def test_a_person_declines_it_once_with_a_reason(site):
    order_id = played(site)
    with pytest.raises(BadRequest, match="no player has claimed"):
        site.desk.acts.decline(OWNER, order_id, reason="why")
    site.player_claims.claim(order_id, 3, "phone")
    for wrong in ("", "\n", "x" * 301):
        with pytest.raises(BadRequest):
            site.desk.acts.decline(OWNER, order_id, reason=wrong)
    for role in (Role.TECHNICIAN, Role.VIEWER):
        with pytest.raises(Forbidden):
            site.desk.acts.decline(Actor(name="bob", role=role, second_factor=True), order_id, reason="no")
    site.desk.acts.decline(OWNER, order_id, reason="The camera shows three games")
    with pytest.raises(BadRequest, match="answered before"):
        site.desk.acts.decline(OWNER, order_id, reason="again")
    claim = site.player_claims.claim(order_id, 3, "phone")
    assert (claim.state, claim.answer) == ("declined", "The camera shows three games")
    assert (alerts(site), kept(site, order_id)) == ([], 300)
    restarted(site).run_once()
    assert alerts(site) == []


def test_a_refund_after_it_was_declined_does_not_change_the_answer(site):
    order_id = played(site)
    site.player_claims.claim(order_id, 3, "phone")
    site.desk.acts.decline(OWNER, order_id, reason="no")
    site.desk.acts.refund(OWNER, order_id, reason="after all")
    assert site.player_claims.of(site.order(order_id)).state == "declined"


# --- what cannot be claimed ----------------------------------------------------------------------------------


def test_only_what_was_delivered_paid_and_kept_can_be_claimed_and_not_for_ever(site):
    order_id = played(site, delivered=2)
    for credits in (0, -1, 3):
        with pytest.raises(BadRequest, match="a number from 1 to 2"):
            site.player_claims.claim(order_id, credits, "phone")
    site.now_ms += WITHIN_MS + 1
    with pytest.raises(BadRequest, match="no longer be reported"):
        site.player_claims.claim(order_id, 1, "phone")


def test_what_is_under_way_free_given_back_or_disputed_cannot_be_claimed(site):
    under_way = site.begin(2)
    site.pay(under_way)
    nothing, back, disputed = played(site, delivered=0), played(site), played(site)
    free = site.cloud.operations.grant("cab-01", 1, by="ann", reason="x", token="t").order_id
    site.say_ack(free, delivered=1)
    site.desk.acts.refund(OWNER, back, reason="goodwill", keep_minor=200)
    site.deliver_events()
    site.payments.stripe.open_dispute(site.order(disputed).payment_intent)
    site.deliver_events()
    for order_id in (site.begin(1), under_way, nothing, free, back, disputed):
        with pytest.raises(BadRequest):
            site.player_claims.claim(order_id, 1, "phone")
    assert site.player_claims.listed(9, only_waiting=False) == []


def test_never_more_goes_back_than_the_credits_cost(site):
    order_id = played(site, 1, "cab-02", delivered=5)  # RM 8.33 of RM 10.00
    claim = site.player_claims.claim(order_id, 5, "phone")
    assert (claim.claimed.back_minor, claim.claimed.keep_minor) == (833, 0)
    other = site.player_claims.claim(played(site, 1, "cab-02"), 1, "two")
    assert (other.claimed.back_minor, other.claimed.keep_minor) == (166, 834)


def test_a_phone_and_a_machine_have_so_many_claims_a_day(site):
    for _ in range(PHONE_A_DAY):
        site.player_claims.claim(played(site), 1, "phone")
    with pytest.raises(BadRequest, match="Too many"):
        site.player_claims.claim(played(site), 1, "phone")
    for number in range(MACHINE_A_DAY - PHONE_A_DAY):
        site.player_claims.claim(played(site), 1, f"phone {number}")
    with pytest.raises(BadRequest, match="Too many"):
        site.player_claims.claim(played(site), 1, "new")
    assert site.player_claims.claim(played(site, 1, "cab-02"), 1, "new").state == "granted"


# --- game overs ----------------------------------------------------------------------------------------------


def test_a_game_over_between_credits_and_claim_leaves_it_to_a_person(site):
    order_id = played(site)
    site.now_ms += 120_000
    site.say_game_over()
    site.now_ms += 1_000
    claim = site.player_claims.claim(order_id, 1, "phone")
    assert claim.state == "waits"
    assert "game over once after the credits, before the claim" in claim.known
    (alert,) = [one for one in site.store.standing_alerts(9) if one.kind == "player_claim"]
    assert "game over once after the credits" in alert.text
    assert "the machine has signalled game over since" in alert.text
    assert kept(site, order_id) == 300
    site.now_ms += 3_600_000
    site.say_game_over()  # later ones do not count
    assert "game over once" in site.player_claims.listed(9)[0].known


def test_a_game_over_before_the_credits_is_of_somebody_else(site):
    site.say_game_over()
    site.now_ms += 1_000
    order_id = played(site)
    claim = site.player_claims.claim(order_id, 1, "phone")
    assert claim.state == "granted"
    assert "no game over between the credits and the claim" in claim.known


def test_a_machine_that_sends_no_game_overs_is_not_judged_by_that(site):
    order_id = played(site)
    claim = site.player_claims.claim(order_id, 1, "phone")
    assert (claim.state, claim.game_overs) == ("granted", "")
    assert claim.known == "no coin meter has counted them"
