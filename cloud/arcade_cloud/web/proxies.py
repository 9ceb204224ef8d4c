"""A reverse proxy that no setting tells of: everybody behind it counts as one visitor. A person is told once."""

import logging
from contextlib import suppress

from flask import Flask, request

from arcade_cloud.domain.alerts import alert
from arcade_cloud.errors import StoreUnavailable
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.hosts import GATEWAY_HOST

logger = logging.getLogger(__name__)

TEXT = (
    "Requests come with X-Forwarded-For, and TRUSTED_PROXIES is 0: everybody behind that proxy counts as one "
    "visitor, with one limit for all. Set TRUSTED_PROXIES to the number of reverse proxies in front of this site. "
    "If there is none, somebody made the header up, and nothing is wrong."
)


def install(app: Flask, dependencies: Dependencies) -> None:
    """Raise an alert with the first request that was forwarded, unless proxies are trusted."""
    if dependencies.settings.trusted_proxies > 0:
        return
    fulfilment = dependencies.fulfilment
    told = False

    def tell() -> None:
        nonlocal told
        if told or "X-Forwarded-For" not in request.headers:
            return
        if GATEWAY_HOST in request.environ:  # AWS itself says who connected
            return
        with suppress(StoreUnavailable):  # the next request tells it
            if fulfilment.store.raise_alert(
                alert("untrusted_proxy", "TRUSTED_PROXIES", TEXT, fulfilment.now_ms())
            ):
                logger.warning("%s", TEXT)
            told = True

    app.before_request(tell)
