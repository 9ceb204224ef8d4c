"""The doctor's look at the broker and, through it, at the cloud: login, access list, signing key.

A broker's word is no proof: Mosquitto with an access list in a file grants every subscription, and then hands on
nothing. So each right is shown by a message that comes, or does not. All visits are under names of their own, from
a clean start and without a will, so a running agent keeps its connection and a stopped one what waits for it.

What is published is harmless, and gone after ten seconds. A status that says "offline", for that is the truth,
carries a nonce: the cloud answers it, whoever asks. An answer signed with the machine's own key proves both ways
and the key; with it come trial messages on the topics that this user may not publish on itself. That status is
never sent beside a running agent, which is not offline. All else is trial messages, and none is on gameover.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from arcade_edge.agent.inbox import BAD_SIGNATURE, Addressee, ClockAnswer, Ignored, read_message
from arcade_edge.bootstrap import LISTENS_TO, wall_ms
from arcade_edge.config import Settings
from arcade_edge.tools.verdicts import Verdict, bad, doubtful, good
from arcade_edge.tools.visit import Answered, Came, Ended, Happened, Visit
from arcade_shared.errors import BadTopic
from arcade_shared.messages import Status
from arcade_shared.mqtt import Puback
from arcade_shared.signing import seal
from arcade_shared.times import format_ms
from arcade_shared.topics import ROOT, Kind, every_machine, machine_topic, parse_machine_topic
from arcade_shared.trial import DOCTOR, trial

# Beyond it, TLS certificates and log lines begin to suffer. Credits do not: they go by the cloud's clock.
CLOCK_OFF_MS = 60_000
# What a broker that is connected needs to confirm some small messages and to hand them on, with much room.
CONFIRM_WITHIN_S = 10.0
# How long to listen for what must not come, once all else is known.
LISTEN_S = 2.0
# What the agent publishes, but for gameover.
_TRIED: tuple[Kind, ...] = ("status", "ack")
# On these the cloud answers with trial messages, since this program's version.
_TRIED_BY_CLOUD: tuple[Kind, ...] = ("coinpulse", "revoke")
# Of other machines: enough to show a list without bounds, within EMQX Serverless' ten subscriptions for a client.
_OTHERS: tuple[Kind, ...] = ("coinpulse", "ack", "status")


@dataclass
class _Right:
    """What is known of one of our own topics. `puback`: the answer to what we have published there."""

    refused: str = ""
    puback: Puback | None = None
    came: bool = False


@dataclass
class _Found:
    """What the visits have shown."""

    rights: dict[Kind, _Right]
    honest: bool = False  # the broker has refused a subscription, so it does not grant them all
    others_granted: list[str] = field(default_factory=list)
    others_came: list[str] = field(default_factory=list)
    others_took: list[str] = field(default_factory=list)
    own_ack_came: bool = False
    lost: str = ""  # why the connection as the agent has ended, if it has
    alone: bool = False  # the broker does not keep several connections of this user
    answer: ClockAnswer | None = None
    answered_after_s: float = 0.0
    clock_off_ms: int = 0
    another_key: bool = False


def examine_broker(settings: Settings, installation: str | None, answer_within_s: float) -> Iterator[Verdict]:
    """Log in, try what the agent must be able to do and what it must not, and wait for the cloud's answer.

    Args:
        installation: None beside a running agent: then nothing is published that it, or the cloud, would notice.
    """
    happened: queue.SimpleQueue[Happened] = queue.SimpleQueue()
    # A machine that does not exist: whoever may read or write its topics may do so with those of all.
    stranger = f"doctor-{secrets.token_hex(8)}"
    own = {kind: machine_topic(settings.machine_id, kind) for kind in (*LISTENS_TO, *_TRIED)}
    foreign = [*(machine_topic(stranger, kind) for kind in _OTHERS), *map(every_machine, _OTHERS), f"{ROOT}/#"]
    with ExitStack() as ending:
        agent = ending.enter_context(Visit(settings, happened, [own[kind] for kind in LISTENS_TO]))
        refusal = agent.connection.refusal
        if not (agent.connection.was_open or refusal):
            yield bad("broker login", agent.connection.end or "the broker does not answer")
            return
        yield good("broker login", f"as {settings.broker.username or 'nobody'}")
        if not agent.connection.was_open:
            yield bad("access list", f"{refusal}; {_allow(settings, 'subscribe to', LISTENS_TO)}")
            return
        # Apart, for some brokers end the connection of a client that tries what it may not do.
        reader = ending.enter_context(Visit(settings, happened, [own["ack"], *foreign]))
        writer = ending.enter_context(Visit(settings, happened, []))
        examination = _Examination(settings, installation, happened, agent, reader, writer)
        if not examination.found.alone:
            examination.publish(stranger)
            examination.collect(answer_within_s)
        found = examination.found
    yield from _needed(settings, found, running=installation is None)
    if not found.alone:
        yield _bounds(found)
    if installation is not None and not found.alone:
        yield from _cloud(found, answer_within_s)


class _Examination:
    """Publishes, and looks at what comes until all is known, or time is up."""

    def __init__(
        self,
        settings: Settings,
        installation: str | None,
        happened: queue.SimpleQueue[Happened],
        agent: Visit,
        reader: Visit,
        writer: Visit,
    ) -> None:
        self._settings = settings
        self._installation = installation
        self._happened = happened
        self._agent, self._reader, self._writer = agent, reader, writer
        self._nonce = secrets.token_hex(16)  # and the mark of trial messages
        self._sent: dict[tuple[Visit, int], str] = {}
        self._began_s = time.monotonic()
        refused = {parse_machine_topic(topic).kind: why for topic, why in agent.connection.refused_topics.items()}
        kinds: tuple[Kind, ...] = (*LISTENS_TO, *_TRIED)
        self.found = _Found({kind: _Right(refused.get(kind, "")) for kind in kinds})
        own_ack = machine_topic(settings.machine_id, "ack")
        # A connection that was ended for what it asked is refused all of it.
        hidden = reader.connection.refused_topics
        self.found.alone = not (agent.is_open and writer.is_open)  # and nothing was published yet
        self.found.honest = bool(refused or hidden or not reader.connection.was_open)
        if reader.connection.was_open:
            self.found.others_granted = [topic for topic in reader.topics if topic not in (own_ack, *hidden)]

    def publish(self, stranger: str) -> None:
        """Publish everything that is tried."""
        machine_id = self._settings.machine_id
        tried: Sequence[Kind] = ("ack",)
        if self._installation is not None:
            tried = ("ack", *LISTENS_TO)
            topic = machine_topic(machine_id, "status")
            self._send(self._agent, topic, _status(self._settings, self._installation, self._nonce))
        for kind in tried:
            self._send(self._agent, machine_topic(machine_id, kind), self._trial(kind))
        for kind in ("coinpulse", "ack"):
            self._send(self._writer, machine_topic(stranger, kind), self._trial(kind))

    def _send(self, visit: Visit, topic: str, payload: bytes) -> None:
        number = visit.publish(topic, payload)
        if number is not None:
            self._sent[visit, number] = topic

    def _trial(self, kind: Kind) -> bytes:
        return trial(kind, self._nonce, format_ms(wall_ms()))

    def collect(self, answer_within_s: float) -> None:
        """Look at what comes."""
        self._began_s = time.monotonic()
        known_at_s: float | None = None
        while True:
            now_s = time.monotonic()
            if known_at_s is None and self._all_known(now_s, answer_within_s):
                known_at_s = now_s
            if known_at_s is not None and now_s >= known_at_s + LISTEN_S:
                return
            try:
                self._look_at(self._happened.get(timeout=0.1))
            except queue.Empty:
                continue

    def _all_known(self, now_s: float, answer_within_s: float) -> bool:
        """Whether no more is to be expected, or not within the time that there is for it."""
        found, waited_s = self.found, now_s - self._began_s
        if found.lost or waited_s >= max(CONFIRM_WITHIN_S, answer_within_s):
            return True
        wants_answer = self._installation is not None and found.answer is None and waited_s < answer_within_s
        under_way = self._sent or any(
            _taken(found.rights[kind]) and not found.rights[kind].came for kind in LISTENS_TO
        )
        return not wants_answer and not (under_way and waited_s < CONFIRM_WITHIN_S)

    def _look_at(self, event: Happened) -> None:
        match event:
            case Ended(visit) if visit is self._agent:
                self.found.lost = visit.connection.end
            case Ended(visit):
                for sent in [sent for sent in self._sent if sent[0] is visit]:
                    del self._sent[sent]
            case Answered(visit, number, puback):
                self._answered(visit, self._sent.pop((visit, number), ""), puback)
            case Came(visit, topic, payload, retained):
                self._came(visit, topic, payload, retained)

    def _answered(self, visit: Visit, topic: str, puback: Puback) -> None:
        if visit is self._agent and topic:
            self.found.rights[parse_machine_topic(topic).kind].puback = puback
        elif topic and not puback.is_refusal:
            self.found.others_took.append(topic)

    def _came(self, visit: Visit, topic: str, payload: bytes, retained: bool) -> None:
        found = self.found
        try:
            place = parse_machine_topic(topic)
        except BadTopic:
            return
        ours = self._nonce.encode() in payload and b"signature" not in payload
        if place.machine_id != self._settings.machine_id:
            if topic not in found.others_came:
                found.others_came.append(topic)
        elif visit is self._reader:
            found.own_ack_came = found.own_ack_came or (place.kind == "ack" and ours)
        elif ours:
            found.rights[place.kind].came = True
        elif self._installation is not None:
            addressee = Addressee(self._settings.machine_id, self._installation, self._settings.keys)
            request = read_message(topic, payload, retained, addressee)
            if isinstance(request, ClockAnswer) and request.nonce == self._nonce:
                found.answer, found.answered_after_s = request, time.monotonic() - self._began_s
                found.clock_off_ms = wall_ms() - request.cloud_ms
                found.rights["clock"].came = True
            elif isinstance(request, Ignored) and request.why == BAD_SIGNATURE:
                found.another_key = True


def _status(settings: Settings, installation: str, nonce: str) -> bytes:
    return seal(
        settings.keys[0],
        machine_topic(settings.machine_id, "status"),
        Status,
        machine_id=settings.machine_id,
        installation=installation,
        state="offline",
        ready=False,
        reason="doctor",
        max_credits=0,
        nonce=nonce,
        boot_id=secrets.token_hex(16),
        agent=DOCTOR,
        connection=1,
        seq=0,
        timestamp=format_ms(wall_ms()),
    )


def _needed(settings: Settings, found: _Found, *, running: bool) -> Iterator[Verdict]:
    """What the agent must be able to do."""
    what, ok, machine_id = "access list", True, settings.machine_id
    if found.alone:
        yield doubtful(
            what,
            "not tried: the broker lets this user have one connection at a time (such as Mosquitto with "
            "use_username_as_clientid). See a free credit pulsed: arcade-cloud grant " + machine_id + " 1",
        )
        return
    if found.lost:
        yield bad(
            what, f"what was tried ended the connection: {found.lost}; {_allow(settings, 'publish', _TRIED)}"
        )
        return
    for kind in _TRIED if not running else ("ack",):
        puback = found.rights[kind].puback
        if puback is None:
            yield bad(what, f"the broker does not confirm what is published on {kind}")
        elif puback.is_refusal:
            yield bad(what, f"it may not publish {kind}: {puback.text}; {_allow(settings, 'publish', (kind,))}")
        ok = ok and _taken(found.rights[kind])
    unshown: list[Kind] = []
    # What came on a topic that this user may not publish on was sent by the cloud, and then on all of them.
    cloud_tries = any(right.came and not _taken(right) for right in map(found.rights.__getitem__, _TRIED_BY_CLOUD))
    for kind in LISTENS_TO:
        right = found.rights[kind]
        if right.refused:
            text = f"it may not subscribe to {kind}: {right.refused}"
        elif not right.came and (_taken(right) or (cloud_tries and kind in _TRIED_BY_CLOUD)):
            text = f"it may not read {kind}: the broker grants the subscription, but nothing comes"
        else:
            if not right.came and not found.honest:
                unshown.append(kind)
            continue
        ok = False
        yield bad(what, f"{text}; {_allow(settings, 'subscribe to', (kind,))}")
    if unshown:
        yield doubtful(
            what,
            f"whether it may read {_listed(unshown)} is not shown: this broker grants every subscription, "
            "and nothing has come. "
            + (
                "More is tried while the agent is stopped and its journal is sound"
                if running
                else _look_in_the_list(machine_id, unshown)
            ),
        )
    elif ok:
        tried = "ack" if running else "status and ack"
        yield good(
            what,
            f"it may read its commands and publish {tried} (gameover is not tried: every subscriber would take it "
            "for real)",
        )


def _look_in_the_list(machine_id: str, kinds: Sequence[Kind]) -> str:
    return (
        f"Look for {_topics(machine_id, kinds)} in its access list, or see a free credit pulsed: "
        f"arcade-cloud grant {machine_id} 1"
    )


def _topics(machine_id: str, kinds: Sequence[Kind]) -> str:
    return _listed([machine_topic(machine_id, kind) for kind in kinds])


def _listed(names: Sequence[str]) -> str:
    return " and ".join([*([", ".join(names[:-1])] if names[:-1] else []), names[-1]])


def _allow(settings: Settings, verb: str, kinds: Sequence[Kind]) -> str:
    text = f"let this user {verb} {_topics(settings.machine_id, kinds)} in the broker's access list"
    if settings.broker.username != settings.machine_id:
        text += ". Such lists go by the user's name: username in [broker] should be the machine's id"
    return text


def _bounds(found: _Found) -> Verdict:
    """What this user must not be able to do: see and speak for other machines."""
    what = "other machines"
    may = []
    if found.others_came:
        may.append(f"read their topics ({found.others_came[0]} has come)")
    elif found.honest and found.others_granted:
        may.append(f"read their topics ({found.others_granted[0]} is granted)")
    if found.others_took:
        may.append(f"publish on them ({found.others_took[0]} was taken)")
    if may:
        return doubtful(
            what,
            f"this user may {' and '.join(may)}. Signatures protect money and credits, but whoever steals this Pi "
            "could disturb every machine: let it use its own topics only (docs/DEPLOY.md, step 1)",
        )
    if found.others_granted and found.own_ack_came:
        return doubtful(
            what,
            "this broker grants every subscription, so whether this user may read their topics is not shown. With "
            "an access list by topic (docs/DEPLOY.md, step 1) it is",
        )
    return good(what, "this user may neither read their topics nor publish on them")


def _cloud(found: _Found, waited_s: float) -> Iterator[Verdict]:
    if found.answer is not None:
        yield good(
            "signing key", f"it is the cloud's: the cloud has answered after {found.answered_after_s:.2f} s"
        )
        yield _clock(found.clock_off_ms)
        return
    clock, status = found.rights["clock"], found.rights["status"].puback
    if found.another_key:
        yield bad(
            "signing key",
            "the cloud's messages are signed with another key: see `arcade-cloud machine config`",
        )
    elif status is None or status.is_refusal or clock.refused or (_taken(clock) and not clock.came):
        yield doubtful("signing key", "not tried: the cloud cannot be asked before the access list is mended")
    elif status.reached_nobody:
        yield bad("cloud", "nobody listens to this machine's status: the cloud is not connected to this broker")
    else:
        hidden = "" if clock.came or found.honest else "either this user may not read clock (see above), or "
        yield bad(
            "cloud",
            f"no answer within {waited_s:g} s: {hidden}the cloud ignores this machine, for it is not registered "
            "(arcade-cloud machine list) or has another key (arcade-cloud machine config prints it)",
        )


def _taken(right: _Right) -> bool:
    return right.puback is not None and not right.puback.is_refusal


def _clock(off_ms: int) -> Verdict:
    direction = "ahead of" if off_ms > 0 else "behind"
    text = f"this computer's clock is {abs(off_ms) / 1000:.0f} s {direction} the cloud's"
    if abs(off_ms) <= CLOCK_OFF_MS:
        return good("clock", text)
    return doubtful("clock", f"{text}; credits do not depend on it, but certificates and logs do: see timedatectl")
