"""What the people who run the arcade use, from the command line and from the console alike."""

from dataclasses import dataclass

from arcade_cloud.ports.people import PeopleStore
from arcade_cloud.services.accounts import Accounts
from arcade_cloud.services.acts import Acts
from arcade_cloud.services.audit_log import AuditLog
from arcade_cloud.services.finding import Finding
from arcade_cloud.services.overview import Overview
from arcade_cloud.services.receipts import Receipts
from arcade_cloud.services.self_check import SelfCheck
from arcade_cloud.services.sign_in import SignIn
from arcade_cloud.services.stickers import Stickers
from arcade_cloud.services.takings import Takings


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What can be done and seen by people, and only by people.

    Attributes:
        people: What is stored about them.
        acts: What they do with machines, money and alerts.
        accounts: Who they are.
        sign_in: Who sits at which browser.
        log: What they did.
        self_check: Tries every part, for the page of the settings.
    """

    people: PeopleStore
    acts: Acts
    accounts: Accounts
    sign_in: SignIn
    log: AuditLog
    self_check: SelfCheck
    finding: Finding
    takings: Takings
    receipts: Receipts
    overview: Overview
    stickers: Stickers
