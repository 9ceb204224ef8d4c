"""What the environment and `.env.local` set, by variable, with every fault found on the way."""

import difflib
import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from arcade_cloud.config.private_files import why_not_private
from arcade_cloud.config.variables import FORMER, VARIABLES, Variable, default_of
from arcade_shared.text_files import read_text, why_unreadable

# What examples and guides write in place of a value.
_PLACEHOLDER = re.compile(
    r"your[-_].*|<.*>|.*(\.\.\.|…)|(sk|rk|whsec|price)_(test_|live_)?x+|change[-_]?me|todo|x{3,}",
    re.IGNORECASE,
)

# Of an address: a user and a password, which are nobody's business either.
_LOGIN = re.compile(r"//[^/@\s]*@")


class Environment:
    """The values, the faults (one sentence each), remarks on anything odd, and on names that mean nothing.

    `environ` wins over `env_file`. Empty values count as missing. All names of a variable are read, and they must
    agree. A required value that is missing, or still the text of an example, is a fault at once. With no file,
    and nothing of ours in `environ`, that is the one fault (`has_no_source`).
    """

    def __init__(self, environ: Mapping[str, str], env_file: Path | None) -> None:
        self.faults: list[str] = []
        self.remarks: list[str] = []
        self.misspelt: list[str] = []
        self._values: dict[str, str | None] = {}
        from_file = self._read(env_file)
        instead = dict(self._misspelt(environ, from_file, env_file))
        missing = []
        for variable in VARIABLES:
            value = self._find(variable, environ, from_file)
            if value is not None and _PLACEHOLDER.fullmatch(value):
                self.fault(variable.name, f"still holds the text of an example. {variable.meaning}")
                self._values[variable.name] = ""
                continue
            if value is None and variable.required:
                missing.append(variable)
            self._values[variable.name] = value
        for name, why in FORMER.items():
            if environ.get(name) or from_file.get(name):
                self.remarks.append(f"{name} is no longer a setting: {why}.")
        is_empty = not any(value is not None for value in self._values.values())
        self.has_no_source = is_empty and env_file is not None and not env_file.exists()
        if self.has_no_source:
            self.fault(
                str(env_file),
                f"is not there (in {Path.cwd()}), and the environment sets nothing either: run this where it is, "
                "name it with --env-file, or make it from .env.example",
            )
            return
        for variable in missing:
            where = instead.get(variable.name)
            self.fault(variable.name, f"is missing{f': {where}' if where else ''}. {variable.meaning}")

    def _read(self, env_file: Path | None) -> dict[str, str]:
        if env_file is None or not env_file.exists():
            return {}
        readable_by_all = why_not_private(env_file)
        if readable_by_all is not None:
            self.remarks.append(f"{readable_by_all}. It holds every secret of this site.")
        from dotenv import dotenv_values  # here: most installations in a cloud have no such file

        try:
            text = read_text(env_file)
        except (OSError, ValueError) as error:
            self.fault(str(env_file), f"cannot be read: {why_unreadable(error)}")
            return {}
        read = dotenv_values(stream=StringIO(text), interpolate=False)  # a password may contain ${…}
        return {name: value or "" for name, value in read.items()}

    def _misspelt(
        self, environ: Mapping[str, str], from_file: Mapping[str, str], env_file: Path | None
    ) -> Iterator[tuple[str, str]]:
        """Note every name in the file that means nothing, and those in the environment that are nearly ours.

        Yields:
            The name that was meant, as far as one can tell, and what is set instead of it.
        """
        known = {name: variable.name for variable in VARIABLES for name in (variable.name, *variable.aliases)}
        # The environment holds much that is for others. A cold start waits for this, and a look at ends is quick.
        ends = {end for name in known for end in (name[:4], name[-4:])}
        near_ours = {name for name in environ if name[:4].upper() in ends or name[-4:].upper() in ends}
        for name in sorted({*from_file, *near_ours} - {*known, *FORMER}):
            where = str(env_file) if name in from_file else "the environment"
            near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8 if name in from_file else 0.85)
            if near:
                self.misspelt.append(f"{where} sets {name}, which means nothing here: did you mean {near[0]}?")
                yield known[near[0]], f"{where} sets {name} instead"
            elif name in from_file:
                self.misspelt.append(f"{where} sets {name}, which means nothing here.")

    def _find(self, variable: Variable, *sources: Mapping[str, str]) -> str | None:
        names = (variable.name, *variable.aliases)
        for source in sources:
            given = {name: source[name].strip() for name in names if source.get(name, "").strip()}
            if len(set(given.values())) > 1:
                self.fault(" and ".join(given), f"mean the same but differ: keep only {variable.name}")
            if given:
                return next(iter(given.values()))
        return None

    def fault(self, name: str, text: str) -> None:
        """Note that `name` cannot be used; `text` says why, and what to do."""
        self.faults.append(f"{name} {text.rstrip('.')}.")

    def given(self) -> dict[str, str]:
        """What was given, by variable, to be shown: of a secret nothing but that it was."""
        found = {}
        for variable in VARIABLES:
            value = self._values[variable.name]
            if value:
                found[variable.name] = "" if variable.secret else _LOGIN.sub("//…@", value)
        return found

    def is_given(self, name: str) -> bool:
        """Tell whether there is any value, even a useless one."""
        return self._values[name] is not None

    def text(self, name: str) -> str | None:
        """Read the value without the white space around it; None if there is none that can be used."""
        return self._values[name] or None

    def texts(self, name: str) -> tuple[str, ...]:
        """Read the parts of a list separated by commas."""
        return tuple(part.strip() for part in (self._values[name] or "").split(",") if part.strip())

    def number(self, name: str, lowest: int, highest: int) -> int:
        """Read a whole number, or take its default. Anything else is a fault."""
        given = self.number_if_given(name, lowest, highest)
        return default_of(name, int) if given is None else given

    def number_if_given(self, name: str, lowest: int, highest: int) -> int | None:
        """Read a whole number; None if there is none that can be used. Anything else is a fault."""
        value = self.text(name)
        if value is None:
            return None
        if re.fullmatch(r"[0-9]{1,9}", value) is None or not lowest <= int(value) <= highest:
            self.fault(name, f"must be a whole number between {lowest} and {highest}, not {value[:20]!r}")
            return None
        return int(value)

    def switch(self, name: str) -> bool:
        """Read yes or no, or take its default. Anything else is a fault."""
        value = (self.text(name) or "").lower()
        if value in {"1", "true", "yes", "on"}:
            return True
        if value in {"0", "false", "no", "off"}:
            return False
        if value:
            self.fault(name, f"must be 1 or 0, not {value[:20]!r}")
        return default_of(name, bool)

    def url(self, name: str) -> str | None:
        """Read an http or https address, without a slash at its end; None if there is none that can be used."""
        value = self.text(name)
        if value is None:
            return None
        try:
            parts = urlsplit(value)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or re.search(r"\s", value):
            self.fault(name, "must be an address such as https://arcade.example")
            return None
        return value.rstrip("/")
