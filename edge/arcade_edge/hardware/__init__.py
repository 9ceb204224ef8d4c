"""The pins of the Raspberry Pi and the serial line."""
