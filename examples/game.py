"""A game that starts when its credits are paid for, and says when it is over.

    pip install paho-mqtt requests
    export MQTT_PASSWORD=… ARCADE_API_KEY=… ARCADE_SIGNING_KEY=…
    python game.py --machine cab-01 --cloud https://play.example --broker broker.example --user cab-01-game

ARCADE_API_KEY comes from `arcade-cloud key add "Space Duel" --scope gameover --machine cab-01`,
ARCADE_SIGNING_KEY from the machine's config (`arcade-cloud machine config cab-01`, `signing_key`), the broker's
user from whoever runs the broker. It needs no more rights there than to read arcade/machine/cab-01/coinpulse.

What to take from it for a game of your own:

- Credits that are written down before the message is acknowledged (`manual_ack`) survive a power cut.
- The broker may deliver a message twice. `creditId` tells: a credit counts once.
- Anybody with access to the broker can publish. The signature tells who did.
- A game over counts once the cloud has answered 200. Until then, ask again.
"""

import argparse
import hashlib
import hmac
import json
import os
import queue
import time
from pathlib import Path
from typing import Any

import requests
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

# The broker keeps messages for so long while the game is off. Paid credits are no good to a player who has gone.
OFFLINE_S = 60
GAME_OVER_TRIES = 5


def is_signed(key: str, topic: str, fields: dict[str, Any]) -> bool:
    """Whether the cloud has published this: see docs/API.md, "Signatures"."""
    signed = {name: value for name, value in fields.items() if name != "signature"}
    text = topic + "\n" + json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    right = hmac.new(bytes.fromhex(key), text.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(str(fields.get("signature", "")).encode(), right.encode())


class Credits:
    """The credits that were ever paid for, each once, in a file that outlives the game."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._known = {json.loads(line)["creditId"] for line in lines if line.endswith("}")}

    def add(self, credit_id: str, count: int) -> bool:
        """Write a credit down. False if it is known."""
        if credit_id in self._known:
            return False
        with self._path.open("a") as file:
            file.write(json.dumps({"creditId": credit_id, "credits": count}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._known.add(credit_id)
        return True


class Game:
    """Waits for credits, plays, and tells when it is over."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._topic = f"arcade/machine/{options.machine}/coinpulse"
        self._credits = Credits(options.credits)
        self._paid: queue.Queue[int] = queue.Queue()

    def connect(self) -> Client:
        """Connect, and listen on paho's own thread from now on."""
        options = self._options
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{options.user}-{options.machine}",
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        client.username_pw_set(options.user, os.environ["MQTT_PASSWORD"])
        client.tls_set(ca_certs=options.ca)
        client.on_connect = lambda client, *_: client.subscribe(self._topic, qos=1)
        client.on_subscribe = lambda *_: print(f"ready: waiting for credits of {options.machine}", flush=True)
        client.on_message = self._on_message
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = OFFLINE_S
        client.connect(options.broker, options.port, clean_start=False, properties=session)
        client.loop_start()
        return client

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        """Runs on paho's thread, which ends for good with an error: so nothing here may raise one."""
        try:
            count = self._taken(message)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            count = 0
            print(f"ignored: {type(error).__name__}", flush=True)
        except OSError as error:
            print(f"the credit cannot be written down: {error}", flush=True)
            return  # without an acknowledgement the broker sends it again, at the next start
        if count:
            self._paid.put(count)
        client.ack(message.mid, message.qos)  # only now: the credit is on the disk

    def _taken(self, message: MQTTMessage) -> int:
        """How many credits a message brings."""
        fields = json.loads(message.payload)
        if not isinstance(fields, dict):
            raise TypeError("no object")
        key = os.environ.get("ARCADE_SIGNING_KEY")
        if message.retain or (key and not is_signed(key, message.topic, fields)):
            print("ignored: not a fresh message of the cloud", flush=True)
            return 0
        count = fields["credits"]
        if type(count) is not int or count < 1:
            return 0  # such as what a technician's `arcade-edge doctor` sends to try the broker
        if not self._credits.add(fields["creditId"], count):
            print("ignored: this credit is known", flush=True)
            return 0
        return count

    def play(self) -> None:
        """Play whatever is paid for, for ever."""
        while True:
            count = self._paid.get()
            print(f"start: {count} credits", flush=True)
            for _ in range(count):
                time.sleep(self._options.seconds)  # here is your game
            print("game over" if self.tell_game_over() else "game over, and nobody was told", flush=True)

    def tell_game_over(self) -> bool:
        """Tell the cloud, which tells everybody who listens. Returns whether it has confirmed that."""
        for attempt in range(GAME_OVER_TRIES):
            try:
                answer = requests.post(
                    f"{self._options.cloud}/gameover",
                    json={"machine_id": self._options.machine},
                    headers={"Authorization": f"Bearer {os.environ['ARCADE_API_KEY']}"},
                    timeout=10,
                )
            except requests.RequestException as error:
                print(f"the cloud cannot be reached: {type(error).__name__}", flush=True)
            else:
                if answer.status_code == 200:
                    return True
                print(f"the cloud says {answer.status_code}: {answer.text.strip()}", flush=True)
                if answer.status_code < 500 and answer.status_code != 429:
                    return False  # asking again changes nothing: it is the key, or the machine
            time.sleep(2**attempt)
        return False


def main() -> None:
    """Run the game until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", required=True, help="the machine's id")
    parser.add_argument("--cloud", required=True, help="the address of the cloud, such as https://play.example")
    parser.add_argument("--broker", required=True, help="the broker's host")
    parser.add_argument("--port", type=int, default=8883)
    parser.add_argument("--user", required=True, help="the game's user at the broker")
    parser.add_argument("--ca", help="the broker's certificate authority, if the system does not know it")
    parser.add_argument(
        "--credits", type=Path, default=Path("credits.jsonl"), help="the file of what was paid for"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="how long a credit lasts")
    game = Game(parser.parse_args())
    client = game.connect()
    try:
        game.play()
    except KeyboardInterrupt:
        client.disconnect()


if __name__ == "__main__":
    main()
