"""Secrets and signatures are compared in constant time, wherever one is compared at all."""

import ast
import hmac
import inspect
import re
from pathlib import Path

import pytest
import stripe

from arcade_cloud.adapters.stripe import events as webhook
from arcade_cloud.web import guards as arriving
from arcade_shared import signing

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path
    for folder in ("shared/arcade_shared", "cloud/arcade_cloud", "edge/arcade_edge")
    for path in (ROOT / folder).rglob("*.py")
)
SECRET = re.compile(
    r"secret|signature|password|cookie|hmac|digest|token|(api|machine|echo|browser|signing|session)_key"
)
# What only sounds like a secret, or is compared with a value of our own, where nobody measures.
NO_SECRET = {
    "key in secrets": "two settings, at the start",
    "found.get('by') == {'S': token}": "who wrote an item of ours",
    "c.draw.token == token": "what has drawn a credit: a hash, and who draws has the secret",
    "token == _BENCH": "the number of a pulse",
    "sent == token": "the number of a progress message",
    "held == token": "the number of a train",
    "token != (credit.credit_id, credit.delivered)": "the number of a pulse",
    "password.strip().lower() == name": "a new password, which its owner gives",
    "person.password_hash == old_hash": "two hashes that are stored",
    "request.why == BAD_SIGNATURE": "a word for what was wrong",
}


def comparisons(source: str) -> list[str]:
    """Every `==`, `!=`, `in` and `not in` that has to do with something named like a secret."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare):
            continue
        if not any(isinstance(operator, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for operator in node.ops):
            continue
        sides = [side for side in (node.left, *node.comparators) if not isinstance(side, ast.Constant)]
        names = {part.id for side in sides for part in ast.walk(side) if isinstance(part, ast.Name)}
        names |= {part.attr for side in sides for part in ast.walk(side) if isinstance(part, ast.Attribute)}
        if any(SECRET.search(name.lower()) for name in names):
            found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_secret_is_compared_letter_by_letter(module: Path) -> None:
    assert set(comparisons(module.read_text())) <= set(NO_SECRET)


def test_every_exception_is_still_there() -> None:
    every = {comparison for module in MODULES for comparison in comparisons(module.read_text())}
    assert every == set(NO_SECRET)


@pytest.mark.parametrize(
    "source",
    ["given == settings.ingest_secret", "if fields['x'] != signature(key): pass", "password in passwords"],
)
def test_what_is_looked_for_is_found(source: str) -> None:
    assert comparisons(source)


def test_who_decides_by_a_secret_compares_in_constant_time() -> None:
    for decides in (signing.verify, arriving.check_key):
        assert "hmac.compare_digest(" in inspect.getsource(decides)
    assert "WebhookSignature.verify_header(" in inspect.getsource(webhook.verify)
    theirs = inspect.getsource(stripe.WebhookSignature)
    assert "secure_compare(" in theirs
    from stripe._util import secure_compare

    assert secure_compare is hmac.compare_digest or "compare_digest" in inspect.getsource(secure_compare)
