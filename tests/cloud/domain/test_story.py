"""An order's story, in words for people."""

from arcade_cloud.adapters.stripe.events import EVENT_TYPES
from arcade_cloud.domain.order import HistoryEntry
from arcade_cloud.domain.story import story


def told(event: str, text: str) -> str:
    """The line of the story that an entry of the history makes."""
    entry = HistoryEntry(order_id="ord_1", version=1, at_ms=1, event=event, state="open", text=text)
    (line,) = story([entry])
    return line.text


def test_no_event_of_stripe_s_is_told_by_its_type() -> None:
    assert [name for name in EVENT_TYPES if name in told("PaymentReported", name)] == []
    assert told("PaymentReported", "refund.failed") == "Stripe reported a change: a refund has failed"


def test_what_is_no_event_of_stripe_s_stays_as_it_is() -> None:
    assert told("RefundAsked", "by ann: It sticks") == "a refund was asked for: by ann: It sticks"
