"""Every promise as its player sees it, at phone size: what the page says at the end, in three languages.

ARCADE_PICTURES=folder keeps a picture of every page.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.tab import TabLimit
from browser.promised import WHAT
from support.chromium import Chromium
from support.served import serve
from support.site import Site

SIZE = (390, 844)
FITS = "document.documentElement.scrollWidth <= innerWidth"
# Everything that the page has loaded: from where, and how much.
LOADED = "performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))"
PAGE_AT_MOST = 30_000

# By what has happened: what a player reads, in English, Malay and Chinese.
SAYS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "delivered": (
        ("6 credits added", "Press START on the machine.", "You paid RM 6.00."),
        ("6 kredit ditambah", "Tekan START pada mesin.", "Anda telah bayar RM 6.00."),
        ("已加 6 个游戏币", "请按机台上的 START。", "您付了 RM 6.00。"),
    ),
    "offline": (
        ("Dance", "This machine is offline."),
        ("Dance", "Mesin ini di luar talian."),
        ("Dance", "这台机台离线了。"),
    ),
    "partial": (
        ("2 of 6 credits added", "You paid only for 2 credits: RM 2.00.", "RM 4.00, has been released."),
        (
            "2 daripada 6 kredit ditambah",
            "Anda hanya bayar untuk 2 kredit: RM 2.00.",
            "RM 4.00, telah dilepaskan.",
        ),
        ("已加 2 个游戏币（共 6 个）", "您只付了 2 个游戏币的钱：RM 2.00。", "RM 4.00 已释放。"),
    ),
    "declined": (
        ("Waiting for your payment", "No payment has arrived yet.", "Go to payment"),
        ("Menunggu bayaran anda", "Bayaran belum diterima.", "Pergi ke pembayaran"),
        ("正在等您付款", "尚未收到付款。", "去付款"),
    ),
    "abandoned": (
        ("You were not charged", "no credits were sent.", "RM 6.00 was not taken."),
        ("Anda tidak dicaj", "tiada kredit dihantar.", "RM 6.00 tidak diambil."),
        ("没有向您扣款", "所以没有发送游戏币。", "没有扣取 RM 6.00。"),
    ),
    "confirming": (
        ("Your bank is confirming the payment", "You do not need to pay again."),
        ("Bank anda sedang mengesahkan bayaran", "Anda tidak perlu bayar sekali lagi."),
        ("您的银行正在确认付款", "您不用再付一次。"),
    ),
    "confirmed": (
        ("6 credits added", "You paid RM 6.00."),
        ("6 kredit ditambah", "Anda telah bayar RM 6.00."),
        ("已加 6 个游戏币", "您付了 RM 6.00。"),
    ),
    "not_confirmed": (
        ("You were not charged", "RM 6.00 was not taken."),
        ("Anda tidak dicaj", "RM 6.00 tidak diambil."),
        ("没有向您扣款", "没有扣取 RM 6.00。"),
    ),
    "refunded": (
        ("Refund started: RM 6.00", "The operator gave all your money back", "You pay nothing."),
        (
            "Bayaran balik dimulakan: RM 6.00",
            "Pengendali memulangkan semua wang anda",
            "Anda tidak bayar apa-apa.",
        ),
        ("已开始退款：RM 6.00", "商家仍把钱全部退给您。", "您不用付钱。"),
    ),
    "disputed": (
        ("You have disputed this payment with your bank. Your bank decides about it.",),
        ("Anda telah mempertikaikan bayaran ini dengan bank anda. Bank anda yang akan membuat keputusan.",),
        ("您已向银行对这笔付款提出争议，由银行决定。",),
    ),
    "claimed": (
        ("You reported that 1 credit did not arrive.", "The operator has been told"),
        ("Anda melaporkan bahawa 1 kredit tidak sampai.", "Pengendali telah dimaklumkan"),
        ("您报告有 1 个游戏币没有收到。", "已通知商家"),
    ),
    "tab_open": (
        ("Your tab: RM 18.00 left", "2 credits added: press START", "Not added: you do not pay for it"),
        ("Tab anda: baki RM 18.00", "2 kredit ditambah: tekan START", "Tidak ditambah: anda tidak bayar untuknya"),
        ("您的账单：还剩 RM 18.00", "已加 2 个游戏币：请按 START", "没加上：不收钱"),
    ),
    "tab_finished": (
        ("You paid RM 4.00 of RM 20.00 held", "You have finished this tab.", "RM 16.00, has been released."),
        ("Anda telah bayar RM 4.00 daripada RM 20.00 yang ditahan", "RM 16.00, telah dilepaskan."),
        ("预授权 RM 20.00，您付了 RM 4.00", "您已结束这张账单。", "RM 16.00 已释放。"),
    ),
    "tab_timed_out": (
        ("You paid RM 2.00 of RM 20.00 held", "Nobody played on this tab for a while"),
        ("Anda telah bayar RM 2.00 daripada RM 20.00 yang ditahan", "kerana sudah lama tiada permainan."),
        ("预授权 RM 20.00，您付了 RM 2.00", "这张账单有一段时间没人玩"),
    ),
    "tab_hold_gone": (
        ("You were not charged", "The money for this tab is no longer held."),
        ("Anda tidak dicaj", "Wang untuk tab ini tidak lagi ditahan."),
        ("没有向您扣款", "这张账单的预授权已不在。"),
    ),
    "tab_refunded": (
        ("You paid RM 4.00, and RM 2.00 of it goes back to you.", "Added, and RM 2.00 given back"),
        ("Anda telah bayar RM 4.00, dan RM 2.00 dipulangkan kepada anda.", "Ditambah, dan RM 2.00 dipulangkan"),
        ("您付了 RM 4.00，其中 RM 2.00 退还给您。", "已加，并退还 RM 2.00"),
    ),
    "tab_disputed": (
        ("You paid RM 2.00 of RM 20.00 held", "You have disputed this payment with your bank."),
        ("Anda telah bayar RM 2.00 daripada RM 20.00 yang ditahan", "Anda telah mempertikaikan bayaran ini"),
        ("预授权 RM 20.00，您付了 RM 2.00", "您已向银行对这笔付款提出争议"),
    ),
    "tab_claimed": (
        ("You reported that 1 credit did not arrive.", "The operator has been told"),
        ("Anda melaporkan bahawa 1 kredit tidak sampai.", "Pengendali telah dimaklumkan"),
        ("您报告有 1 个游戏币没有收到。", "已通知商家"),
    ),
}


@pytest.fixture
def site() -> Iterator[tuple[Site, str]]:
    """A site with tabs, and its address."""
    site = Site(tab_limits=(TabLimit(2000, "myr"),))
    two = Offer(offer_id="two", credits=2, amount_minor=200, currency="myr")
    site.add_machine("cab-01", name="Street Fighter II", offers=(two,))
    site.add_machine("cab-02", name="Dance")
    port, end = serve(site.app)
    try:
        yield site, f"http://127.0.0.1:{port}"
    finally:
        end()


def test_there_is_a_page_for_everything_that_can_happen() -> None:
    assert SAYS.keys() == WHAT.keys()


@pytest.mark.parametrize("what", WHAT)
def test_what_a_player_reads_at_the_end(site: tuple[Site, str], browser: Chromium, what: str) -> None:
    shop, url = site
    path = WHAT[what](shop)
    browser.become(*SIZE)
    for language, wanted in zip(("en", "ms", "zh"), SAYS[what], strict=True):
        browser.go(f"{url}{path}?lang={language}")
        said = " ".join(browser.text().replace("\u00a0", " ").split())
        for words in wanted:
            assert words in said, f"{language}: {said}"
        assert browser.js(FITS), f"{language}: it is wider than the phone"
        assert browser.complaints() == []
        assert browser.js(f"{LOADED}.every(e => e.name.startsWith('{url}'))"), "something came from elsewhere"
        loaded = browser.js(f"{LOADED}.reduce((sum, e) => sum + e.decodedBodySize, 0)")
        assert 0 < loaded <= PAGE_AT_MOST, loaded
        if folder := os.environ.get("ARCADE_PICTURES"):
            browser.picture(Path(folder) / f"promise-{what}-{language}.png", whole=True)
        assert browser.barriers() == []
    browser.go("about:blank")
