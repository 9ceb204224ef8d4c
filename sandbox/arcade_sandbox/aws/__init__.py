"""The cloud as it runs on AWS, on loopback."""
