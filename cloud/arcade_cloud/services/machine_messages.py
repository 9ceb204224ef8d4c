"""Inbound messages: the machines' acks, statuses and game overs, and the cloud's own echoes.

They come in two ways: a cloud that runs as a process subscribes to them; a serverless cloud gets them from the
broker's rule engine through `/ingest`. Both call `MachineMessages.take_in`.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from arcade_cloud.domain import game_overs, machines
from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.clocks import why_closed
from arcade_cloud.domain.closure import ended_since
from arcade_cloud.domain.events import Acked
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import SKEW_MS
from arcade_cloud.domain.machines import Presence, PresenceUpdate
from arcade_cloud.domain.order import UnmatchedAck
from arcade_cloud.domain.uptime import state_changes
from arcade_cloud.errors import Conflict, InvariantBroken
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.machine_watch import MachineWatch
from arcade_cloud.services.rate_limit import Rate, RateLimiter, Share
from arcade_shared.cabinet import NOT_REGISTERED
from arcade_shared.errors import BadMessage, BadSignature
from arcade_shared.messages import Ack, Echo, Gameover, Status, from_object, parse_object
from arcade_shared.signing import key_fingerprint, verify
from arcade_shared.topics import ECHO, MachineTopic, parse_machine_topic
from arcade_shared.trial import DOCTOR

# What a message was taken in as. `stale`: a status older than the known one. `unsigned`: a game over without a
# signature. `unmatched`: an ack for a credit that no order knows.
TakenAs = Literal["ack", "unmatched", "status", "stale", "gameover", "unsigned", "echo"]

PRESENCE_RETRIES = 10
# How many unmatched acks one machine may leave per minute. Real machines leave far fewer; the limit keeps somebody
# with a stolen key from filling the store.
UNMATCHED_ACKS_PER_MINUTE = 30
_UNMATCHED = Rate(per_minute=UNMATCHED_ACKS_PER_MINUTE, burst=UNMATCHED_ACKS_PER_MINUTE)
# How many game overs of one machine are kept: so many at once, then so many a minute. A game takes longer. The
# rest is counted, so that a machine whose line is loose fills no store.
GAME_OVERS_PER_MINUTE, GAME_OVERS_AT_ONCE = 4, 10
_GAME_OVERS = Rate(per_minute=GAME_OVERS_PER_MINUTE, burst=GAME_OVERS_AT_ONCE)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class MachineMessages:
    """Takes in inbound messages."""

    fulfilment: Fulfilment
    keyring: Keyring
    watch: MachineWatch
    limiter: RateLimiter = field(default_factory=RateLimiter, repr=False)
    _unrecorded: Counter[str] = field(default_factory=Counter, repr=False)  # refused messages, by machine
    _left_out: Counter[str] = field(default_factory=Counter, repr=False)  # game overs, by machine

    def take_in(self, topic: str, payload: bytes) -> TakenAs:
        """Take in one message. Taking it in again changes nothing.

        Raises:
            BadMessage: The message must be refused: its topic, form, signature or machine is wrong.
            StoreUnavailable: It may not have been stored, so the message must be delivered again.
        """
        if topic == ECHO:
            return self._echo(parse_object(payload))
        place = parse_machine_topic(topic)
        fields = parse_object(payload)
        try:
            return self._take_in(place, fields)
        except BadSignature:
            if place.kind in {"ack", "status"} and _looks_signed(place, fields):
                self._note_refused(place.machine_id)
            raise

    def _take_in(self, place: MachineTopic, fields: dict[str, Any]) -> TakenAs:
        match place.kind:
            case "ack":
                return self._ack(place, fields)
            case "status":
                return self._status(place, fields)
            case "gameover":
                return self._game_over(place, fields)
            case _:
                raise BadMessage(f"the cloud takes in no {place.kind}")

    def _note_refused(self, machine_id: str) -> None:
        """Note that a registered machine may speak with a key that is not valid, and tell a person."""
        store, now_ms = self.fulfilment.store, self.fulfilment.now_ms()
        machine, presence = store.machine(machine_id), store.presence(machine_id)
        if machine is None or machine.kind == "subscriber":
            return
        if machines.is_refusal_recorded(presence, now_ms):
            self._unrecorded[machine_id] += 1  # a flood must not make this cloud write as often
            return
        messages = self._unrecorded.pop(machine_id, 0) + 1
        text = (
            f"Messages of machine {machine_id} have a wrong signature, so nothing that it says counts. Nobody can "
            f"pay for it, and its orders wait. arcade-cloud machine show {machine_id} counts them. If "
            "SIGNING_SECRET was replaced, put the old secret back behind the new one, with a comma between. "
            "Otherwise compare its signing_key with arcade-cloud machine config."
        )
        self.watch.alerts.begin("signature_refused", machine_id, text)
        self._update(
            machine_id, lambda before: PresenceUpdate(presence=machines.refused(before, now_ms, messages))
        )

    def _well_again(self, presence: Presence) -> None:
        # First the condition, then the record: if this process dies in between, the next status does it again.
        machine_id = presence.machine_id
        refused = machines.refused_text(presence, self._unrecorded.pop(machine_id, 0))
        text = f"Machine {machine_id} signs with a valid key again{f': {refused}' if refused else ''}."
        self.watch.alerts.end("signature_refused", machine_id, text)
        self._update(machine_id, lambda before: PresenceUpdate(presence=machines.well_again(before)))

    def _note_contested(self, machine_id: str, contested: bool) -> None:
        # First the condition, then the record: if this process dies in between, the next status does it again.
        if contested:
            text = (
                f"Somebody else kept connecting to the broker with the client id of machine {machine_id}'s agent, "
                "so the broker ended the agent's connections. The agent goes on with another id. Look for a "
                "second agent with a copy of its journal. If there is none, somebody knows the id: let nobody but "
                "the broker's operator read $SYS/#, and change the broker's passwords that may have leaked."
            )
            self.watch.alerts.begin("taken_over", machine_id, text)
        else:
            self.watch.alerts.end(
                "taken_over", machine_id, f"Nobody takes the client id of machine {machine_id}'s agent any more."
            )
        self._update(
            machine_id,
            lambda before: PresenceUpdate(presence=msgspec.structs.replace(before, contested=contested)),
        )

    def _verified(self, place: MachineTopic, fields: dict[str, Any]) -> bytes:
        key = verify(self.keyring.of_machine(place.machine_id), str(place), fields)
        if fields.get("machineId") != place.machine_id:
            raise BadMessage("the machine id in the payload is not the one in the topic")
        return key

    def _echo(self, fields: dict[str, Any]) -> TakenAs:
        verify(self.keyring.of_echo, ECHO, fields)
        echo = from_object(Echo, fields)
        if echo.timestamp_ms > self.fulfilment.now_ms() + SKEW_MS:
            raise BadMessage("the echo is from the future")
        self.fulfilment.heard_echo_ms()  # one from the future would stand in the way of this one
        self.fulfilment.store.note_echo(echo.timestamp_ms)
        return "echo"

    def _ack(self, place: MachineTopic, fields: dict[str, Any]) -> TakenAs:
        self._verified(place, fields)
        ack = from_object(Ack, fields)
        order_id = self.fulfilment.store.order_of_credit(ack.credit_id)
        if order_id is not None:
            self.fulfilment.move(order_id, Acked(ack))
            return "ack"
        self._check_rate(place)
        now_ms = self.fulfilment.now_ms()
        unmatched = UnmatchedAck(
            machine_id=ack.machine_id,
            credit_id=ack.credit_id,
            installation=ack.installation,
            state=ack.state,
            delivered=ack.delivered,
            uncertain=ack.uncertain,
            at_ms=now_ms,
        )
        self.fulfilment.store.note_unmatched_ack(unmatched)
        text = f"Machine {ack.machine_id} reports {ack.state}, {ack.delivered} delivered, for an unknown credit."
        self.fulfilment.store.raise_alert(
            alert("unmatched_ack", ack.machine_id, text, now_ms, about=ack.credit_id)
        )
        return "unmatched"

    def _status(self, place: MachineTopic, fields: dict[str, Any]) -> TakenAs:
        key = self._verified(place, fields)
        status = from_object(Status, fields)
        store = self.fulfilment.store
        if store.machine(place.machine_id) is None:
            raise BadMessage(f"no machine {place.machine_id} is registered")
        now_ms = self.fulfilment.now_ms()
        if why_closed(self.fulfilment.payments.clock_off_ms()) is not None:
            status = msgspec.structs.replace(status, nonce="")  # no Pi may live by a wrong clock
        update = self._update(
            place.machine_id,
            lambda before: machines.apply_status(
                before, status, key_fingerprint(key), now_ms, self.watch.silent_ms
            ),
        )
        if update is None:
            return "stale"
        if update.rival is not None:
            text = (
                f"Two Pis use the machine id {place.machine_id}: installations {update.rival[:8]} and "
                f"{status.installation[:8]}. Nobody can pay for the machine until one is switched off."
            )
            each_hour = str(now_ms // 3_600_000)
            store.raise_alert(alert("two_installations", place.machine_id, text, now_ms, each_hour))
        if update.watched_anew:
            self.watch.heard(place.machine_id)
        if machines.is_well_again(update.presence, now_ms):
            self._well_again(update.presence)
        if update.contested is not None:
            self._note_contested(place.machine_id, update.contested)
        if update.unregistered or update.presence.reason == NOT_REGISTERED:
            self._out_of_sale(place.machine_id, update, now_ms)
        if update.answer_nonce:
            self.fulfilment.sender.clock(place.machine_id, update.answer_nonce)
            if status.agent == DOCTOR:
                self.fulfilment.sender.trials(place.machine_id, update.answer_nonce)
        return "status"

    def _out_of_sale(self, machine_id: str, update: PresenceUpdate, now_ms: int) -> None:
        """Tell a person that a machine has gone out of sale; where it was closed then, once it no longer is."""
        machine = self.fulfilment.store.machine(machine_id)
        if machine is None or machine.closed(now_ms) is not None:
            return
        if update.unregistered or ended_since(machine.closure, update.heard_before_ms, now_ms):
            self.watch.out_of_sale(machine_id)

    def _update(self, machine_id: str, change: Callable[[Presence], PresenceUpdate]) -> PresenceUpdate | None:
        """Change a machine's presence and store it. None if nothing changes."""
        store = self.fulfilment.store
        for _ in range(PRESENCE_RETRIES):
            known = store.presence(machine_id)
            before = Presence(machine_id=machine_id) if known is None else known
            update = change(before)
            if update.presence == before:
                return None
            after = msgspec.structs.replace(update.presence, version=before.version + 1)
            try:
                store.put_presence(after, before.version, state_changes(before, after))
            except Conflict:
                continue
            return update
        raise InvariantBroken(f"machine {machine_id}: {PRESENCE_RETRIES} conflicts in a row")

    def _game_over(self, place: MachineTopic, fields: dict[str, Any]) -> TakenAs:
        """Check a game over. It is for other subscribers; the cloud keeps that it came, as evidence.

        One by `POST /gameover` comes back through the broker, and is kept then.
        """
        game_over = from_object(Gameover, fields)
        if game_over.machine_id != place.machine_id:
            raise BadMessage("the machine id in the payload is not the one in the topic")
        if game_over.signature is not None:
            self._verified(place, fields)
        self._keep(game_over)
        # Without a signature it was sent by hand, or by game software that knows only the public contract.
        return "unsigned" if game_over.signature is None else "gameover"

    def _keep(self, message: Gameover) -> None:
        """Keep a game over of a registered machine, unless it sends too many."""
        store, now_ms, machine_id = self.fulfilment.store, self.fulfilment.now_ms(), message.machine_id
        if store.machine(machine_id) is None:
            return
        kind = "game over" if message.signature is not None else "unsigned game over"
        if self.limiter.wait_ms(now_ms, Share((kind, machine_id), _GAME_OVERS)) > 0:
            self._left_out[machine_id] += 1
            return
        left_out = self._left_out[machine_id]
        store.note_game_over(game_overs.taken_in(message, now_ms, left_out))
        self._left_out[machine_id] -= left_out

    def _check_rate(self, place: MachineTopic) -> None:
        """Raise BadMessage if a machine sends more than any machine does."""
        share = Share((place.kind, place.machine_id), _UNMATCHED)
        if self.limiter.wait_ms(self.fulfilment.now_ms(), share) > 0:
            raise BadMessage(
                f"more than {UNMATCHED_ACKS_PER_MINUTE} a minute from one machine: a defect or a stolen key"
            )


def _looks_signed(place: MachineTopic, fields: dict[str, Any]) -> bool:
    """Whether it is what a machine with another key would send. The doctor's trial messages have no signature."""
    signature = fields.get("signature")
    is_one = isinstance(signature, str) and _SIGNATURE.fullmatch(signature) is not None
    return is_one and fields.get("machineId") == place.machine_id
