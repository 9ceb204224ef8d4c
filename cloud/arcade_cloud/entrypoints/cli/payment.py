"""`arcade-cloud payment`: decide about payments that nobody can prove to be ours."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.asking import is_sure
from arcade_cloud.entrypoints.cli.order_view import line, moment
from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, add_limit, print_list
from arcade_cloud.entrypoints.cli.person import actor
from arcade_shared.command_line import identifier, whole_number
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.money import Payment
    from arcade_cloud.domain.ownership import Unclaimed


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `payment list`, `payment return`, `payment deliver` and `payment dismiss`."""
    payment = commands.add_parser(
        "payment", help="decide about payments that may be meant for this arcade, without proof"
    ).add_subparsers(dest="what", required=True, metavar="list|return|deliver|dismiss")
    listing = payment.add_parser("list", help="list the payments that wait for a decision")
    add_limit(listing, 20)
    add_formats(listing)
    listing.set_defaults(run=_list)
    back = payment.add_parser("return", help="give the money back to whoever paid it")
    back.add_argument("payment_intent", type=identifier, metavar="PAYMENT")
    back.add_argument("--yes", action="store_true", help="do not ask")
    back.set_defaults(run=_return)
    deliver = payment.add_parser("deliver", help="have a machine pulse what was paid for, now")
    deliver.add_argument("payment_intent", type=identifier, metavar="PAYMENT")
    deliver.add_argument(
        "--machine", type=identifier, required=True, metavar="ID", help="the machine that was meant"
    )
    deliver.add_argument(
        "--credits",
        type=whole_number(1),
        metavar="K",
        help="how many; without it, what an offer of the machine sells at this price",
    )
    deliver.add_argument("--yes", action="store_true", help="do not ask")
    deliver.set_defaults(run=_deliver)
    dismiss = payment.add_parser("dismiss", help="take somebody else's payment off the list, and leave it alone")
    dismiss.add_argument("payment_intent", type=identifier, metavar="PAYMENT")
    dismiss.set_defaults(run=_dismiss)


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        found = cloud.services.claims.waiting(options.limit)
    print_list(options, found, _columns(), _fields, _meant)
    return 0


def _columns() -> "Sequence[Column[Unclaimed]]":
    """A table of payments. What was probably meant stands below each."""
    return (
        Column("PAYMENT", lambda payment: payment.payment_intent),
        Column("TIME", lambda payment: moment(payment.at_ms)),
        Column("AMOUNT", _amount, right=True),
        Column("WHY", lambda payment: payment.why, folds=True),
    )


def _amount(payment: "Unclaimed") -> str:
    from arcade_cloud.domain.money import format_amount

    return format_amount(payment.amount_minor, payment.currency)


def _meant(payment: "Unclaimed") -> list[str]:
    lines = []
    if payment.reference:
        lines.append(f"names the machine    {payment.reference!r}")
    if payment.likely_machine not in {"", payment.reference}:
        lines.append(f"probably means       {payment.likely_machine}")
    if payment.price_id is not None:
        lines.append(f"bought               {payment.quantity} × {payment.price_id}")
    return lines


def _fields(payment: "Unclaimed") -> Fields:
    from arcade_cloud.domain.money import plain_amount

    return {
        "paymentIntent": payment.payment_intent,
        "at": format_ms(payment.at_ms),
        "currency": payment.currency.upper(),
        "amount": plain_amount(payment.amount_minor, payment.currency),
        "why": payment.why,
        "reference": payment.reference or None,
        "likelyMachine": payment.likely_machine or None,
        "priceId": payment.price_id,
        "quantity": payment.quantity,
    }


def _return(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        shown = _show(cloud, options.payment_intent)
        act = "cancel this hold" if shown.status == "requires_capture" else "refund this payment"
        _confirm(f"Is it meant for this arcade, and shall Stripe {act}?", options)
        order = cloud.desk.acts.give_back(actor(), options.payment_intent)
        print(line(cloud.store.order(order.order_id) or order))
    return 0


def _deliver(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.money import format_amount
    from arcade_cloud.errors import BadRequest

    with build(settings) as cloud:
        claims = cloud.services.claims
        shown = _show(cloud, options.payment_intent)
        noted, _ = claims.look(options.payment_intent)
        cloud.services.operations.machine(options.machine)  # it says which ids are like it
        credits = options.credits
        if credits is None:
            credits = claims.machine_credits(noted, options.machine)
        if credits is None:
            amount = format_amount(shown.amount_minor, shown.currency)
            raise BadRequest(f"machine {options.machine} sells nothing for {amount}: add --credits")
        _confirm(f"Shall machine {options.machine} pulse {credits} credits for it now?", options)
        order = cloud.desk.acts.deliver(actor(), options.payment_intent, options.machine, credits)
        print(line(cloud.store.order(order.order_id) or order))
    return 0


def _dismiss(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        cloud.desk.acts.dismiss(actor(), options.payment_intent)
    print(f"payment {options.payment_intent} is left alone; only Stripe can move its money")
    return 0


def _show(cloud: "Cloud", payment_intent: str) -> "Payment":
    """Print what is known about the payment; as Stripe shows it now."""
    noted, shown = cloud.services.claims.look(payment_intent)
    print(f"{noted.payment_intent:<30} {moment(noted.at_ms)}  {_amount(noted):<12} {noted.why}")
    print(f"  Stripe shows         {shown.status}", flush=True)
    return shown


def _confirm(question: str, options: argparse.Namespace) -> None:
    """Have the person at the terminal say yes; where there is none, nobody does."""
    from arcade_cloud.errors import BadRequest

    if not options.yes and not is_sure(question):
        raise BadRequest("nothing was done: answer yes, or add --yes")
