"""The state of orders and machines: a port and its adapters."""

from pathlib import Path

from arcade_cloud.errors import StoreUnavailable
from arcade_cloud.ports.whole_store import WholeStore

_SQLITE = "sqlite:///"
_DYNAMODB = "dynamodb://"


def open_store(database_url: str, *, dynamodb_endpoint: str | None = None) -> WholeStore:
    """The store that a DATABASE_URL names. Only its own adapter is imported.

    Args:
        database_url: `sqlite:///name` is a file in the working directory, `sqlite:////var/lib/arcade/arcade.db` a
            file anywhere. `dynamodb://table` is a table in the region of the AWS environment,
            `dynamodb://table?region=…` one in another region. A table is first reached when it is used.
        dynamodb_endpoint: The address of a stand-in for AWS.

    Raises:
        StoreUnavailable: The address is none of these, or the store cannot be opened.
    """
    path = sqlite_path(database_url)
    if path is not None:
        from arcade_cloud.adapters.store.sqlite.store import SqliteStore

        return SqliteStore(path)
    if database_url.startswith(_DYNAMODB):
        from arcade_cloud.adapters.store.dynamodb.store import DynamoStore
        from arcade_cloud.config.dynamodb_address import parse

        try:
            address = parse(database_url)
        except ValueError as error:
            raise StoreUnavailable(f"DATABASE_URL: {error}") from error
        return DynamoStore(address, dynamodb_endpoint)
    scheme = database_url.split(":", 1)[0]
    raise StoreUnavailable(
        f"DATABASE_URL: nothing is known of {scheme[:40]!r}: write sqlite:///arcade.db or dynamodb://table"
    )


def sqlite_path(database_url: str) -> Path | None:
    """The file that a DATABASE_URL names; None if it names something else.

    Raises:
        StoreUnavailable: It begins with `sqlite:///` and names no file.
    """
    if not database_url.startswith(_SQLITE):
        return None
    path = database_url.removeprefix(_SQLITE)
    if not path or path == ":memory:" or "?" in path:
        raise StoreUnavailable(
            f"DATABASE_URL: {database_url!r} names no file: write sqlite:///arcade.db or sqlite:////folder/arcade.db"
        )
    return Path(path)
