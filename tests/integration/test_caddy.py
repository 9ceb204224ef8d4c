"""The Caddyfile in front of the cloud, word for word but for the cloud's port: as docs/HOSTING.md says.

What surrounds it differs: certificates come from an authority that Caddy makes itself, and ports are free ones.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_sandbox.processes import dies_with_parent, free_port, wait_for
from arcade_sandbox.system import System
from support.player_by_hand import press

ROOT = Path(__file__).parents[2]
CADDYFILE = ROOT / "cloud" / "deploy" / "Caddyfile"
NAME = "arcade.example.com"
CADDY = shutil.which("caddy", path=f"{os.environ['PATH']}{os.pathsep}{ROOT / '.setup' / 'bin'}")

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        CADDY is None, reason="there is no caddy: `make caddy` unpacks it where apt can hand it out"
    ),
]


@dataclass(frozen=True)
class Site:
    """The cloud behind Caddy."""

    system: System
    http: str
    https: str
    ca_file: Path

    def visitor(self) -> requests.Session:
        """A browser that trusts the authority, and has no other."""
        session = requests.Session()
        session.trust_env = False  # else a bundle that the environment names comes first
        session.verify = str(self.ca_file)
        return session


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("caddy")
    http, https, cloud = free_port(), free_port(), free_port()
    settings = {
        "PUBLIC_BASE_URL": f"https://{NAME}:{https}",
        "TRUSTED_PROXIES": "1",
        "RATE_LIMIT_PER_MINUTE": "20",
    }
    given = CADDYFILE.read_text()
    assert given.count("127.0.0.1:5000") == given.count(f"\n{NAME} {{") == 1
    around = f"http_port {http}\nhttps_port {https}\nlocal_certs\nskip_install_trust\nadmin off\n"
    text = f"{{\n{around}storage file_system {folder / 'storage'}\n}}\n{given}"
    (folder / "Caddyfile").write_text(text.replace("127.0.0.1:5000", f"127.0.0.1:{cloud}"))
    ca_file = folder / "storage" / "pki" / "authorities" / "local" / "root.crt"
    with (
        System(folder / "system", settings=settings, port=cloud) as system,
        (folder / "caddy.log").open("wb") as log,
        pytest.MonkeyPatch.context() as patch,
    ):
        caddy = subprocess.Popen(
            [str(CADDY), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"],
            env={"PATH": os.environ["PATH"], "HOME": str(folder)},
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent(),
        )
        found = socket.getaddrinfo

        def here(host: Any, *more: Any, **named: Any) -> Any:
            return found("127.0.0.1" if host == NAME else host, *more, **named)

        patch.setattr(socket, "getaddrinfo", here)  # the name leads to this host
        site = Site(system, f"http://{NAME}:{http}", f"https://{NAME}:{https}", ca_file)

        def is_up() -> bool:
            assert caddy.poll() is None, (folder / "caddy.log").read_text()
            try:
                return site.visitor().get(f"{site.https}/status", timeout=5).ok
            except (OSError, requests.RequestException):
                return False

        try:
            wait_for("Caddy", is_up, 60)
            yield site
        finally:
            caddy.terminate()
            caddy.wait(20)


def test_a_player_pays_by_https_and_gets_the_credit(site: Site) -> None:
    player = site.visitor()
    page = player.get(f"{site.https}/m/cab-01", timeout=10)
    assert "max-age=" in page.headers["Strict-Transport-Security"]
    assert all(cookie.secure for cookie in player.cookies)
    order = press(player, press(player, page))
    assert order.url.startswith(f"{site.https}/m/cab-01/o/")
    wait_for("the credit", lambda: "1 credit added" in player.get(order.url, timeout=10).text, 60)


def test_http_leads_to_https(site: Site) -> None:
    answer = site.visitor().get(f"{site.http}/m/cab-01", allow_redirects=False, timeout=10)
    assert answer.status_code == 308
    assert answer.headers["Location"] == f"https://{NAME}/m/cab-01", "and its usual port"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_pages_are_compressed(site: Site, coding: str) -> None:
    """Also by Caddy 2.6, which Debian 12 and 13 and Ubuntu 24.04 have: to it, `encode` alone means nothing."""
    headers = {"Accept-Encoding": coding}
    with site.visitor().get(f"{site.https}/m/cab-01", headers=headers, stream=True, timeout=10) as answer:
        assert answer.headers.get("Content-Encoding") == coding
        assert len(answer.raw.read(decode_content=False)) < 10_000


def test_who_asks_is_told_apart_and_cannot_say_to_be_another(site: Site) -> None:
    """The cloud takes the address that Caddy has seen, and no alert tells of a proxy that no setting names."""
    statuses = [
        site.visitor()
        .post(
            f"{site.https}/create-payment-link",
            json={"machine_id": "cab-01"},
            headers={"X-Forwarded-For": f"203.0.113.{number}"},
            timeout=10,
        )
        .status_code
        for number in range(20)
    ]
    assert set(statuses) == {200, 429}
    store = SqliteStore(site.system.folder / "cloud.sqlite")
    try:
        assert [alert.kind for alert in store.recent_alerts(10)] == []
    finally:
        store.close()
