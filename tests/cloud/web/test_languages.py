"""Players read their own language, all of it; nobody else waits for that."""

import html
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.languages import LANGUAGES, chosen
from arcade_cloud.web.languages import CATALOGUES, words_of
from support.catalogues import TRANSLATED, Message, brought_up_to_date, catalogue, compiled, texts, written
from support.orders_shown import orders_in_every_state
from support.site import Site, check_error

BROWSER = {"Accept": "text/html"}
# What no language translates.
NAMES = (
    "Test Arcade",
    "Street Fighter II",
    "cab-0\\d",
    "START",
    "English",
    "Bahasa Melayu",
    "play.example",
    "RM",
    "NO [A-Z2-7]{6}",
)


# --- the catalogues --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_has_every_text_and_no_other(code: str) -> None:
    """`make words` brings it up to date."""
    assert (CATALOGUES / f"{code}.po").read_bytes().decode() == written(brought_up_to_date(code)).decode()
    assert (CATALOGUES / f"{code}.mo").read_bytes() == compiled(catalogue(code))


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_text_is_translated_with_the_same_values(code: str) -> None:
    assert len(texts()) >= 150
    for message in catalogue(code):
        if not message.id:
            continue
        strings = (message.string,) if isinstance(message.string, str) else message.string or ()
        assert strings
        assert not message.fuzzy
        english = message.id if isinstance(message.id, str) else message.id[-1]
        for string in strings:
            assert string.strip() == string != "", english
            assert values(string) == values(english), english


def test_a_text_can_stand_anywhere_on_a_page() -> None:
    """A catalogue is taken for HTML, in attributes too."""
    for code in TRANSLATED:
        for message in (one for one in catalogue(code) if one.id):
            both = (message.id, message.string)
            for text in (part for one in both for part in ((one,) if isinstance(one, str) else one or ())):
                assert not set(text) & set('<>&"'), text


def values(text: str) -> list[str]:
    return sorted(re.findall(r"%\((\w+)\)s", text))


# --- whole pages -----------------------------------------------------------------------------------------


def pages(site: Site) -> Iterator[str]:
    """The addresses of everything that a player or a screen can be shown."""
    site.add_machine("cab-02")
    site.add_machine("cab-03", closure=Closure(since_ms=site.now_ms, until_ms=site.now_ms + 90_000_000))
    site.add_machine("cab-04", closure=Closure(since_ms=site.now_ms, for_good=True))
    site.add_machine("cab-05")
    site.say_status("cab-05", ready=False, reason="coin line")
    for number in range(1, 6):
        yield f"/m/cab-0{number}"
        yield f"/kiosk/cab-0{number}"
    yield from ("/", "/m/nothing", "/nothing", "/m/cab-01/o/nothing", *orders_in_every_state(site).values())
    yield from (f"{path}/receipt" for path in orders_in_every_state(site).values())


def shown(text: str) -> list[str]:
    """Each text of a page: between its elements, and in what is read aloud or shown later."""
    body = re.sub(r"<svg.*?</svg>|<nav.*?</nav>", " ", text, flags=re.S)
    body = re.sub(r"<(\w+)[^>]* hidden>.*?</\1>", " ", body, flags=re.S)
    named = re.findall(r'(?:alt|aria-label|data-lost|data-over)="([^"]*)"', body)
    found = [*re.split(r"<[^>]*>", body), *named]
    return [" ".join(html.unescape(one).split()) for one in found if one.strip()]


def english() -> list[re.Pattern[str]]:
    """Every text as it would read in English, whatever its values."""
    found: list[Message] = list(texts())
    all_of_them = [text for one in found for text in ((one,) if isinstance(one, str) else one)]
    real = [text for text in all_of_them if re.search("[a-z]", re.sub(r"%\(\w+\)s", "", text))]
    return [re.compile(re.sub(r"%\\\(\w+\\\)s", ".+", re.escape(text)) + r"\Z") for text in real]


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_page_has_a_sentence_left_in_english(code: str) -> None:
    site = Site(coins_accepted=True)
    left = english()
    for path in pages(site):
        answer = site.client.get(f"{path}?lang={code}", headers=BROWSER)
        assert f'<html lang="{LANGUAGES[code].tag}">' in answer.text, path
        for text in shown(answer.text):
            assert not any(each.match(text) for each in left), (path, text)
            rest = re.sub("|".join(NAMES), "", text)
            assert code != "zh" or not re.search(r"[A-Za-z]+ [A-Za-z]+", rest), (path, text)


@pytest.mark.parametrize("code", TRANSLATED)
def test_what_keeps_a_page_live_speaks_its_language(code: str) -> None:
    site = Site()
    left = english()
    for path in pages(site):
        page = site.client.get(f"{path}?lang={code}", headers=BROWSER)
        address = re.search(r'data-state-url="([^"]*)"', page.text)
        if address is None or page.status_code != 200:
            continue
        asked = html.unescape(address[1])
        state = site.client.get(asked if "lang=" in asked else f"{asked}&lang={code}").get_json()
        for name in ("title", "detail", "money", "word"):
            text = state.get(name, "")
            assert not any(each.match(text) for each in left), (path, text)
            if name in {"title", "detail", "word"} and text:
                assert html.escape(text, quote=False) in page.text.replace("&#39;", "'"), path


@pytest.mark.parametrize("code", TRANSLATED)
def test_why_nobody_was_charged_is_said_in_the_players_language(code: str) -> None:
    site = Site()
    site.client.set_cookie("lang", code, domain="localhost")
    site.say_status("cab-01", ready=False)
    refused = site.client.post("/m/cab-01/checkout", data={"offer_id": "credit"})
    words = words_of(code)
    said = words.sentences(words.text("This machine is not ready."), words.text("Nothing was charged."))
    assert said in refused.text
    assert (
        words.text("This is no longer sold here.")
        in site.client.post("/m/cab-01/checkout", data={"quantity": "0"}).text
    )


def test_too_many_purchases_say_when_to_try_again_in_the_players_language() -> None:
    site = Site(rate_limit_per_minute=1)
    site.client.set_cookie("lang", "zh", domain="localhost")
    site.client.post("/m/cab-01/checkout")
    answer = site.client.post("/m/cab-01/checkout")
    assert answer.status_code == 429
    assert f"请在 {answer.headers['Retry-After']} 秒后再试" in answer.text


def test_software_reads_english_whatever_it_says_about_languages() -> None:
    site = Site()
    asked = {"Accept-Language": "zh"}
    assert "no machine" in check_error(
        site.client.post("/create-payment-link", json={"machine_id": "cab-99"}, headers=asked), 404
    )
    site.say_status("cab-01", ready=False)
    refused = site.client.post("/create-payment-link", json={"machine_id": "cab-01"}, headers=asked)
    assert check_error(refused, 409) == "This machine is not ready."
    site.store.unavailable = True
    assert check_error(site.client.get("/m/cab-01?format=json", headers=asked), 503).startswith("The database")


# --- which language --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ([], "en"),
        ([None, None], "en"),
        (["de", "fr"], "en"),
        (["zh-CN", "en"], "zh"),
        (["zh-Hant-TW"], "zh"),
        (["en-GB", "ms"], "en"),
        (["de", "MS-my"], "ms"),
        (["xx", "ms", "zh"], "ms"),
        (["*"], "en"),
    ],
)
def test_the_dearest_language_that_there_is_counts(wishes: list[str | None], code: str) -> None:
    assert chosen(("en", "ms", "zh"), wishes) == code


def language_of(site: Site, path: str = "/m/cab-01", **headers: str) -> str:
    answer = site.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    tag = answer.headers["Content-Language"]
    assert f'<html lang="{tag}">' in answer.text
    assert {"Accept-Language", "Cookie"} <= set(answer.vary)
    return tag


def test_a_browser_is_answered_in_its_owners_language() -> None:
    site = Site()
    assert language_of(site) == "en"
    assert language_of(site, Accept_Language="de,zh-CN;q=0.9,en;q=0.8") == "zh-Hans"
    assert language_of(site, Accept_Language="ms;q=0,en") == "en"
    assert language_of(site, Accept_Language=",;;q=x,\u00ff" * 300) == "en"


def test_whoever_takes_another_language_keeps_it() -> None:
    site = Site()
    taken = site.client.get("/m/cab-01?lang=ms", headers={"Accept-Language": "zh"})
    (cookie,) = [one for one in taken.headers.getlist("Set-Cookie") if one.startswith("lang=")]
    assert "lang=ms;" in cookie
    for part in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert part in cookie
    assert language_of(site, Accept_Language="zh") == "ms"
    assert language_of(site, "/m/cab-01?lang=en", Accept_Language="zh") == "en"
    assert language_of(site, Accept_Language="zh") == "en"


@pytest.mark.parametrize("lang", ["", "xx", "../../etc", "zh'\"<x>", "x" * 5000])
def test_a_language_that_there_is_not_changes_nothing(lang: str) -> None:
    answer = Site().client.get("/m/cab-01", query_string={"lang": lang})
    assert answer.headers["Content-Language"] == "en"
    assert not [one for one in answer.headers.getlist("Set-Cookie") if one.startswith("lang=")]


def test_every_page_leads_to_itself_in_the_other_languages() -> None:
    site = Site()
    for path in pages(site):
        text = site.client.get(f"{path}?lang=ms", headers=BROWSER).text
        if path.startswith("/kiosk/"):
            assert "?lang=en" not in text, "nobody taps there"
        else:
            assert ('href="?lang=en"' in text, 'href="?lang=zh"' in text, 'href="?lang=ms"' in text) == (1, 1, 0)


def test_the_operator_chooses_the_languages_and_the_one_for_everybody_else() -> None:
    site = Site(languages=("ms", "en"))
    assert language_of(site) == "ms"
    assert language_of(site, Accept_Language="zh") == "ms"
    assert language_of(site, Accept_Language="en-GB") == "en"
    alone = Site(languages=("zh",)).client.get("/m/cab-01", headers={"Accept-Language": "en"}).text
    assert "<nav" not in alone
    assert '<html lang="zh-Hans">' in alone


# --- a cabinet's screen ----------------------------------------------------------------------------------


def test_a_screen_has_all_of_its_languages_or_the_one_in_its_address() -> None:
    site = Site()
    for path, codes in (("/kiosk/cab-01", "en ms zh"), ("/kiosk/cab-01?lang=ms", "ms")):
        answer = site.client.get(path)
        assert f'data-languages="{codes}"' in answer.text
        assert set(re.findall(r'data-in="(\w+)"', answer.text)) == set(codes.split())
        assert "Set-Cookie" not in answer.headers, "the address counts"
    state = site.client.get("/kiosk/cab-01?format=json&lang=zh").get_json()
    assert (state["language"], state["title"]) == ("zh-Hans", "扫码开玩")


# --- sums, times, numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "money", "yen", "day", "year"),
    [
        ("en", "RM 1234.50", "¥ 300", "28 November", "2 January 2027"),
        ("ms", "RM 1,234.50", "¥ 300", "28 November", "2 Januari 2027"),
        ("zh", "RM 1,234.50", "¥ 300", "11月28日", "2027年1月2日"),
    ],
)
def test_sums_and_days_are_written_as_people_write_them(
    code: str, money: str, yen: str, day: str, year: str
) -> None:
    words = words_of(code)
    assert words.money(123_450, "myr").replace("\u00a0", " ") == money
    assert words.money(300, "jpy").replace("\u00a0", " ") == yen
    assert words.day(datetime(2026, 11, 28), year=False) == day  # noqa: DTZ001 - a day alone
    assert words.day(datetime(2027, 1, 2), year=True) == year  # noqa: DTZ001
    assert words.time(datetime(2027, 1, 2, 18, 5)) == "18:05"  # noqa: DTZ001


def test_sentences_stand_as_their_language_wants_it() -> None:
    assert words_of("en").sentences("One.", "", "Two.") == "One. Two."
    assert words_of("zh").sentences("一。", "", "二。") == "一。二。"


def test_a_reason_in_the_operators_words_stays_theirs() -> None:
    site = Site()
    closure = Closure(since_ms=site.now_ms, reason="Back <soon> at 100 %", until_ms=site.now_ms + 60_000)
    site.add_machine("cab-01", closure=closure)
    page = site.client.get("/m/cab-01?lang=zh").text
    assert "Back &lt;soon&gt; at 100 %。" in page


# --- nobody waits for it ---------------------------------------------------------------------------------


def test_nothing_of_babel_is_loaded_for_english() -> None:
    code = (
        "import sys; from support.site import Site; site = Site()\n"
        "for path in ('/', '/m/cab-01', '/kiosk/cab-01', '/status'):\n"
        "    site.client.get(path, headers={'Accept': 'text/html'})\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] == 'babel'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": "tests"}
    )
    assert done.stdout.strip() == "[]", done.stderr
