"""Lines and tallies in the SQLite file.

The table `tallies` has each sum in several spans, so that a report reads few rows however many lines there are: a
day, a third or the whole of a month of one machine, the same of all machines (whose id is then empty), and an hour
of a day. Whoever books adds to all of them, in the same transaction. Hours are forgotten after a while: nobody
compares with them.
"""

import json
import sqlite3
from calendar import monthrange
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.sqlite.file import OF_AN_HOUR, SqliteFile
from arcade_cloud.domain.books import EVERY, Line, Only
from arcade_cloud.domain.tallies import (
    Counts,
    Name,
    Place,
    Taken,
    TakenPart,
    Tallies,
    differences,
    months_between,
    of_day,
    of_line,
)
from arcade_cloud.errors import Conflict

# An index finds the rows of each query, so the cost is that of the rows returned (a test asks SQLite).
BOOKED = "SELECT record FROM takings WHERE order_id = ? ORDER BY serial"
LINES_OF_DAY = "SELECT record, order_id FROM takings WHERE day = ?"
NEWEST_LINES = """SELECT takings.record, takings.order_id FROM
    (SELECT DISTINCT at_ms, order_id, serial FROM lines_at WHERE day = ? ORDER BY at_ms DESC LIMIT ?)
    JOIN takings USING (order_id, serial)"""
NEWEST_LINES_OF_MACHINES = """SELECT takings.record, takings.order_id FROM
    (SELECT DISTINCT at_ms, order_id, serial FROM lines_at
        WHERE day = ? AND machine_id IN (SELECT value FROM json_each(?)) ORDER BY at_ms DESC LIMIT ?)
    JOIN takings USING (order_id, serial)"""
LINES_BETWEEN = """SELECT takings.record, takings.order_id FROM
    (SELECT DISTINCT order_id, serial FROM lines_at WHERE day = ? AND at_ms >= ? AND at_ms <= ?)
    JOIN takings USING (order_id, serial)"""
_NUMBERS = (
    "ordered",
    "delivered",
    "gross_minor",
    "goodwill_minor",
    "lost_minor",
    "fee_minor",
    "lines",
    "charged",
    "fees_open",
)
_SUMS = ", ".join(f"sum({name})" for name in _NUMBERS) + ", max(played_ms)"
_SIGNED = ", ".join(f"sum(sign * {name})" for name in _NUMBERS) + ", max(played_ms)"
_PLACE = "machine_id, location, method, currency"
_ADD = (
    f"INSERT INTO tallies (span, {_PLACE}, {', '.join(_NUMBERS)}, played_ms) "  # noqa: S608 - our own names  # nosec B608
    f"VALUES (?, ?, ?, ?, ?{', ?' * len(_NUMBERS)}, ?) ON CONFLICT (span, {_PLACE}) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in _NUMBERS)
    + ", played_ms = max(played_ms, excluded.played_ms)"
)
SUM_UP = (
    f"INSERT INTO tallies (span, {_PLACE}, {', '.join(_NUMBERS)}, played_ms) "  # noqa: S608 - as above  # nosec B608
    f"SELECT ?, {_PLACE}, {_SUMS} FROM tallies WHERE span IN (SELECT value FROM json_each(?)) GROUP BY {_PLACE}"
)
TALLIES_OF_DAY = (
    f"SELECT {_PLACE}, {', '.join(_NUMBERS)}, played_ms FROM tallies WHERE span = ? AND machine_id > ''"  # noqa: S608 - as above  # nosec B608
)
HOURS = f"SELECT currency, {_SUMS} FROM tallies WHERE span > ? AND span < ? GROUP BY currency"  # noqa: S608 - as above  # nosec B608
KNOWS_HOURS = """SELECT (SELECT coalesce(sum(lines), 0) FROM tallies WHERE span = ? AND machine_id = '')
    = (SELECT coalesce(sum(lines), 0) FROM tallies WHERE span > ? AND span < ?)"""
OLDEST_HOUR = f"SELECT min(span) FROM tallies WHERE {OF_AN_HOUR}"  # noqa: S608 - as above  # nosec B608
_ALL_MACHINES = ""
_COLUMN: dict[Name, str] = {"day": "span", "location": "location", "machine": "machine_id", "method": "method"}
_HOUR_MS = 3_600_000
# Spans are told apart by their lengths.
_A_MONTH, _A_THIRD, _A_DAY = len("2026-11"), len("2026-11.1"), len("2026-11-26")


class SqliteTakings:
    """The part of `ports.store.Store` that is about the takings, on SQLite."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def book(self, lines: tuple[Line, ...], tallies: Tallies | None = None) -> None:
        """See `Store.book`."""
        records.check_lines(lines, lines[0].order_id)
        with self._file.writing() as connection:
            book(connection, lines, tallies or {})

    def booked(self, order_id: str) -> list[Line]:
        """See `Store.booked`."""
        with self._file.reading() as connection:
            return _booked(connection, order_id)

    def lines_of_day(self, day: str) -> list[Line]:
        """See `Store.lines_of_day`."""
        with self._file.reading() as connection:
            return _lines(connection.execute(LINES_OF_DAY, (day,)))

    def newest_lines(self, day: str, limit: int, machine_ids: Collection[str] | None = None) -> list[Line]:
        """See `Store.newest_lines`."""
        with self._file.reading() as connection:
            if machine_ids is None:
                return _lines(connection.execute(NEWEST_LINES, (day, max(0, limit))))
            wanted = json.dumps(list(machine_ids))
            return _lines(connection.execute(NEWEST_LINES_OF_MACHINES, (day, wanted, max(0, limit))))

    def taken(self, first: str, last: str, by: Name, only: Only = EVERY) -> list[Taken]:
        """See `Store.taken`."""
        with self._one_state() as connection:
            return _taken(connection, taken_query((first, last, _latest(connection)), by, only))

    def taken_part(self, first: str, last: str, by: Name, only: Only, offset: int, limit: int) -> TakenPart:
        """See `Store.taken_part`. Of what is not shown, only names and one sum are read, and no objects made."""
        with self._one_state() as connection:
            asked = first, last, _latest(connection)
            every = connection.execute(*names_query(asked, by, only)).fetchall()
            shown = [(name, currency) for name, currency, _ in every[offset : offset + limit]]
            found = _taken(connection, taken_query(asked, by, only, {name for name, _ in shown}))
            totals = _taken(connection, taken_query(asked, None, only))
        by_key = {(one.name, one.currency): one for one in found}
        return TakenPart(
            taken=[by_key[key] for key in shown],
            number=len(every),
            totals=totals,
            earned=frozenset(name for name, _, gross_minor in every if gross_minor > 0),
        )

    def taken_until(self, day: str, until_ms: int) -> list[Taken]:
        """See `Store.taken_until`. Whole hours come from the tallies, and the rest of the last from its lines.

        Of a day whose hours are forgotten, or some of them, all comes from its lines.
        """
        found: dict[str, Counts] = {}
        with self._one_state() as connection:
            (knows_hours,) = connection.execute(KNOWS_HOURS, (day, f"{day}T", f"{day}U")).fetchone()
            hour_ms = until_ms - until_ms % _HOUR_MS if knows_hours else 0
            for currency, *numbers in connection.execute(HOURS, (f"{day}T", _hour_of(day, hour_ms))):
                found[currency] = _counts(numbers)
            rest = _lines(connection.execute(LINES_BETWEEN, (day, hour_ms, until_ms)))
        for line in rest:
            found[line.currency] = found.get(line.currency, Counts()) + of_line(line)
        return [Taken(day, currency, counts) for currency, counts in sorted(found.items())]

    @contextmanager
    def _one_state(self) -> Iterator[sqlite3.Connection]:
        """A connection on which all reads are of one state."""
        with self._file.reading() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")

    def forget_hours(self, before_day: str) -> int:
        """Forget what was booked in each hour of earlier days, a day in each transaction; how many rows went."""
        gone = 0
        while True:
            with self._file.writing() as connection:
                (oldest,) = connection.execute(OLDEST_HOUR).fetchone()
                if oldest is None or oldest[:10] >= before_day:
                    return gone
                gone += _forget_hours(connection, oldest[:10])

    def tallies_of_day(self, day: str) -> Tallies:
        """See `Store.tallies_of_day`."""
        with self._file.reading() as connection:
            return _tallies_of_day(connection, day)

    def put_tallies_right(self, day: str) -> bool:
        """See `Store.put_tallies_right`. All in one transaction: what is booked meanwhile waits."""
        with self._file.writing() as connection:
            lines = _lines(connection.execute(LINES_OF_DAY, (day,)))
            right = of_day(day, lines, lambda order_id: _booked(connection, order_id))
            wrong = differences(_tallies_of_day(connection, day), right)
            _add(connection, wrong)
            _forget_hours(connection, day)
            for line in lines:
                _add_hour(connection, (line,))
                _place(connection, line)
            _sum_up(connection, day)
        return bool(wrong)


def book(connection: sqlite3.Connection, lines: tuple[Line, ...], tallies: Tallies) -> None:
    """Store lines that are booked together, and add to the tallies.

    Raises:
        Conflict: Lines with that serial are booked.
    """
    first = lines[0]
    is_new = connection.execute(
        "INSERT INTO takings (order_id, serial, day, record) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (first.order_id, first.serial, first.day, records.booking(lines)),
    ).rowcount
    if is_new != 1:
        raise Conflict(f"order {first.order_id} has booked lines number {first.serial} already")
    for line in lines:
        _place(connection, line)
    _add(connection, tallies)
    if tallies:
        _add_hour(connection, lines)


def is_filled(connection: sqlite3.Connection) -> bool:
    """Whether there are tallies of lines that are there, in all spans: a build of this version knew no thirds."""
    (first,) = connection.execute("SELECT min(span) FROM tallies").fetchone()
    if first is None:
        return connection.execute("SELECT 1 FROM takings LIMIT 1").fetchone() is None
    thirds = (f"{first[:7]}.", f"{first[:7]}/")
    return (
        connection.execute("SELECT 1 FROM tallies WHERE span > ? AND span < ? LIMIT 1", thirds).fetchone()
        is not None
    )


def fill(connection: sqlite3.Connection) -> None:
    """Make the tallies anew, of all lines: programs have booked them which knew none, or not all spans."""
    connection.execute("DELETE FROM tallies")
    days = [day for (day,) in connection.execute("SELECT DISTINCT day FROM takings")]
    for day in days:
        lines = _lines(connection.execute(LINES_OF_DAY, (day,)))
        _add(connection, of_day(day, lines, lambda order_id: _booked(connection, order_id)))
        for line in lines:
            _add_hour(connection, (line,))
            _place(connection, line)


Query = tuple[str, tuple[str, ...]]
# The first and the last day that are asked for, and the last third of a month that has tallies.
Asked = tuple[str, str, str]


def taken_query(asked: Asked, by: Name | None, only: Only, names: Collection[str] | None = None) -> Query:
    """The question that `taken` asks, and its values.

    Args:
        by: None: all of a currency are added up.
        names: Only of these.
    """
    return _query(asked, by, only, _SIGNED, names)


def names_query(asked: Asked, by: Name, only: Only) -> Query:
    """The question for the names that `taken` finds, with their currencies and what was paid."""
    return _query(asked, by, only, "sum(sign * gross_minor)", None)


def _query(asked: Asked, by: Name | None, only: Only, wanted: str, names: Collection[str] | None) -> Query:
    of_machines = by == "machine" or only.names_machines
    spans = [(day, 1) for day in _days(*asked[:2])] if by == "day" else [*_spans(*asked)]
    where, values = list[str](), [json.dumps(spans)]
    name = "''" if by is None else _COLUMN[by]
    if only.machine_id is not None:
        where.append("machine_id = ?")
        values.append(only.machine_id)
    for column, several in (("machine_id", only.machines), (name, names)):
        if several is not None:
            where.append(f"{column} IN (SELECT value FROM json_each(?))")  # noqa: S608 - as above  # nosec B608
            values.append(json.dumps(sorted(several)))
    if not only.names_machines:
        where.append("machine_id > ''" if of_machines else "machine_id = ''")
    for column in ("location", "method", "currency"):
        meant = getattr(only, column)
        if meant is not None:
            where.append(f"{column} = ?")
            values.append(meant)
    groups = "currency" if by is None else f"{name}, currency"
    sql = (
        "WITH asked (span, sign) AS MATERIALIZED "  # noqa: S608 - as above  # nosec B608
        "(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)) "
        f"SELECT {name}, currency, {wanted} FROM asked CROSS JOIN tallies USING (span) "
        f"WHERE {' AND '.join(where) or 'TRUE'} "
        f"GROUP BY {groups} HAVING sum(sign * lines) > 0 ORDER BY {groups}"
    )
    return sql, tuple(values)


def _taken(connection: sqlite3.Connection, query: Query) -> list[Taken]:
    return [Taken(row[0], row[1], _counts(row[2:])) for row in connection.execute(*query)]


def _latest(connection: sqlite3.Connection) -> str:
    """The last third of a month that has tallies: thirds come after all other spans of their month."""
    return connection.execute("SELECT max(span) FROM tallies").fetchone()[0] or ""


def _spans(first: str, last: str, latest: str) -> Iterator[tuple[str, int]]:
    """What to add up from one day to another, and what to take off (-1): months, thirds of months, and days.

    Of several ways it takes that which reads the fewest rows, as far as spans tell. In the thirds after `latest`
    nothing is booked yet, so they need not be taken off the present month.
    """
    for month in months_between(first, last):
        days = [f"{month}-{day:02}" for day in range(1, monthrange(*map(int, month.split("-")))[1] + 1)]
        days = [day for day in days if _third_of(day) <= latest]
        meant = {day for day in days if first <= day <= last}
        others = [(span, -sign) for span, sign in _thirds(days, set(days) - meant)]
        yield from min([*_thirds(days, meant)], [(month, 1), *others], key=_cost)


def _thirds(month: list[str], meant: set[str]) -> Iterator[tuple[str, int]]:
    """Some days of a month by its thirds: each as its days, or as a whole without the others."""
    for third in dict.fromkeys(map(_third_of, month)):
        days = [day for day in month if _third_of(day) == third]
        alone = [(day, 1) for day in days if day in meant]
        yield from min(alone, [(third, 1), *((day, -1) for day in days if day not in meant)], key=_cost)


def _cost(spans: list[tuple[str, int]]) -> int:
    """How many rows spans have, about, counted in days: a machine plays as it did the day before."""
    return sum({_A_DAY: 1, _A_THIRD: 2, _A_MONTH: 3}[len(span)] for span, _ in spans)


def _third_of(day: str) -> str:
    """The first ten days of a month, the next ten, or the rest: `2026-11.1`, `2026-11.2`, `2026-11.3`."""
    return f"{day[:7]}.{min(2, (int(day[8:]) - 1) // 10) + 1}"


def _days(first: str, last: str) -> Iterator[str]:
    begin, end = date.fromisoformat(first).toordinal(), date.fromisoformat(last).toordinal()
    return (date.fromordinal(day).isoformat() for day in range(begin, end + 1))


def _hour_of(day: str, at_ms: int) -> str:
    """The span of an hour of what a day has booked. What is booked for a day may be booked on the next one."""
    return f"{day}T{at_ms // _HOUR_MS:08}"


def _add(connection: sqlite3.Connection, tallies: Tallies) -> None:
    rows = []
    for place, counts in tallies.items():
        where, numbers = (place.location, place.method, place.currency), _numbers(counts)
        for span in (place.day, _third_of(place.day), place.day[:7]):
            rows += [(span, machine_id, *where, *numbers) for machine_id in (place.machine_id, _ALL_MACHINES)]
    connection.executemany(_ADD, rows)


def _add_hour(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        where = (_hour_of(line.day, line.at_ms), _ALL_MACHINES, "", "", line.currency)
        connection.execute(_ADD, (*where, *_numbers(of_line(line))))


def _sum_up(connection: sqlite3.Connection, day: str) -> None:
    """Make the sums of the day's third and month of those of its days, whatever is there."""
    month, third = day[:7], _third_of(day)
    days = [f"{month}-{number:02}" for number in range(1, 32)]
    for span, parts in (
        (third, [one for one in days if _third_of(one) == third]),
        (month, [f"{month}.{number}" for number in (1, 2, 3)]),
    ):
        connection.execute("DELETE FROM tallies WHERE span = ?", (span,))
        connection.execute(SUM_UP, (span, json.dumps(parts)))


def _forget_hours(connection: sqlite3.Connection, day: str) -> int:
    return connection.execute("DELETE FROM tallies WHERE span > ? AND span < ?", (f"{day}T", f"{day}U")).rowcount


def _place(connection: sqlite3.Connection, line: Line) -> None:
    """Have the line found by its machine and time."""
    connection.execute(
        "INSERT INTO lines_at (day, machine_id, at_ms, order_id, serial) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (line.day, line.machine_id, line.at_ms, line.order_id, line.serial),
    )


def _numbers(counts: Counts) -> tuple[int, ...]:
    """The values of `_NUMBERS` and of `played_ms`."""
    return (*counts.numbers, counts.played_ms)


def _counts(numbers: Sequence[int]) -> Counts:
    return Counts.of(numbers[:-1], numbers[-1])


def _tallies_of_day(connection: sqlite3.Connection, day: str) -> Tallies:
    return {
        Place(day=day, machine_id=row[0], location=row[1], method=row[2], currency=row[3]): _counts(row[4:])
        for row in connection.execute(TALLIES_OF_DAY, (day,))
    }


def _booked(connection: sqlite3.Connection, order_id: str) -> list[Line]:
    rows = connection.execute(BOOKED, (order_id,))
    return [line for (record,) in rows for line in records.lines(record, order_id)]


def _lines(rows: Iterable[tuple[bytes, str]]) -> list[Line]:
    return [line for record, order_id in rows for line in records.lines(record, order_id)]
