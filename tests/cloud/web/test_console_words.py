"""How the console writes what machines, Stripe and the books say."""

from typing import get_args

from arcade_cloud.domain.alerts import AlertKind, ConditionKind, alert
from arcade_cloud.web.console import words


def test_every_alert_has_a_title_in_words() -> None:
    kinds = {*get_args(AlertKind), *get_args(ConditionKind)}
    assert set(words.ALERT_TITLES) == kinds
    assert len(set(words.ALERT_TITLES.values())) == len(kinds)
    assert words.alert_title(alert("meter", "cab-01", "…", 1)) == "Coin meter"


def test_what_stands_between_backticks_is_code_and_nothing_in_it_is_markup() -> None:
    assert words.coded("run `arcade-edge pulse` there") == "run <code>arcade-edge pulse</code> there"
    assert words.coded("`<b>` & <i>") == "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"
    assert words.coded("one ` alone <i>") == "one ` alone &lt;i&gt;"


def test_nothing_is_no_sum_and_less_than_nothing_has_its_sign_in_front() -> None:
    assert [words.money(minor, "myr") for minor in (-450, 450)] == ["-RM 4.50", "RM 4.50"]
    assert [words.some(minor, "myr") for minor in (0, 1)] == ["", "RM 0.01"]
