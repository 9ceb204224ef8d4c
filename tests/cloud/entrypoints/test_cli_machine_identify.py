"""`arcade-cloud machine identify`: a sign on a machine's screen by command."""

from pathlib import Path

import pytest

from arcade_cloud.bootstrap import build
from arcade_cloud.config.settings import load
from arcade_cloud.entrypoints.cli import main


def test_a_screen_that_is_on_shows_a_sign_and_without_one_the_command_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {
        "STRIPE_API_KEY": "sk_test_nobody",
        "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
        "STRIPE_PRICE_ID": "price_nobody",
        "EMQX_BROKER_URL": "127.0.0.1",
        "MQTT_TLS": "0",
        "SIGNING_SECRET": "s" * 40,
        "PUBLIC_BASE_URL": "https://play.example",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.sqlite'}",
    }
    monkeypatch.chdir(tmp_path)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert main(["machine", "add", "cab-01"]) == 0
    capsys.readouterr()
    assert main(["machine", "identify", "cab-01"]) == 1
    assert "open /kiosk/cab-01 on the machine's own screen" in capsys.readouterr().err
    with build(load(values, None)) as cloud:
        assert cloud.services.identify.look("cab-01") == ()
        assert main(["machine", "identify", "cab-01"]) == 0
        (emblem,) = cloud.services.identify.look("cab-01")
    assert f"its screen shows a {emblem.words} within seconds" in capsys.readouterr().out
    assert main(["machine", "identify", "cab-99"]) == 1
    assert "no machine cab-99 is registered" in capsys.readouterr().err
