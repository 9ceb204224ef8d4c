"""The HTTP side of the cloud: routes, pages and error responses."""
