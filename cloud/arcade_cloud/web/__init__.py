"""The doors of the cloud: HTTP."""
