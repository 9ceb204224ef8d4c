"""Several machines at once: which are meant, and the table in which they are written down (pure).

The table is what a spreadsheet saves: UTF-8 with or without a byte order mark, or UTF-16 with one; columns parted
by commas, semicolons or tabs. What is wrong is told by line and column, all of it at once.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from arcade_cloud.domain.machines import Machine, MachineChange, checked, near_matches
from arcade_cloud.domain.offers import offer_text, read_offers
from arcade_cloud.domain.spreadsheet import plain
from arcade_cloud.errors import BadRequest
from arcade_shared.errors import BadTopic
from arcade_shared.topics import check_machine_id

COLUMNS = ("id", "kind", "name", "location", "contact", "picture", "offers")
# So an operator empties a field: an empty cell changes nothing.
EMPTY = "-"
# Far more than any fleet, and little to hold.
LINES_AT_MOST = 10_000
BYTES_AT_MOST = 8_000_000
_FAULTS_AT_MOST = 100

# What `machine list --csv` tells and nobody can enter.
TOLD_ONLY = frozenset(
    {
        "state",
        "ready",
        "stage",
        "closeduntil",
        "registeredat",
        "installation",
        "agent",
        "maxcredits",
        "lastheardat",
        "olderkey",
        "refusedmessages",
    }
)
_ALIASES = {"machine": "id", "machine_id": "id", "offer": "offers", "picture_url": "picture"}
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_KINDS = ("agent", "subscriber")


# --- which machines are meant ----------------------------------------------------------------------------


def at_location(machines: Iterable[Machine], location: str) -> list[Machine]:
    """The machines at a location.

    Raises:
        BadRequest: There is none. The text says which locations are like it.
    """
    fold = _fold(location)
    known = {machine.location: machine for machine in machines if machine.location}
    found = [machine for machine in machines if machine.location and _fold(machine.location) == fold]
    if found:
        return found
    near = " or ".join(near_matches(location, known)) or ", ".join(sorted(known)[:10])
    hint = f": did you mean {near}?" if near else ": no machine has one, see `arcade-cloud machine set --location`"
    raise BadRequest(f"no machine is at {location!r}{hint}")


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()


# --- the table -------------------------------------------------------------------------------------------


class Line(Struct, frozen=True):
    """One machine in the table.

    Attributes:
        number: The line in the file, from 1.
        change: What its cells name.
    """

    number: int
    machine_id: str
    change: MachineChange


class Fault(Struct, frozen=True, order=True):
    """What is wrong with the table. `column` is empty where it is the whole line."""

    line: int
    column: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}{self.column and f', {self.column}'}: {self.text}"


def read_table(content: bytes) -> tuple[list[Line], list[Fault]]:
    """Read a table. Unless it has no faults, its lines are not to be used.

    Raises:
        BadRequest: It is no table of machines at all.
    """
    rows = _rows(_text(content))
    if not rows:
        raise BadRequest("the file is empty: its first line names the columns, such as id,name,offers")
    (header_line, header), *others = rows
    columns = _columns(header, header_line)
    lines: list[Line] = []
    faults: list[Fault] = []
    first_at: dict[str, int] = {}
    for number, cells in others:
        found = _line(number, cells, columns, faults)
        if found is None:
            continue
        earlier = first_at.setdefault(found.machine_id.casefold(), number)
        if earlier != number:
            faults.append(Fault(number, "id", f"{found.machine_id} is in line {earlier} already"))
        lines.append(found)
    if not lines and not faults:
        raise BadRequest("the file names no machine below its first line")
    return lines, sorted(faults)[:_FAULTS_AT_MOST]


def _text(content: bytes) -> str:
    if len(content) > BYTES_AT_MOST:
        raise BadRequest(f"the file is larger than {BYTES_AT_MOST // 1_000_000} MB: is it a table of machines?")
    is_utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest(
            "the file is neither UTF-8 nor UTF-16: save it as “CSV UTF-8 (comma delimited)”"
        ) from None
    if "\0" in text:
        raise BadRequest("the file is no text: save the spreadsheet as “CSV UTF-8 (comma delimited)”")
    return text


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """The rows that have a cell, each with its first line's number."""
    head, _, _ = text.partition("\n")
    skipped = 0
    if head.strip().lower().startswith("sep="):  # Excel's own way to say it
        delimiter = head.strip()[4:5] or ","
        text, skipped = text[len(head) + 1 :], 1
    else:
        named = next((line for line in text.split("\n") if any(map(str.isalnum, line))), "")
        delimiter = max(",;\t", key=(named or text).count)
    reader = csv.reader(_LINE.findall(text), delimiter=delimiter, strict=True)
    rows = []
    before = 0
    try:
        for cells in reader:
            number, before = before + 1 + skipped, reader.line_num
            if any(cell.strip() for cell in cells):
                rows.append((number, [plain(cell.strip()) for cell in cells]))
            if len(rows) > LINES_AT_MOST:
                raise BadRequest(f"the file has more than {LINES_AT_MOST} lines")
    except csv.Error as error:
        raise BadRequest(f"line {before + 1 + skipped} cannot be read: {error}") from None
    return rows


def _columns(header: Sequence[str], line: int) -> list[str]:
    named = [re.sub(r"[ -]+", "_", cell.casefold()) for cell in header]
    while named and not named[-1]:
        named.pop()  # a spreadsheet saves empty columns too
    columns = [_ALIASES.get(name, name) for name in named]
    unknown = [cell for cell, column in zip(header, columns, strict=False) if column not in {*COLUMNS, *TOLD_ONLY}]
    if "id" not in columns:
        raise BadRequest(f"line {line} must name the columns, and one of them id: such as {','.join(COLUMNS)}")
    if unknown:
        raise BadRequest(f"line {line}: there is no column {unknown[0]!r}; there are {', '.join(COLUMNS)}")
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise BadRequest(f"line {line} names the column {twice} twice")
    return columns


def _line(number: int, cells: Sequence[str], columns: Sequence[str], faults: list[Fault]) -> Line | None:
    if any(cells[len(columns) :]):
        faults.append(Fault(number, "", f"it has more cells than the {len(columns)} columns"))
    told = zip(columns, cells, strict=False)
    given = {column: cell for column, cell in told if cell and column not in TOLD_ONLY}
    machine_id = given.pop("id", "")
    if not machine_id:
        faults.append(Fault(number, "id", "it is missing"))
        return None
    try:
        check_machine_id(machine_id)
    except BadTopic as error:
        faults.append(Fault(number, "id", str(error)))
        return None
    named: dict[str, Any] = {}
    for column, cell in given.items():
        try:
            name, value = _value(column, cell)
        except BadRequest as error:
            faults.append(Fault(number, column, str(error)))
        else:
            named[name] = value
    return Line(number, machine_id, MachineChange(**named))


def _value(column: str, cell: str) -> tuple[str, Any]:
    text = "" if cell == EMPTY else cell
    match column:
        case "kind":
            if text not in _KINDS:
                raise BadRequest(f"it is {' or '.join(_KINDS)}, not {cell[:40]!r}")
            return "kind", text
        case "offers":
            return "offers", read_offers(text)
        case _:
            named: dict[str, Any] = {"picture_url" if column == "picture" else column: " ".join(text.split())}
            ((field, value),) = checked(MachineChange(**named)).named.items()
            return field, value


def same_offers_kept(machine: Machine, change: MachineChange) -> MachineChange:
    """The change without offers that the machine has already, as the table writes them.

    A table does not say all about an offer, and what it does not say stays.
    """
    offers = change.offers
    if offers is msgspec.UNSET or [*map(offer_text, offers)] != [*map(offer_text, machine.offers)]:
        return change
    return msgspec.structs.replace(change, offers=msgspec.UNSET)


def cells(machine: Machine) -> dict[str, str]:
    """The machine's cells by column, as `read_table` reads them; what is empty is an empty cell."""
    return {
        "id": machine.machine_id,
        "kind": machine.kind,
        "name": machine.name,
        "location": machine.location,
        "contact": machine.contact,
        "picture": machine.picture_url,
        "offers": " ".join(map(offer_text, machine.offers)),
    }
