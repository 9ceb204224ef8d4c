"""The state of orders and machines: a port and its adapters."""
