"""What the environment and `.env.local` set, by variable, with every fault found on the way."""

import difflib
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from arcade_cloud.config.private_files import why_not_private
from arcade_cloud.config.variables import FORMER, VARIABLES, Variable, default_of

# What examples and guides write in place of a value.
_PLACEHOLDER = re.compile(
    r"your[-_].*|<.*>|.*(\.\.\.|…)|(sk|rk|whsec|price)_(test_|live_)?x+|change[-_]?me|todo|x{3,}",
    re.IGNORECASE,
)


class Environment:
    """The values, the faults (one sentence each), and remarks on anything odd.

    `environ` wins over `env_file`. Empty values count as missing. All names of a variable are read, and they must
    agree. A required value that is missing, or still the text of an example, is a fault at once.
    """

    def __init__(self, environ: Mapping[str, str], env_file: Path | None) -> None:
        self.faults: list[str] = []
        self.remarks: list[str] = []
        self._values: dict[str, str | None] = {}
        from_file = self._read(env_file)
        for variable in VARIABLES:
            value = self._find(variable, environ, from_file)
            if value is not None and _PLACEHOLDER.fullmatch(value):
                self.fault(variable.name, f"still holds the text of an example. {variable.meaning}")
                self._values[variable.name] = ""
                continue
            if value is None and variable.required:
                self.fault(variable.name, f"is missing. {variable.meaning}")
            self._values[variable.name] = value
        for name, why in FORMER.items():
            if environ.get(name) or from_file.get(name):
                self.remarks.append(f"{name} is no longer a setting: {why}.")

    def _read(self, env_file: Path | None) -> dict[str, str]:
        if env_file is None or not env_file.exists():
            return {}
        readable_by_all = why_not_private(env_file)
        if readable_by_all is not None:
            self.remarks.append(f"{readable_by_all}. It holds every secret of this site.")
        from dotenv import dotenv_values  # here: most installations in a cloud have no such file

        try:
            text = env_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            self.fault(str(env_file), f"cannot be read: {error}")
            return {}
        read = dotenv_values(stream=StringIO(text), interpolate=False)  # a password may contain ${…}
        known = [name for variable in VARIABLES for name in (variable.name, *variable.aliases)]
        for name in sorted(read.keys() - {*known, *FORMER}):
            for meant in difflib.get_close_matches(name, known, n=1, cutoff=0.85):
                self.remarks.append(f"{env_file} sets {name}, which means nothing here: did you mean {meant}?")
        return {name: value for name, value in read.items() if value is not None}

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
