"""The address of a DynamoDB table as DATABASE_URL writes it: `dynamodb://table?region=ap-southeast-1` (pure)."""

import re
from dataclasses import dataclass

# AWS defines what a table's name looks like. Only the form of a region is checked: new ones open every year.
_ADDRESS = re.compile(r"dynamodb://([A-Za-z0-9_.-]{3,255})/?(?:\?region=([a-z0-9-]{1,40}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableAddress:
    """A table and its region. None: the region that the AWS environment names."""

    table: str
    region: str | None = None


def parse(url: str) -> TableAddress:
    """Read the table that a DATABASE_URL names.

    Raises:
        ValueError: with what to write instead.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise ValueError("must be dynamodb://table or dynamodb://table?region=ap-southeast-1")
    return TableAddress(table=found[1], region=found[2])
