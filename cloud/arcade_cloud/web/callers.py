"""Other software that calls with an API key of its own: what it may do."""

from flask import Request

from arcade_cloud.domain.api_keys import ApiKey, Scope, check_scope, is_meant
from arcade_cloud.errors import Unauthorized
from arcade_cloud.services.api_keys import ApiKeys
from arcade_cloud.web.guards import given_key

API_KEY_HEADER = "X-Api-Key"


def key_for(request: Request, keys: ApiKeys, scope: Scope) -> ApiKey | None:
    """The API key that a request carries; None if it carries none.

    What does not look like an API key is none: a route that is open without one stays open to software that sends
    a key of some other system.

    Raises:
        Unauthorized: The key is wrong, or was revoked.
        Forbidden: It does not have the scope.
    """
    given = given_key(request, API_KEY_HEADER)
    if not is_meant(given):
        return None
    key = keys.authenticate(given)
    check_scope(key, scope)
    return key


def required_key_for(request: Request, keys: ApiKeys, scope: Scope) -> ApiKey:
    """As `key_for`, for a route that is open to nobody without a key.

    Raises:
        Unauthorized: There is no key, or it is wrong, or was revoked.
        Forbidden: It does not have the scope.
    """
    key = key_for(request, keys, scope)
    if key is None:
        raise Unauthorized(
            f"This needs an API key with the scope {scope}. Send it as `Authorization: Bearer …` or "
            f"`{API_KEY_HEADER}: …`."
        )
    return key
