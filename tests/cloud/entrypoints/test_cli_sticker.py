"""`arcade-cloud sticker`: printed by a real renderer, and read by a real decoder."""

import io
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pypdfium2  # type: ignore[import-untyped]
import pytest
import zxingcpp
from PIL import Image

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.machines import Machine
from arcade_cloud.entrypoints.cli import main
from support.pictures import codes_in

BASE_URL = "https://play.example"
DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "STRIPE_API_KEY": "sk_test_nobody",
        "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
        "STRIPE_PRICE_ID": "price_nobody",
        "EMQX_BROKER_URL": "127.0.0.1",
        "MQTT_TLS": "0",
        "SIGNING_SECRET": "s" * 40,
        "PUBLIC_BASE_URL": BASE_URL,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.sqlite'}",
    }.items():
        monkeypatch.setenv(name, value)
    with closing(SqliteStore(tmp_path / "cloud.sqlite")) as opened:
        yield opened


def register(store: SqliteStore, *names: str) -> list[str]:
    ids = [f"cab-{number:02}" for number in range(len(names))]
    for machine_id, name in zip(ids, names, strict=True):
        store.put_machine(Machine(machine_id=machine_id, version=1, name=name), 0)
    return ids


def printed(path: Path) -> tuple[list[list[str]], str]:
    """The codes of each page, as a printer with 200 dots an inch makes them, and all text."""
    pages, text = [], ""
    with closing(pypdfium2.PdfDocument(path)) as document:
        for page in document:
            png = io.BytesIO()
            page.render(scale=200 / 72).to_pil().save(png, "PNG")
            pages.append(sorted(codes_in(png.getvalue())))
            text += page.get_textpage().get_text_range()
    return pages, text


@pytest.mark.parametrize("sheet", ["a4", "letter"])
@pytest.mark.parametrize("per_page", [1, 4, 12, 24])
def test_every_code_of_a_full_sheet_is_read_and_all_is_in_print(
    store: SqliteStore, tmp_path: Path, sheet: str, per_page: int
) -> None:
    ids = register(store, *(f"Pusat Hiburan Ceria é {number}" for number in range(per_page + 1)))
    path = tmp_path / "sheet.pdf"
    assert main(["sticker", "--all", "--sheet", sheet, "--per-page", str(per_page), "-o", str(path)]) == 0
    pages, text = printed(path)
    assert pages == [[f"{BASE_URL}/m/{one}" for one in ids[:-1]], [f"{BASE_URL}/m/{ids[-1]}"]]
    for one in ids:
        assert one in text
    for word in ("play.example", "Scan to play", "Ceria"):
        assert text.count(word) >= len(ids), word


def test_the_longest_id_and_name_still_fit_and_are_read(store: SqliteStore, tmp_path: Path) -> None:
    store.put_machine(Machine(machine_id="m" * 64, version=1, name="W" * 60), 0)
    path = tmp_path / "one.pdf"
    assert main(["sticker", "m" * 64, "-o", str(path)]) == 0
    pages, text = printed(path)
    assert pages == [[f"{BASE_URL}/m/{'m' * 64}"]]
    joined = "".join(text.split())
    assert "m" * 64 in joined
    assert "W" * 60 in joined


def test_a_name_that_the_font_lacks_is_refused_and_one_that_it_has_is_printed(
    store: SqliteStore, tmp_path: Path, capsys: Any
) -> None:
    register(store, "Игра", "街机")
    path = tmp_path / "one.pdf"
    assert main(["sticker", "cab-00", "-o", str(path)]) == 1
    assert "--font" in capsys.readouterr().err
    if not DEJAVU.exists():
        pytest.skip("no font is installed")
    assert main(["sticker", "cab-00", "--font", str(DEJAVU), "-o", str(path)]) == 0
    assert "Игра" in printed(path)[1]
    assert main(["sticker", "cab-01", "--font", str(DEJAVU), "-o", str(path)]) == 1
    assert "does not have" in capsys.readouterr().err
    assert main(["sticker", "cab-00", "--font", str(tmp_path / "cloud.sqlite"), "-o", str(path)]) == 1
    assert "cannot be used" in capsys.readouterr().err


def test_a_code_bears_damage_and_has_its_quiet_zone_on_every_side(store: SqliteStore, tmp_path: Path) -> None:
    """The dark parts of the picture begin four modules inside the white place that the code has."""
    register(store, "")
    path = tmp_path / "one.svg"
    assert main(["sticker", "cab-00", "-o", str(path)]) == 0
    drawn = path.read_text()
    size = int(re.findall(r'viewBox="0 0 (\d+) ', drawn)[0])
    runs = [tuple(map(int, run)) for run in re.findall(r"M(\d+) (\d+)h(\d+)v1", drawn)]
    assert min(x for x, _, _ in runs) == min(y for _, y, _ in runs) == 4
    assert max(x + length for x, _, length in runs) == max(y + 1 for _, y, _ in runs) == size - 4
    picture = Image.new("L", (size, size), 255)
    for x, y, length in runs:
        picture.paste(0, (x, y, x + length, y + 1))
    (found,) = zxingcpp.read_barcodes(picture.resize((size * 6, size * 6), Image.Resampling.NEAREST))
    assert (found.text, found.ec_level) == (f"{BASE_URL}/m/cab-00", "Q")


def test_an_svg_names_the_machine_and_escapes_what_it_is_called(store: SqliteStore, tmp_path: Path) -> None:
    from xml.etree import ElementTree

    register(store, "Duel & <街机>")
    path = tmp_path / "one.svg"
    assert main(["sticker", "cab-00", "-o", str(path)]) == 0
    drawn = ElementTree.fromstring(path.read_text())
    texts = [found.text for found in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["Duel & <街机>", "Scan to play", "play.example", "cab-00"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "x.pdf"],
        ["cab-00", "--all", "-o", "x.pdf"],
        ["--all", "-o", "x.svg"],
        ["cab-00", "cab-01", "-o", "x.svg"],
        ["cab-00", "-o", "x.png"],
    ],
)
def test_a_wrong_call_writes_nothing(store: SqliteStore, tmp_path: Path, arguments: list[str]) -> None:
    register(store, "a", "b")
    assert main(["sticker", *arguments]) == 2
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize(
    "base_url", ["http://localhost:5000", "https://localhost", "https://192.168.1.4", "https://arcade.local"]
)
def test_an_address_that_no_phone_reaches_is_not_printed(
    store: SqliteStore, tmp_path: Path, base_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    register(store, "a")
    monkeypatch.setenv("PUBLIC_BASE_URL", base_url)
    assert main(["sticker", "cab-00", "-o", "x.svg"]) == 1
    assert "PUBLIC_BASE_URL" in capsys.readouterr().err
    assert main(["sticker", "cab-00", "-o", "x.svg", "--force"]) == 0
