"""A table of machines is read as spreadsheets save it, its faults are told by line and column, it round-trips."""

import csv
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.fleet import (
    COLUMNS,
    LINES_AT_MOST,
    at_location,
    cells,
    read_table,
    same_offers_kept,
)
from arcade_cloud.domain.machines import Machine, MachineChange, changed
from arcade_cloud.domain.offers import parse_offers
from arcade_cloud.entrypoints.cli.output import print_csv
from arcade_cloud.errors import BadRequest

CAB = Machine(
    machine_id="cab-01",
    version=3,
    name="Space Duel",
    location="Main Hall",
    contact="+60 12-345 6789",
    picture_url="https://play.example/duel.jpg",
    offers=parse_offers(["1=2.00MYR", "6=10.00MYR@price_6"]),
)
PRICES = "id,offers\ncab-01,1=3.00MYR 6=12.00MYR\ncab-02,1=3.00MYR\n"
PRICE_CHANGES = [
    ("cab-01", {"offers": parse_offers(["1=3.00MYR", "6=12.00MYR"])}),
    ("cab-02", {"offers": parse_offers(["1=3.00MYR"])}),
]


def table(machines: list[Machine]) -> str:
    """The machines as `machine export` writes them."""
    with io.StringIO(newline="") as file:
        print_csv([cells(machine) for machine in machines], file)
        return file.getvalue()


def named(content: bytes) -> list[tuple[str, dict[str, object]]]:
    lines, faults = read_table(content)
    assert faults == []
    return [(line.machine_id, line.change.named) for line in lines]


def faults_of(text: str) -> list[str]:
    return [str(fault) for fault in read_table(text.encode())[1]]


@pytest.mark.parametrize(
    "content",
    [
        PRICES.encode(),
        PRICES.encode("utf-8-sig"),
        PRICES.replace("\n", "\r\n").encode("utf-8-sig"),
        PRICES.rstrip().encode(),
        PRICES.replace(",", ";").encode(),
        PRICES.replace(",", "\t").encode("utf-16"),  # Excel's “Unicode text”
        PRICES.replace(",", "\t").replace("\n", "\r\n").encode("utf-16-be").join([b"\xfe\xff", b""]),
        ("sep=;\r\n" + PRICES.replace(",", ";")).encode(),
        b'ID ; Offers ;;\r\n cab-01 ;"1=3.00MYR, 6=12.00MYR";;\r\ncab-02;1=3.00MYR;;\r\n;;;\r\n\r\n',
        b'"machine id","Offers"\n"cab-01","1=3.00MYR\n6=12.00MYR"\n"cab-02","1=3.00MYR"\n',
        b"offers,id\n1=3.00MYR|6=12.00MYR,cab-01\n1=3.00MYR,cab-02\n",
    ],
)
def test_a_table_is_read_as_spreadsheets_save_it(content: bytes) -> None:
    assert named(content) == PRICE_CHANGES


def test_only_what_a_cell_says_is_changed_and_a_dash_empties() -> None:
    content = "id,kind,name,location,contact,picture,offers\ncab-01,,,-,,-,-\ncab-02,subscriber,街霸,,,,\n"
    assert named(content.encode()) == [
        ("cab-01", {"location": "", "picture_url": "", "offers": ()}),
        ("cab-02", {"kind": "subscriber", "name": "街霸"}),
    ]


def test_every_fault_is_told_with_its_line_and_column() -> None:
    text = (
        "id,kind,name,picture,offers\n"
        "cab-01,robot,Duel,ftp://x,3=1\n"
        "\n"
        ",agent,Nobody,,\n"
        "cab/3,,,,\n"
        'cab-04,,"two\nlines",,3=5.00XXX\n'
        "cab-05,,,,1=2.00MYR,more\n"
        "CAB-01,,,,\n"
        f"cab-06,,{'x' * 81},,1=2.00MYR 1=2.00MYR\n"
    )
    assert faults_of(text) == [
        "line 2, kind: it is agent or subscriber, not 'robot'",
        "line 2, offers: an offer is written CREDITS=AMOUNT with a currency, such as 3=5.00MYR, not '3=1'",
        "line 2, picture: a picture has an address that begins with https://, unlike 'ftp://x'",
        "line 4, id: it is missing",
        "line 5, id: a machine id is 1 to 64 letters, digits, '_' or '-', and begins with a letter or a digit",
        "line 6, offers: Stripe takes no payments in XXX: is the currency right in '3=5.00XXX'?",
        "line 8: it has more cells than the 5 columns",
        "line 9, id: CAB-01 is in line 2 already",
        "line 10, name: the name has 81 characters: at most 80 are shown",
        "line 10, offers: the same offer is given twice",
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "the file is empty"),
        (b"\r\n;;\r\n", "the file is empty"),
        (b"id,offers\n", "names no machine"),
        (b"name,offers\nDuel,1=2.00MYR\n", "line 1 must name the columns, and one of them id"),
        (b"\nid,price\ncab-01,2\n", "line 2: there is no column 'price'; there are id, kind, name"),
        (b"id,name,Name\ncab-01,a,b\n", "names the column name twice"),
        ("id,name\ncab-01,Café\n".encode("cp1252"), "save it as “CSV UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00", "is no text|neither UTF-8"),
        (b'id,name\ncab-01,"Duel\n', "line 2 cannot be read"),
        (b"id,name\rcab-01,Duel\r", "cannot be read"),
        (b"\xff\xfei\x00d\x00", "names no machine"),
        (b"\xff\xfei", "neither UTF-8 nor UTF-16"),
        (b"id\n" + b"cab-01\n" * (LINES_AT_MOST + 1), "more than"),
        (b"x" * 8_000_001, "larger than 8 MB"),
    ],
)
def test_what_is_no_table_is_refused_in_words(content: bytes, fault: str) -> None:
    with pytest.raises(BadRequest, match=fault):
        read_table(content)


@given(st.binary(max_size=300))
def test_no_file_makes_it_fail_in_another_way(content: bytes) -> None:
    for given_bytes in (content, b"id,name,offers\n" + content):
        try:
            lines, faults = read_table(given_bytes)
        except BadRequest:
            continue
        assert lines or faults


_TEXT = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20).filter(lambda text: text != "-")


@given(_TEXT, _TEXT, _TEXT, st.sampled_from(["agent", "subscriber"]))
def test_what_is_exported_changes_nothing_when_it_is_imported(
    name: str, location: str, contact: str, kind: str
) -> None:
    machine = msgspec.structs.replace(CAB, name=name, location=location, contact=contact, kind=kind)
    (line,), faults = read_table(table([machine]).encode())
    assert (line.machine_id, faults) == ("cab-01", [])
    assert changed(machine, same_offers_kept(machine, line.change)) == machine


@pytest.mark.parametrize("formula", ["=cmd|'/c calc'!A1", "+60 12", "-1", "@SUM(A1)"])
def test_no_cell_is_a_formula_to_a_spreadsheet(formula: str) -> None:
    exported = table([msgspec.structs.replace(CAB, contact=formula, name=formula)])
    header, written = csv.reader(exported.splitlines())
    assert tuple(header) == COLUMNS
    assert not any(cell.startswith(("=", "+", "@")) for cell in written)
    ((_, change),) = named(exported.encode())
    assert (change["name"], change["contact"]) == (formula, formula)


def test_offers_that_stay_keep_what_a_table_does_not_say() -> None:
    labelled = tuple(msgspec.structs.replace(offer, label="Best value", offer_id="b") for offer in CAB.offers)
    machine = msgspec.structs.replace(CAB, offers=labelled)
    assert same_offers_kept(machine, MachineChange(offers=CAB.offers)).named == {}
    other = MachineChange(offers=parse_offers(["1=3.00MYR"]))
    assert same_offers_kept(machine, other) == other


def test_a_location_is_found_however_it_is_written() -> None:
    hall = [CAB, msgspec.structs.replace(CAB, machine_id="cab-02", location="main hall")]
    fleet = [
        *hall,
        Machine(machine_id="cab-03"),
        msgspec.structs.replace(CAB, machine_id="cab-04", location="Pier"),
    ]
    assert at_location(fleet, " MAIN  hall") == hall
    with pytest.raises(BadRequest, match="did you mean Pier"):
        at_location(fleet, "Peer")
    with pytest.raises(BadRequest, match="no machine is at ''"):
        at_location(fleet, "")
    with pytest.raises(BadRequest, match="no machine has one"):
        at_location([Machine(machine_id="cab-03")], "Pier")
