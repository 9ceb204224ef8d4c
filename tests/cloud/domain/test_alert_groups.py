"""Alerts of one kind about one machine belong together, whatever order each is about."""

from arcade_cloud.domain.alerts import alert, grouped, of_order


def test_alerts_of_an_order_name_its_machine_and_no_other_alert_does() -> None:
    about_order, about_machine = alert("meter", "ord_1", "one", 1), alert("meter", "cab-01", "all", 2)
    named = of_order((about_order, about_machine), "ord_1", ["cab-01"])
    assert [(one.subject, one.machine_id, one.about) for one in named] == [
        ("ord_1", "cab-01", "cab-01"),
        ("cab-01", "", "cab-01"),
    ]
    assert of_order((about_order,), "ord_1", ["cab-01", "cab-02"]) == (about_order,)
    assert of_order((), "ord_1", ["cab-01"]) == ()


def test_groups_come_in_the_order_of_their_first_and_hold_each_alert_once() -> None:
    (first,) = of_order((alert("meter", "ord_1", "first", 5),), "ord_1", ["cab-01"])
    other = alert("dispute", "ord_1", "disputed", 4)
    second = alert("meter", "cab-01", "out of sale", 3)
    elsewhere = alert("meter", "cab-02", "worn", 2)
    assert grouped([first, other, second, elsewhere]) == [(first, second), (other,), (elsewhere,)]
    assert grouped([]) == []
