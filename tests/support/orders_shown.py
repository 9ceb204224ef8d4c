"""Orders of cab-01 in every state that a player's page shows."""

from support.site import Site


def orders_in_every_state(site: Site) -> dict[str, str]:
    """The paths of their pages, by what these show."""
    pages = {}

    def order(name: str, method: str | None, *acks: tuple[str, int]) -> None:
        site.say_status("cab-01")
        order_id = site.begin(3)
        if method is not None:
            site.pay(order_id, method)
        for state, delivered in acks:
            site.say_ack(order_id, state, delivered)
        site.deliver_events()
        pages[name] = f"/m/cab-01/o/{order_id}"

    order("unpaid", None)
    order("sending", "card")
    order("adding", "card", ("accepted", 0), ("pulsing", 2))
    order("added", "card", ("done", 3))
    order("part-of-a-hold", "card", ("done", 2))
    order("part-refunded", "fpx", ("done", 2))
    order("not-charged", "card", ("done", 0))
    order("refunded", "fpx", ("done", 0))
    return pages
