"""Products, prices and payment links of the stand-in for Stripe, and the lines that a purchase is made of."""

from typing import Any

from arcade_sandbox.stripe import objects as shapes
from arcade_sandbox.stripe.currencies import check_step
from arcade_sandbox.stripe.errors import StripeRefusal, missing_parameter
from arcade_sandbox.stripe.state import StripeState, random_letters

Json = dict[str, Any]


def create_product(state: StripeState, params: Json, now_s: int) -> Json:
    """A product. The parameters are checked (`PRODUCT_CREATE`)."""
    made = shapes.product(
        state.new_id("product"), now_s, params["name"], params.get("description"), params.get("metadata", {})
    )
    made["images"] = params.get("images", [])
    made["active"] = params.get("active", True)
    return state.put("product", made)


def create_price(state: StripeState, params: Json, now_s: int, price_id: str | None = None) -> Json:
    """A price (`PRICE_CREATE`).

    Args:
        price_id: For seeding: Stripe itself chooses the id.

    Raises:
        StripeRefusal: Not exactly one of `product` and `product_data` is given, the product is not on record, or
            the currency has no such amount.
    """
    if ("product" in params) == ("product_data" in params):
        raise StripeRefusal(
            "You must specify exactly one of `product` or `product_data`.",
            code="parameter_missing",
            param="product",
        )
    check_step(params["unit_amount"], params["currency"], "unit_amount")
    if "product" in params:
        product_id = state.find("product", params["product"], "product")["id"]
    else:
        product_id = create_product(state, params["product_data"], now_s)["id"]
    new_id = price_id or state.new_id("price")
    made = shapes.price(new_id, now_s, product_id, params["unit_amount"], params["currency"])
    made["nickname"] = params.get("nickname")
    made["metadata"] = params.get("metadata", {})
    made["lookup_key"] = params.get("lookup_key")
    made["active"] = params.get("active", True)
    if "recurring" in params:
        made["type"] = "recurring"
        made["recurring"] = {
            "interval": params["recurring"]["interval"],
            "interval_count": 1,
            "usage_type": "licensed",
        }
    state.put("price", made)
    state.emit("price.created", made, now_s)
    return made


def update_price(state: StripeState, price_id: str, params: Json, now_s: int) -> Json:
    """Change what may change of a price: whether it is active, its nickname, its metadata."""
    found = state.find("price", price_id, "price")
    found["active"] = params.get("active", found["active"])
    found["nickname"] = params.get("nickname", found["nickname"])
    found["metadata"] = {**found["metadata"], **params.get("metadata", {})}
    state.emit("price.updated", found, now_s)
    return found


def purchase_lines(state: StripeState, items: list[Json] | None, now_s: int) -> list[Json]:
    """The line items that a session or a link asks for, with their prices.

    Raises:
        StripeRefusal: There are no items, an item cannot be sold, or the items differ in currency.
    """
    if not items:
        raise missing_parameter("line_items")
    lines = [_line(state, item, f"line_items[{index}]", now_s) for index, item in enumerate(items)]
    currencies = {line["currency"] for line in lines}
    if len(currencies) > 1:
        raise StripeRefusal(
            "All line items must have the same currency: received " + " and ".join(sorted(currencies)) + ".",
            param="line_items",
        )
    return lines


def _line(state: StripeState, item: Json, param: str, now_s: int) -> Json:
    if ("price" in item) == ("price_data" in item):
        raise StripeRefusal(
            "You must specify exactly one of `price` or `price_data` for each line item.",
            code="parameter_missing",
            param=f"{param}[price]",
        )
    if "quantity" not in item:
        raise StripeRefusal(
            f"Quantity is required. Add `quantity` to `{param}`.",
            code="parameter_missing",
            param=f"{param}[quantity]",
        )
    if "price" in item:
        price = state.find("price", item["price"], f"{param}[price]")
    else:
        wanted = item["price_data"]
        chosen = {name: wanted[name] for name in ("product", "product_data") if name in wanted}
        price = create_price(
            state, {"currency": wanted["currency"], "unit_amount": wanted["unit_amount"], **chosen}, now_s
        )
        # A price made in passing can be used this once only.
        price["active"] = False
    if "price" in item and not price["active"]:
        raise StripeRefusal(
            "The price specified is inactive. This field only accepts active prices.", param=f"{param}[price]"
        )
    if price["type"] == "recurring":
        raise StripeRefusal(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or "
            "use only one-time prices.",
            param=f"{param}[price]",
        )
    name = state.tables["product"][price["product"]]["name"]
    return shapes.line_item(state.new_id("item"), price, name, item["quantity"])


def create_link(state: StripeState, params: Json, now_s: int) -> Json:
    """A payment link: a fixed address at which anybody may buy these lines, as often as they like."""
    lines = purchase_lines(state, params["line_items"], now_s)
    link_id = state.new_id("payment_link")
    made = shapes.payment_link(link_id, f"{state.base_url}/b/test_{random_letters(17)}", lines[0]["currency"])
    made["metadata"] = params.get("metadata", {})
    made["payment_intent_data"] = params.get("payment_intent_data")
    made["payment_method_types"] = params.get("payment_method_types")
    made["payment_method_options"] = params.get("payment_method_options")
    made["submit_type"] = params.get("submit_type", "auto")
    made["inactive_message"] = params.get("inactive_message")
    made["after_completion"] = _after_completion(params.get("after_completion"))
    state.line_items[link_id] = lines
    state.put("payment_link", made)
    state.emit("payment_link.created", made, now_s)
    return made


def _after_completion(wanted: Json | None) -> Json:
    if wanted is None or wanted["type"] == "hosted_confirmation":
        message = (wanted or {}).get("hosted_confirmation", {}).get("custom_message")
        return {"hosted_confirmation": {"custom_message": message}, "type": "hosted_confirmation"}
    if "redirect" not in wanted:
        raise missing_parameter("after_completion[redirect]")
    return {"redirect": {"url": wanted["redirect"]["url"]}, "type": "redirect"}


def update_link(state: StripeState, link_id: str, params: Json, now_s: int) -> Json:
    """Switch a link on or off, or change its metadata."""
    found = state.find("payment_link", link_id, "payment_link")
    found["active"] = params.get("active", found["active"])
    found["inactive_message"] = params.get("inactive_message", found["inactive_message"])
    found["metadata"] = {**found["metadata"], **params.get("metadata", {})}
    state.emit("payment_link.updated", found, now_s)
    return found
