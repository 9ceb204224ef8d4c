"""What the cloud and the cabinets must agree on: topics, payloads, signatures and ids."""
