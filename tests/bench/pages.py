"""The player's page: what a phone has to fetch."""

import gzip
import re
import tempfile
from pathlib import Path
from urllib.parse import urljoin

import requests

from arcade_sandbox.system import System
from bench.rows import Row


def page_weight() -> list[Row]:
    """The page, its style and its script, as they travel (and as they would, compressed)."""
    with tempfile.TemporaryDirectory() as name, System(Path(name), tls=False) as system:
        page = requests.get(f"{system.url}/m/cab-01", timeout=10)
        found = re.findall(r'(?:src|href)="([^"]+\.(?:css|js|svg|png)[^"]*)"', page.text)
        parts = [page.content, *(requests.get(urljoin(page.url, part), timeout=10).content for part in found)]
        foreign = [part for part in found if not urljoin(page.url, part).startswith(system.url)]
    plain, packed = sum(map(len, parts)), sum(len(gzip.compress(part)) for part in parts)
    return [
        Row(
            f"player's page with style and script, {len(parts)} requests",
            f"{plain / 1000:.1f} kB ({packed / 1000:.1f} kB compressed), {len(foreign)} from others",
            target="≤ 30 kB, none from others",
            reached=plain <= 30_000 and not foreign,
        )
    ]
