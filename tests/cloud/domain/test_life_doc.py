"""docs/ORDER_LIFE.md tells what the code does: every state, every alert, every limit and the published times."""

import re
from pathlib import Path
from typing import get_args

import pytest

from arcade_cloud.domain.alerts import AlertKind, ConditionKind
from arcade_cloud.domain.credit import PUBLISH_BACKOFF_S, REVOKE_BACKOFF_S, UNCONFIRMED_AFTER_S
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.order import State
from arcade_cloud.domain.payment import OPEN_AT_MOST_S
from arcade_cloud.domain.quiet_hours import URGENT
from arcade_cloud.domain.settlement import (
    ATTEMPT_LIFE_MS,
    PATIENT_BACKOFF_S,
    REFUND_FAILURES,
    SETTLE_ATTEMPTS,
    SETTLE_BACKOFF_S,
)

ROOT = Path(__file__).parents[3]
DOC = (ROOT / "docs/ORDER_LIFE.md").read_text()
CODE = ROOT / "cloud/arcade_cloud"
LIMITS = Limits()


def rows(heading: str) -> dict[str, str]:
    """The rows of a section's table: what stands first, and the rest."""
    section = re.split(r"^## ", DOC, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(heading + "\n")]
    found = re.findall(r"^\| `([^`]+)` \| (.+) \|$", text, flags=re.MULTILINE)
    assert len(found) == len(dict(found)), "told twice"
    return dict(found)


def test_every_alert_is_listed_with_what_to_do_about_it() -> None:
    assert set(rows("Alerts")) == {*get_args(AlertKind), *get_args(ConditionKind)}


def test_what_cannot_wait_until_the_morning_is_marked() -> None:
    assert {kind for kind, row in rows("Alerts").items() if row.startswith("☾ ")} == URGENT


def test_every_kind_of_alert_is_raised_somewhere() -> None:
    """mypy sees to it that no other is."""
    sources = [path.read_text() for path in CODE.rglob("*.py") if path.name not in {"alerts.py", "quiet_hours.py"}]
    for kind in (*get_args(AlertKind), *get_args(ConditionKind)):
        assert any(f'"{kind}"' in source for source in sources), kind


def test_every_state_is_listed() -> None:
    assert set(rows("States")) == set(get_args(State))


def test_every_limit_is_listed_with_its_default() -> None:
    defaults = {name.upper(): str(getattr(LIMITS, name)) for name in LIMITS.__dataclass_fields__}
    assert {name: row.split(" ")[0] for name, row in rows("Limits").items()} == defaults


@pytest.mark.parametrize(
    ("seconds", "which"),
    [
        (LIMITS.deliver_within_s + LIMITS.silence_limit_s + 2 * REVOKE_BACKOFF_S[-1] + LIMITS.answer_s, "taken"),
        (
            LIMITS.deliver_within_s + LIMITS.hold_silence_limit_s + 2 * REVOKE_BACKOFF_S[-1] + LIMITS.answer_s,
            "held",
        ),
        (LIMITS.deliver_within_s + LIMITS.last_resort_s + REVOKE_BACKOFF_S[-1], "broken"),
    ],
)
def test_the_published_times_are_what_the_limits_give(seconds: int, which: str) -> None:
    (row,) = [line for line in DOC.splitlines() if line.startswith("|") and f"= {seconds} s" in line]
    assert which in row


@pytest.mark.parametrize(
    "text",
    [
        f"after {', '.join(map(str, PUBLISH_BACKOFF_S[:-1]))} and then every {PUBLISH_BACKOFF_S[-1]} s",
        f"after {', '.join(map(str, REVOKE_BACKOFF_S[:-1]))} and then every {REVOKE_BACKOFF_S[-1]} s",
        f"after {', '.join(map(str, SETTLE_BACKOFF_S[:-2]))} and {SETTLE_BACKOFF_S[-2]} s, then every hour",
        f"{SETTLE_ATTEMPTS} attempts",
        f"{ATTEMPT_LIFE_MS // 60_000} minutes after it was last tried",
        f"after {REFUND_FAILURES} failures",
        f"every {PATIENT_BACKOFF_S[-1] // 3600} hours",
        f"for {OPEN_AT_MOST_S // 86_400} days",
        f"{UNCONFIRMED_AFTER_S} s after the one message",
    ],
)
def test_every_figure_is_the_code_s(text: str) -> None:
    assert text in " ".join(DOC.split())
