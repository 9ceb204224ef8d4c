"""The forms that an order's record can have: which of them this program reads, and which it writes (pure).

A record names its form; a record that names none has the first form. A program reads its own form and those before
it, and writes the form that the store is at. `arcade-cloud store upgrade` brings a store to the next form. Run it
when no process is left that does not know that form. A record gets the new form at its next step. Until the
upgrade, old and new processes work side by side, and a downgrade is possible.

A form that this program does not know is never read, so it is never overwritten. The same is true of unknown
fields: no field is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from arcade_cloud.adapters.store import form_1
from arcade_cloud.domain.order import Order
from arcade_cloud.errors import FormTooNew, InvariantBroken


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a record.

    Attributes:
        read: Turns a record into an order. Besides InvariantBroken, it raises the errors of msgspec's decoder.
        write: Turns an order into a record.
    """

    number: int
    read: Callable[[bytes], Order]
    write: Callable[[Order], bytes]


class _Record2(Struct, frozen=True, forbid_unknown_fields=True):
    form: int
    order: Order


class _Said(Struct, frozen=True):
    """What a record says about its form."""

    form: int = 1


_RECORD_2 = msgspec.json.Decoder(_Record2)
_SAID = msgspec.json.Decoder(_Said)
_ENCODER = msgspec.json.Encoder()

FORM_1 = Form(1, form_1.read, form_1.write)
FORM_2 = Form(2, lambda record: _RECORD_2.decode(record).order, lambda order: _ENCODER.encode(_Record2(2, order)))


class Forms:
    """All forms that a program knows, oldest first. The last is its own."""

    def __init__(self, *forms: Form) -> None:
        self._forms = {form.number: form for form in forms}
        self.newest = forms[-1].number

    def check(self, number: int, what: str) -> None:
        """Check that a form is not newer than this program.

        Raises:
            FormTooNew: It is.
        """
        if number > self.newest:
            raise FormTooNew(
                f"{what} has form {number}, and this program knows forms up to {self.newest}: "
                "install the newer version of Arcade STEM again"
            )

    def read(self, record: bytes, what: str) -> Order:
        """The order in a record.

        Raises:
            FormTooNew: The record's form is newer than this program.
            InvariantBroken: The record cannot be read, or its fields contradict each other.
        """
        try:
            number = _SAID.decode(record).form
            self.check(number, what)
            if number not in self._forms:
                raise InvariantBroken(f"{what}: there is no form {number}")
            return self._forms[number].read(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvariantBroken(f"{what}: the stored record cannot be read: {error}") from error

    def write(self, order: Order, number: int) -> bytes:
        """The record of an order, for a store at that form.

        Raises:
            FormTooNew: The form is newer than this program.
            InvariantBroken: That form cannot hold the order.
        """
        self.check(number, "the store")
        return self._forms[number].write(order)


FORMS = Forms(FORM_1, FORM_2)
