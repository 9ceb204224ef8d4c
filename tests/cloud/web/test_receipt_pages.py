"""A player's receipt, and the console's list of a month's receipts: figures come from whole purchases."""

import csv
import io
import re
from datetime import date
from zoneinfo import ZoneInfo

import pytest

from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.people import Role
from arcade_cloud.domain.receipts import Issuing
from arcade_cloud.services.receipts import ISSUE_EVERY_S
from support.console import Console
from support.orders import only_payment
from support.site import Site

ISSUER = ("Happy Arcade Sdn Bhd", "12 Jalan <Kelapa>, Kuala Lumpur", "SST W10-1808-32000123")
SEPTEMBER = date(2026, 9, 1), date(2026, 9, 30)  # of START_MS


@pytest.fixture
def site() -> Site:
    return Site(
        issuing=Issuing(prefix="A-", tax_bp=800), receipt_issuer=ISSUER, timezone=ZoneInfo("Asia/Kuala_Lumpur")
    )


def sold(site: Site, quantity: int = 3, delivered: int | None = None, method: str = "card") -> str:
    site.say_status("cab-01")
    order_id = site.begin(quantity)
    site.pay(order_id, method)
    site.say_ack(order_id, delivered=quantity if delivered is None else delivered)
    site.now_ms += 10_000
    site.cloud.fulfilment.run_once()
    assert site.order(order_id).state == "settled"
    return order_id


def numbered(site: Site) -> None:
    site.now_ms += 1000 * ISSUE_EVERY_S
    site.cloud.receipts.run_once()


def text_of(site: Site, order_id: str, status: int = 200) -> str:
    """What a receipt's page says, without its mark-up."""
    answer = site.client.get(f"/m/cab-01/o/{order_id}/receipt")
    assert (answer.status_code, answer.mimetype) == (status, "text/html")
    assert "<Kelapa>" not in answer.text
    main = answer.text.partition("<main")[2]
    return " ".join(re.sub(r"<[^>]*>", " ", "<main" + main).replace("\u00a0", " ").split())


def test_a_receipt_says_who_sold_what_when_for_how_much_with_which_tax_and_how_it_was_paid(site: Site) -> None:
    order_id = sold(site, 5, delivered=4)
    numbered(site)
    text = text_of(site, order_id)
    for part in (
        "Receipt A-1 Happy Arcade Sdn Bhd 12 Jalan &lt;Kelapa&gt;, Kuala Lumpur SST W10-1808-32000123",
        "Date and time 2026-09-21 22:13 Asia/Kuala_Lumpur",
        f"Order code {site.order(order_id).code}",
        "Street Fighter II 4 of 5 credits RM 4.00",
        "Total RM 4.00",
        "Of that 8 % tax RM 0.30",
        "Paid by card ending in 4242",
        f"Your card's statement shows this payment with NO {site.order(order_id).code} after our name",
    ):
        assert part in text
    assert "Refunded" not in text
    assert "in the end" not in text


def test_sums_are_written_as_in_the_player_s_language(site: Site) -> None:
    offer = Offer(offer_id="party", credits=5, amount_minor=150_000, currency="myr")
    site.add_machine("cab-01", name="Street Fighter II", offers=(offer,))
    order_id = sold(site, 1, delivered=5)
    answer = site.client.get(f"/m/cab-01/o/{order_id}/receipt?lang=ms")
    assert "RM\u00a01,500.00" in answer.text


def test_what_the_statement_shows_is_what_the_receipt_says(site: Site) -> None:
    order_id = sold(site)
    with site.payments.stripe.world.world() as (state, _):
        (charge,) = state.tables["charge"].values()
    assert charge["calculated_statement_descriptor"] == f"ARCADE* NO {site.order(order_id).code}"


def test_without_the_setting_neither_has_the_code() -> None:
    site = Site(statement_suffix=False)
    order_id = sold(site)
    with site.payments.stripe.world.world() as (state, _):
        (charge,) = state.tables["charge"].values()
    assert charge["calculated_statement_descriptor"] == "ARCADE"
    assert "statement" not in text_of(site, order_id)


def test_an_account_that_takes_no_suffix_sells_all_the_same(site: Site) -> None:
    """The longest prefix leaves room for it; a longer one cannot be, but whatever Stripe refuses costs no sale."""
    site.payments.stripe.world.set_rules(statement_prefix="W" * 12)
    first, second = sold(site), sold(site)
    with site.payments.stripe.world.world() as (state, _):
        charges = list(state.tables["charge"].values())
    assert [charge["statement_descriptor_suffix"] for charge in charges] == [None, None]
    assert {site.order(first).state, site.order(second).state} == {"settled"}


def test_the_order_s_page_leads_to_it_and_it_leads_back(site: Site) -> None:
    order_id = sold(site)
    path = f"/m/cab-01/o/{order_id}"
    assert f'href="{path}/receipt"' in site.client.get(path).text
    assert f'href="{path}"' in site.client.get(f"{path}/receipt").text


def test_the_number_follows_and_the_page_says_so(site: Site) -> None:
    order_id = sold(site)
    assert text_of(site, order_id).startswith("Receipt The number of this receipt follows within a minute.")
    numbered(site)
    assert text_of(site, order_id).startswith("Receipt A-1 Happy")


def test_refunds_are_on_it_with_their_days_and_the_receipt_stays_what_it_was(site: Site) -> None:
    order_id = sold(site)
    numbered(site)
    site.now_ms += 40 * 86_400_000
    site.cloud.operations.refund(order_id, by="ann", reason="The button sticks", keep_minor=200)
    site.deliver_events()
    text = text_of(site, order_id)
    assert "Receipt A-1" in text
    assert "Total RM 3.00 Of that 8 % tax RM 0.22" in text
    assert "Refunded on 2026-10-31 −RM 1.00 You paid in the end RM 2.00" in text


def test_what_the_bank_took_back_is_no_refund(site: Site) -> None:
    order_id = sold(site)
    numbered(site)
    intent = only_payment(site.order(order_id)).payment_intent or ""
    site.payments.stripe.open_dispute(intent)
    site.deliver_events()
    site.payments.stripe.close_dispute(intent, "lost")
    site.deliver_events()
    assert "Returned by your bank on 2026-09-21 −RM 3.00 You paid in the end RM 0.00" in text_of(site, order_id)


def test_without_tax_and_issuer_there_is_no_tax_line_and_the_site_s_name() -> None:
    site = Site()
    order_id = sold(site, method="fpx")
    numbered(site)
    text = text_of(site, order_id)
    assert text.startswith("Receipt 1 Test Arcade Date and time")
    assert "Paid by FPX Back" in text
    assert "tax" not in text


def test_who_paid_nothing_reads_why_there_is_none(site: Site) -> None:
    nothing, waits = sold(site, delivered=0), site.begin(1)
    free = site.cloud.operations.grant("cab-01", 2, by="ann", reason="sorry", token="form-1").order_id
    assert text_of(site, nothing).startswith("No receipt You paid nothing for this order.")
    assert text_of(site, free).startswith("No receipt These credits were free.")
    assert text_of(site, waits).startswith("No receipt This order is not finished yet.")
    assert "to-receipt" not in site.client.get(f"/m/cab-01/o/{free}").text


def test_an_order_from_before_there_were_receipts_has_one_without_a_number(site: Site) -> None:
    order_id = sold(site)
    (due,) = site.store.receipts.due(5)
    site.store.receipts._due.clear()  # as an older version would have left it
    assert "from a time when receipts had no numbers" in text_of(site, order_id)
    assert due.order_id == order_id


@pytest.mark.parametrize("path", ["/m/cab-01/o/ord_none/receipt", "/m/cab-09/o/ord_none/receipt"])
def test_of_no_order_there_is_none(site: Site, path: str) -> None:
    answer = site.client.get(path)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")


def test_another_machine_s_address_does_not_show_it(site: Site) -> None:
    order_id = sold(site)
    site.add_machine("cab-02")
    assert site.client.get(f"/m/cab-02/o/{order_id}/receipt").status_code == 404


# the console


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_console_gives_a_month_s_receipts_and_totals_that_are_its_takings(site: Site) -> None:
    for quantity in (1, 2, 5):
        last = sold(site, quantity)
    numbered(site)
    site.cloud.operations.refund(last, by="ann", reason="The button sticks", keep_minor=200)
    site.deliver_events()
    console = Console(site, Role.VIEWER)
    month = "2026-09"
    page = console.get(f"/console/takings?last={month}-21").text
    for name in ("receipts", "receipts-summary"):
        assert f'href="/console/takings/{name}.csv?month={month}"' in page
    answer = console.get(f"/console/takings/receipts.csv?month={month}")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="receipts-{month}.csv"'
    found = rows(answer.text)
    assert [(row["document"], row["kind"], row["receipt"], row["amount"], row["tax"]) for row in found] == [
        ("A-1", "receipt", "A-1", "1.00", "0.07"),
        ("A-2", "receipt", "A-2", "2.00", "0.15"),
        ("A-3", "receipt", "A-3", "5.00", "0.37"),
        ("A-3/2", "credit note", "A-3", "-3.00", "-0.22"),
    ]
    (total,) = rows(console.get(f"/console/takings/receipts-summary.csv?month={month}").text)
    assert (total["numbers"], total["receipts"], total["notes"], total["waiting"]) == ("A-1 – A-3", "3", "1", "0")
    assert (total["received"], total["noted"], total["amount"], total["tax"], total["net"]) == (
        "8.00",
        "-3.00",
        "5.00",
        "0.37",
        "4.63",
    )
    (taken,) = site.cloud.takings.report(*SEPTEMBER, "month").totals()
    assert taken.sums.kept_minor == 500


def test_a_month_that_is_none_is_refused(site: Site) -> None:
    assert Console(site, Role.VIEWER).get("/console/takings/receipts.csv?month=x").status_code == 422
