"""What an import brings along: messages, topics and signatures can be had without an MQTT client."""

import subprocess
import sys

IMPORT_ALL_BUT_MQTT = """
import importlib, pkgutil, sys, arcade_shared
for module in pkgutil.iter_modules(arcade_shared.__path__, "arcade_shared."):
    if module.name != "arcade_shared.mqtt":
        importlib.import_module(module.name)
print(*sorted({"paho", "ssl", "socket"} & sys.modules.keys()))
"""


def test_only_the_connection_imports_an_mqtt_client() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL_BUT_MQTT], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
