"""The forms that an order's record can have: which of them this program reads, and which it writes (pure).

A record says which form it has (the first form does not, and is known by that). A program reads its own form and
those before it, and writes its own or the one before: whichever the store is at. A store is brought to the next
one by `arcade-cloud store upgrade`, once no process is left that does not know it; a record gets the new form at
its next step. So old and new processes work side by side until then, and the way back is open.

A form that this program does not know is never read, and so never written over. The same holds for fields that it
does not know: no field is lost.
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
    """One form: `read` and `write` turn a record into an order and back. `read` raises what msgspec raises."""

    number: int
    read: Callable[[bytes], Order]
    write: Callable[[Order], bytes]


class _Record2(Struct, frozen=True, forbid_unknown_fields=True):
    form: int
    order: Order


class _Said(Struct, frozen=True):
    """What a record says of its form."""

    form: int = 1


_RECORD_2 = msgspec.json.Decoder(_Record2)
_SAID = msgspec.json.Decoder(_Said)
_ENCODER = msgspec.json.Encoder()

FORM_1 = Form(1, form_1.read, form_1.write)
FORM_2 = Form(2, lambda record: _RECORD_2.decode(record).order, lambda order: _ENCODER.encode(_Record2(2, order)))


class Forms:
    """All forms that a program knows, the oldest first; the last is its own."""

    def __init__(self, *forms: Form) -> None:
        self._forms = {form.number: form for form in forms}
        self.newest = forms[-1].number

    def check(self, number: int, what: str) -> None:
        """Raises FormTooNew where this program does not know that form."""
        if number > self.newest:
            raise FormTooNew(
                f"{what} has form {number}, and this program knows forms up to {self.newest}: "
                "install the newer version of Arcade STEM again"
            )

    def read(self, record: bytes, what: str) -> Order:
        """The order in a record. Raises FormTooNew, and InvariantBroken where the record is broken."""
        try:
            number = _SAID.decode(record).form
            self.check(number, what)
            if number not in self._forms:
                raise InvariantBroken(f"{what}: there is no form {number}")
            return self._forms[number].read(record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvariantBroken(f"{what}: the stored record cannot be read: {error}") from error

    def write(self, order: Order, number: int) -> bytes:
        """The record of an order, for a store at that form. Raises FormTooNew."""
        self.check(number, "the store")
        return self._forms[number].write(order)


FORMS = Forms(FORM_1, FORM_2)
