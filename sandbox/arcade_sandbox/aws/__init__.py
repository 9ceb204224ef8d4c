"""The cloud as it stands at AWS, on loopback."""
