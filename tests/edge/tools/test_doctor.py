"""The doctor: says "all is well" only where a credit would be pulsed, and of every fault what to do about it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from arcade_edge import cli
from arcade_edge import config as edge_settings
from arcade_edge.agent.journal import open_journal, read_contents
from arcade_edge.errors import GpioUnavailable, JournalInUse
from arcade_edge.mqtt.link import RECEIVE_MAXIMUM
from arcade_edge.simulator.cabinet import SimulatedCabinet, Wiring
from arcade_edge.tools.doctor import examine
from arcade_edge.tools.verdicts import Verdict
from arcade_sandbox.broker import access as broker_access
from arcade_sandbox.broker.launcher import Broker, User
from arcade_sandbox.processes import dies_with_parent, free_port
from arcade_shared.messages import Status
from arcade_shared.trial import DOCTOR, NOBODY
from support.agent_process import KEY, MACHINE, AgentProcess, write_config
from support.coin_back_ends import PIN, LgpioDoubleBackEnd
from support.mosquitto_acl_file import mosquitto_with_acl_file
from support.mqtt_cloud import MqttCloud, clock

SERIAL = "10000000abcdef01"
READY, GAME_OVER = 22, 27
QUICK_S = 2.0  # for an answer that does not come
pytestmark = pytest.mark.heavy  # a real broker for most of them, with all that may be wrong about it
PATIENT_S = 60.0  # for one that does, however busy this computer is

USERS = [User(MACHINE, "machine password", "machine"), User("cloud", "cloud password", "cloud")]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker"), users=USERS) as started:
        yield started


@pytest.fixture
def cloud(broker: Broker) -> Iterator[MqttCloud]:
    with MqttCloud(broker.port, KEY, MACHINE, username="cloud", password="cloud password") as started:
        yield started


def doctor(config: Path, factory: Any = None, **more: Any) -> list[Verdict]:
    """All verdicts, on simulated pins unless others are given."""
    factory = factory or SimulatedCabinet(Wiring(PIN)).factory()
    options = {"environ": {}, "pin_factory": factory, "serial": SERIAL, "answer_within_s": QUICK_S} | more
    return list(examine(config, **options))


def levels(verdicts: list[Verdict], what: str) -> set[str]:
    """What the doctor said about one thing."""
    return {verdict.level for verdict in verdicts if verdict.what == what}


def asked(cloud: MqttCloud) -> list[Status]:
    """What the doctor has said to the cloud; the broker keeps an agent's last status as well."""
    return [status for status in cloud.heard.statuses if status.agent == "arcade-edge doctor"]


def failed(verdicts: list[Verdict]) -> list[str]:
    """What has failed."""
    return [verdict.what for verdict in verdicts if verdict.level == "FAIL"]


def text_of(verdicts: list[Verdict], what: str, level: str = "FAIL") -> str:
    """The one sentence of that level about that thing."""
    (found,) = [verdict.text for verdict in verdicts if (verdict.what, verdict.level) == (what, level)]
    return found


def over_tls(tmp_path: Path, broker: Broker, ca_file: Path) -> Path:
    """Settings for the broker's TLS port."""
    config = write_config(tmp_path, broker.tls_port)
    text = config.read_text().replace("tls = false", f'tls = true\nca_file = "{ca_file}"')
    config.write_text(text.replace("127.0.0.1", "localhost"))
    config.chmod(0o600)
    return config


def test_where_all_is_well_it_says_so(tmp_path: Path, broker: Broker, cloud: MqttCloud) -> None:
    """Over TLS, with the cloud's own answer as the proof that the key is right."""
    verdicts = doctor(over_tls(tmp_path, broker, broker.ca_file), answer_within_s=PATIENT_S)
    assert failed(verdicts) == []
    for what in ("settings", "agent", "journal", "coin line", "network", "TLS", "broker login", "access list"):
        assert levels(verdicts, what) == {"ok"}, what
    assert levels(verdicts, "signing key") == levels(verdicts, "clock") == {"ok"}


def test_it_tells_the_cloud_nothing_but_that_the_agent_is_offline(
    tmp_path: Path, broker: Broker, cloud: MqttCloud
) -> None:
    doctor(write_config(tmp_path, broker.port), answer_within_s=PATIENT_S)
    (status,) = asked(cloud)
    assert (status.state, status.ready, status.max_credits) == ("offline", False, 0)
    assert cloud.heard.acks == []
    assert cloud.heard.game_overs == []


def test_commands_that_wait_for_the_agent_wait_on_and_do_not_hide_the_cloud(
    tmp_path: Path, broker: Broker, cloud: MqttCloud
) -> None:
    """It has a session of its own: more waits than a client takes at once, and the answer comes all the same."""
    config = write_config(tmp_path, broker.port, pulse_ms=5, gap_ms=5)
    with AgentProcess(config, "--serial-number", SERIAL, "--min-pulse-ms", "1", "--min-gap-ms", "1") as agent:
        cloud.ready()
        assert agent.stop() == 0
    journal = open_journal(tmp_path / "journal.db", SERIAL)
    credits_ = [cloud.command(journal.installation) for _ in range(RECEIVE_MAXIMUM + 4)]
    journal.close()
    assert failed(doctor(config, answer_within_s=PATIENT_S)) == []
    visits = [line for line in broker.log_file.read_text().splitlines() if " as arcade-doctor-" in line]
    assert visits
    assert all(", c1," in line for line in visits), "and it leaves no session behind"
    with AgentProcess(config, "--serial-number", SERIAL, "--min-pulse-ms", "1", "--min-gap-ms", "1") as agent:
        assert [cloud.final(credit).delivered for credit in credits_] == [1] * len(credits_)
        assert agent.stop() == 0


def test_what_it_has_no_use_for_does_not_keep_the_cloud_s_answer_from_it(
    tmp_path: Path, broker: Broker, cloud: MqttCloud
) -> None:
    """Few messages may be unacknowledged at once; while the cloud repeats its commands, more than that come."""
    cloud.answers = False

    def repeat_and_answer() -> None:
        nonce = cloud.wait(lambda heard: [s.nonce for s in heard.statuses if s.agent == DOCTOR], "a nonce")[-1]
        for _ in range(2 * RECEIVE_MAXIMUM):
            cloud.command("f" * 32)  # another installation
        cloud.answer(nonce)

    answering = threading.Thread(target=repeat_and_answer)
    answering.start()
    verdicts = doctor(write_config(tmp_path, broker.port), answer_within_s=10 * QUICK_S)
    answering.join()
    assert levels(verdicts, "cloud") == set()
    assert levels(verdicts, "signing key") == levels(verdicts, "clock") == {"ok"}


def test_a_key_that_the_cloud_does_not_know_gets_no_answer(tmp_path: Path, broker: Broker) -> None:
    config = write_config(tmp_path, broker.port)
    config.write_text(config.read_text().replace(KEY.hex(), "ab" * 32))
    with MqttCloud(broker.port, KEY, MACHINE, username="cloud", password="cloud password"):
        verdicts = doctor(config)
    assert failed(verdicts) == ["cloud"]
    assert "arcade-cloud machine config" in text_of(verdicts, "cloud")


def test_an_answer_that_is_signed_with_another_key_is_no_proof(
    tmp_path: Path, broker: Broker, cloud: MqttCloud
) -> None:
    cloud.answers = False
    foreign = threading.Thread(target=_answer_with_another_key, args=(cloud,))
    foreign.start()
    verdicts = doctor(write_config(tmp_path, broker.port))
    foreign.join()
    assert failed(verdicts) == ["signing key"]


def _answer_with_another_key(cloud: MqttCloud) -> None:
    nonce = cloud.wait(lambda heard: [s.nonce for s in heard.statuses if s.nonce and not s.ready], "a nonce")[-1]
    cloud.publish("clock", clock(b"k" * 32, MACHINE, nonce, 0))


def test_a_cloud_that_listens_to_nobody_is_told_from_one_that_is_silent(tmp_path: Path, broker: Broker) -> None:
    verdicts = doctor(write_config(tmp_path, broker.port))
    assert "nobody listens" in text_of(verdicts, "cloud")


def test_a_clock_that_is_wrong_is_named_and_no_failure(tmp_path: Path, broker: Broker, cloud: MqttCloud) -> None:
    cloud.answers = False
    answering = threading.Thread(
        target=lambda: cloud.answer(
            cloud.wait(lambda heard: [s.nonce for s in heard.statuses if s.nonce and not s.ready], "a nonce")[-1],
            4_000_000_000_000,
        )
    )
    answering.start()
    verdicts = doctor(write_config(tmp_path, broker.port), answer_within_s=PATIENT_S)
    answering.join()
    assert failed(verdicts) == []
    assert "behind the cloud's" in text_of(verdicts, "clock", "warn")


def test_a_wrong_password_is_named(tmp_path: Path, broker: Broker) -> None:
    verdicts = doctor(write_config(tmp_path, broker.port, password="guessed"))
    assert failed(verdicts) == ["broker login"]
    assert "username and password" in text_of(verdicts, "broker login")


@pytest.mark.parametrize(
    ("may_publish", "may_hear", "what", "words"),
    [
        (("status",), ("coinpulse", "revoke", "clock"), "access list", "may not publish ack"),
        (("ack",), ("coinpulse", "revoke", "clock"), "access list", "may not publish status"),
        (("status", "ack"), ("coinpulse", "clock"), "access list", "may not subscribe to revoke"),
        (("status", "ack"), (), "access list", "refuses the subscription"),
    ],
)
def test_an_access_list_that_forbids_what_is_needed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_publish: Any, may_hear: Any, what: str, words: str
) -> None:
    monkeypatch.setattr(broker_access, "_FROM_MACHINE", may_publish)
    monkeypatch.setattr(broker_access, "_TO_MACHINE", may_hear)
    with Broker(tmp_path / "strict", users=USERS) as strict:
        verdicts = doctor(write_config(tmp_path, strict.port))
    assert words in " ".join(
        verdict.text for verdict in verdicts if (verdict.what, verdict.level) == (what, "FAIL")
    )


def of_topics(verb: str, *kinds: str) -> str:
    """Lines of an access list, for the machine's own topics."""
    return "".join(f"topic {verb} arcade/machine/{MACHINE}/{kind}\n" for kind in kinds)


BY_TOPIC = of_topics("write", "ack", "status", "gameover") + of_topics("read", "coinpulse", "revoke", "clock")


@pytest.mark.heavy  # a broker that grants what it does not give is waited for
@pytest.mark.parametrize(
    ("list_", "expected"),
    [
        # by topic, as docs/DEPLOY.md has it
        (BY_TOPIC, {}),
        # one line for all of its own topics: what others' topics hold cannot be shown
        ("pattern readwrite arcade/machine/%u/#\n", {"other machines": ("warn", "is not shown")}),
        # nothing that the cloud sends
        (
            of_topics("write", "#"),
            {
                "access list": ("FAIL", "may not read coinpulse"),
                "signing key": ("warn", "not tried"),
            },
        ),
        (
            of_topics("write", "ack", "status"),
            {"access list": ("warn", "coinpulse, revoke and clock is not shown"), "cloud": ("FAIL", "clock")},
        ),
        (
            of_topics("write", "#") + of_topics("read", "coinpulse", "clock"),
            {"access list": ("FAIL", "may not read revoke")},
        ),
        (of_topics("read", "#") + of_topics("write", "status"), {"access list": ("FAIL", "may not publish ack")}),
        # everything, everybody's
        ("topic readwrite #\n", {"other machines": ("warn", "read their topics")}),
        (of_topics("write", "#") + "topic read #\n", {"other machines": ("warn", "cab-02/status has come")}),
        (
            of_topics("write", "ack", "status") + of_topics("read", "coinpulse", "clock"),
            {"access list": ("FAIL", "may not read revoke")},
        ),
        (
            of_topics("write", "ack", "status") + of_topics("read", "revoke", "clock"),
            {"access list": ("FAIL", "may not read coinpulse")},
        ),
        (
            of_topics("write", "ack", "status") + of_topics("read", "clock"),
            {"access list": ("warn", "may read coinpulse and revoke is not shown")},
        ),
        (BY_TOPIC + "topic write arcade/machine/+/ack\n", {"other machines": ("warn", "publish on them")}),
    ],
)
def test_what_a_broker_grants_is_tried_by_messages(
    tmp_path: Path, list_: str, expected: dict[str, tuple[str, str]]
) -> None:
    """Mosquitto with its access list in a file grants every subscription, whatever the list says."""
    acl = f"user cloud\ntopic readwrite #\nuser {MACHINE}\n{list_}"
    with (
        mosquitto_with_acl_file(tmp_path / "broker", acl) as port,
        MqttCloud(port, KEY, MACHINE, username="cloud", password="-") as cloud,
    ):
        cloud.leave_status_of("cab-02")
        verdicts = doctor(write_config(tmp_path, port), answer_within_s=2 * QUICK_S)
    about = ("broker login", "access list", "other machines", "signing key", "cloud")
    told = {v.what: (v.level, v.text) for v in reversed(verdicts) if v.level != "ok" and v.what in about}
    assert told.keys() == expected.keys()
    for what, (level, words) in expected.items():
        assert told[what][0] == level
        assert words in told[what][1]


def test_a_user_that_is_not_named_after_the_machine_is_told_so(tmp_path: Path) -> None:
    """Access lists go by the user's name."""
    with mosquitto_with_acl_file(tmp_path / "broker", "pattern readwrite arcade/machine/%u/#\n") as port:
        config = write_config(tmp_path, port)
        config.write_text(config.read_text().replace(f'username = "{MACHINE}"', 'username = "pi"'))
        verdicts = doctor(config)
    said = [verdict.text for verdict in verdicts if (verdict.what, verdict.level) == ("access list", "FAIL")]
    assert said
    assert all("username in [broker] should be the machine's id" in text for text in said)


def test_a_broker_that_gives_a_user_one_connection_is_told(tmp_path: Path) -> None:
    """Each visit then throws off the one before: that is no fault of the access list."""
    one = "use_username_as_clientid true"
    with mosquitto_with_acl_file(tmp_path / "broker", "pattern readwrite arcade/machine/%u/#\n", one) as port:
        verdicts = doctor(write_config(tmp_path, port))
    assert "access list" not in failed(verdicts)
    assert "one connection at a time" in text_of(verdicts, "access list", "warn")


def test_a_cloud_of_before_leaves_open_what_only_it_could_show(tmp_path: Path) -> None:
    """It answers with the time alone."""
    acl = f"user cloud\ntopic readwrite #\nuser {MACHINE}\n{BY_TOPIC}"
    with (
        mosquitto_with_acl_file(tmp_path / "broker", acl) as port,
        MqttCloud(port, KEY, MACHINE, username="cloud", password="-", tries=False),
    ):
        verdicts = doctor(write_config(tmp_path, port), answer_within_s=PATIENT_S)
    assert failed(verdicts) == []
    assert "coinpulse and revoke is not shown" in text_of(verdicts, "access list", "warn")


def test_what_the_doctor_publishes_is_nothing_to_anybody(tmp_path: Path) -> None:
    """Where it may publish coinpulses, neither the agent nor software that trusts the broker takes one."""
    with (
        mosquitto_with_acl_file(tmp_path / "broker", "pattern readwrite #\n") as port,
        MqttCloud(port, KEY, MACHINE, username="cloud", password="-") as cloud,
    ):
        config = write_config(tmp_path, port, security="allow_unsigned = true")
        with AgentProcess(config, "--serial-number", SERIAL) as agent:
            cloud.ready()
            assert agent.stop() == 0
        cloud.listen_to_everything()
        doctor(config)
        with AgentProcess(config, "--serial-number", SERIAL) as agent:  # what the doctor said may wait for it
            cloud.ready()
            assert agent.stop() == 0
        assert agent.pulses() == 0
    by_doctor = [
        (topic, payload)
        for topic, payload in cloud.seen
        if b"arcade-edge doctor" in payload or b"a trial message" in payload
    ]
    assert {topic.rpartition("/")[2] for topic, _ in by_doctor} == {
        "status",
        "ack",
        "coinpulse",
        "revoke",
        "clock",
    }
    for topic, payload in by_doctor:
        fields = json.loads(payload)
        if topic.endswith("/coinpulse"):
            assert (fields["credits"], fields["machineId"]) == (0, NOBODY)
        if not topic.endswith("/status"):
            assert "signature" not in fields


def test_a_broker_that_is_not_there_is_named(tmp_path: Path) -> None:
    verdicts = doctor(write_config(tmp_path, free_port()))
    assert failed(verdicts) == ["network"]


def test_a_certificate_of_somebody_else_is_refused(tmp_path: Path, broker: Broker) -> None:
    """And the file that does not fit is named."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    verdicts = doctor(over_tls(tmp_path, broker, other))
    assert failed(verdicts) == ["TLS"]
    assert f"{other} is not the authority" in text_of(verdicts, "TLS")


def test_a_port_without_tls_is_named(tmp_path: Path, broker: Broker) -> None:
    config = over_tls(tmp_path, broker, broker.ca_file)
    config.write_text(config.read_text().replace(str(broker.tls_port), str(broker.port)))
    verdicts = doctor(config)
    assert failed(verdicts) == ["TLS"]
    assert f"port {broker.port} is for MQTT without TLS" in text_of(verdicts, "TLS")


def test_a_port_for_tls_without_tls_is_named(tmp_path: Path, broker: Broker) -> None:
    verdicts = doctor(write_config(tmp_path, broker.tls_port))
    assert failed(verdicts) == ["TLS"]
    assert "set tls = true" in text_of(verdicts, "TLS")


def test_an_authority_that_this_computer_does_not_know_is_asked_for(tmp_path: Path, broker: Broker) -> None:
    config = over_tls(tmp_path, broker, broker.ca_file)
    config.write_text(config.read_text().replace(f'ca_file = "{broker.ca_file}"', ""))
    assert "name it as ca_file" in text_of(doctor(config), "TLS")


@pytest.mark.parametrize(
    ("name", "ends_in", "level", "words"),
    [
        ("localhost", timedelta(days=3), "warn", "more days"),
        ("localhost", timedelta(days=-3), "FAIL", str(datetime.now(UTC).date())),
        ("broker.example", timedelta(days=90), "FAIL", "another name than localhost"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_named(
    tmp_path: Path, name: str, ends_in: timedelta, level: str, words: str
) -> None:
    """The computer's date is shown where it may be the cause: a Pi without a clock often gets it wrong."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    port = free_port()
    server = _serve_tls(tmp_path, authority.issue_cert(name, not_after=datetime.now(UTC) + ends_in), port)
    config = write_config(tmp_path, port)
    text = config.read_text().replace("tls = false", f'tls = true\nca_file = "{tmp_path / "ca.pem"}"')
    config.write_text(text.replace("127.0.0.1", "localhost"))
    try:
        assert words in text_of(doctor(config), "TLS", level)
    finally:
        server.kill()
        server.wait()


def _serve_tls(folder: Path, certificate: trustme.LeafCert, port: int) -> subprocess.Popen[bytes]:
    """A server that completes the TLS handshake and then hangs up."""
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    code = (
        "import socket, ssl, sys\n"
        "context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)\n"
        "context.load_cert_chain(sys.argv[1])\n"
        "with socket.create_server(('127.0.0.1', int(sys.argv[2]))) as server:\n"
        "    print(flush=True)\n"
        "    while True:\n"
        "        try: context.wrap_socket(server.accept()[0], server_side=True).close()\n"
        "        except OSError: pass\n"
    )
    command = [sys.executable, "-c", code, str(folder / "server.pem"), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=dies_with_parent())
    assert server.stdout is not None
    server.stdout.readline()
    return server


class Untouchable:
    """Pins that must not be read."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the pins were touched: {name}")


def test_beside_a_running_agent_nothing_is_tried_that_it_would_notice(
    tmp_path: Path, broker: Broker, cloud: MqttCloud
) -> None:
    config = write_config(tmp_path, broker.port)
    running = open_journal(tmp_path / "journal.db", SERIAL)
    try:
        verdicts = doctor(config, Untouchable())
    finally:
        running.close()
    assert failed(verdicts) == []
    assert "systemctl stop arcade-edge" in text_of(verdicts, "agent", "warn")
    assert levels(verdicts, "network") == levels(verdicts, "broker login") == {"ok"}
    assert levels(verdicts, "access list") == levels(verdicts, "other machines") == {"ok"}
    assert levels(verdicts, "signing key") == levels(verdicts, "cloud") == set()
    assert asked(cloud) == []


def test_a_running_agent_keeps_its_connection_and_counts_nothing(
    tmp_path: Path, broker: Broker, cloud: MqttCloud
) -> None:
    """The doctor beside it has names of its own, and says nothing that the agent or the cloud would take."""
    config = write_config(tmp_path, broker.port)
    with AgentProcess(config, "--serial-number", SERIAL) as agent:
        cloud.ready()
        heard = len(cloud.heard.statuses)
        verdicts = doctor(config)
        assert levels(verdicts, "access list") == {"ok"}
        assert [status for status in cloud.heard.statuses[heard:] if not status.ready] == []
        assert "no connection" not in agent.log()
        assert agent.stop() == 0
    assert read_contents(tmp_path / "journal.db", 10).counters == {}


@pytest.mark.parametrize(("role", "words"), [("bench", "publish on them"), ("listener", "may not publish")])
def test_a_user_with_more_or_other_rights_is_told_where_the_broker_says_so_too(
    tmp_path: Path, role: Any, words: str
) -> None:
    """With Mosquitto's plugin, whose word on a subscription is true."""
    users = [User(MACHINE, "machine password", role), USERS[1]]
    with (
        Broker(tmp_path / "broker", users=users) as broker,
        MqttCloud(broker.port, KEY, MACHINE, username="cloud", password="cloud password"),
    ):
        verdicts = doctor(write_config(tmp_path, broker.port))
    told = {verdict.what: verdict for verdict in verdicts if verdict.what in ("access list", "other machines")}
    assert words in " ".join(str(verdict) for verdict in verdicts)
    assert told["other machines"].level == "warn"
    assert "read their topics" in told["other machines"].text


def test_no_agent_starts_while_it_looks(tmp_path: Path, broker: Broker, cloud: MqttCloud) -> None:
    config = write_config(tmp_path, broker.port)
    factory = SimulatedCabinet(Wiring(PIN)).factory()
    for verdict in examine(config, QUICK_S, environ={}, pin_factory=factory, serial=SERIAL):
        if verdict.what == "coin line":
            with pytest.raises(JournalInUse):
                open_journal(tmp_path / "journal.db", SERIAL)


def test_a_copied_journal_is_named_and_left_alone(tmp_path: Path, broker: Broker, cloud: MqttCloud) -> None:
    config = write_config(tmp_path, broker.port)
    open_journal(tmp_path / "journal.db", "another Pi").close()
    before = (tmp_path / "journal.db").read_bytes()
    verdicts = doctor(config)
    assert "another computer" in text_of(verdicts, "journal")
    assert (tmp_path / "journal.db").read_bytes() == before
    assert not list(tmp_path.glob("*aside*"))
    assert asked(cloud) == []


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no folder", "edge.toml is a file, and the journal needs a folder there"),
        ("a folder", "must name a file in it"),
        ("damaged", "start the agent once"),
        ("damaged inside", "start the agent once"),
    ],
)
def test_a_journal_that_cannot_be_used_is_named_and_the_rest_is_tried(
    tmp_path: Path, broker: Broker, what: str, words: str
) -> None:
    """With what to do; it is left as it is, for what heals it is the agent's start."""
    config, journal = write_config(tmp_path, broker.port), tmp_path / "journal.db"
    match what:
        case "damaged":
            journal.write_bytes(b"nothing that SQLite knows" * 200)
        case "damaged inside":
            open_journal(journal, SERIAL).close()
            content = journal.read_bytes()
            journal.write_bytes(content[:8192] + bytes(255 - b for b in content[8192:]))
        case "a folder":
            journal.mkdir()
        case _:
            config.write_text(config.read_text().replace('"journal.db"', '"edge.toml/journal.db"'))
    verdicts = doctor(config)
    assert failed(verdicts) == ["journal"]
    assert words in text_of(verdicts, "journal")
    assert not list(tmp_path.glob("*aside*"))
    assert levels(verdicts, "coin line") == levels(verdicts, "broker login") == {"ok"}


def test_a_folder_in_which_others_may_write_is_named(tmp_path: Path) -> None:
    config = write_config(tmp_path, free_port())
    tmp_path.chmod(0o777)
    assert f"chmod 700 {tmp_path}" in text_of(doctor(config), "journal", "warn")


def test_every_fault_of_the_settings_is_named(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text('machine_id = "a/b"\n[broker]\nhost = ""\n[coin]\npin = 99\n[security]\n')
    verdicts = doctor(config)
    assert levels(verdicts, "settings") == {"FAIL"}
    assert len(verdicts) == 4


def test_the_exit_code_tells_a_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--config", str(tmp_path / "nothing.toml")]) == 1
    assert capsys.readouterr().out.startswith("FAIL  settings")


def test_settings_and_secrets_that_others_may_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And under sudo the credentials are read where systemd would take them from."""
    config = write_config(tmp_path, free_port(), security="allow_unsigned = true")
    config.write_text(config.read_text().replace(f'signing_key = "{KEY.hex()}"', ""))
    config.chmod(0o644)
    store = tmp_path / "credstore"
    store.mkdir()
    (store / "arcade-edge.signing_key").write_text(KEY.hex())
    (store / "arcade-edge.signing_key").chmod(0o644)
    monkeypatch.setattr(edge_settings, "CREDENTIAL_STORE", store)
    assert edge_settings.load(config, {}).keys == (KEY,)
    verdicts = doctor(config)
    said = [verdict.text for verdict in verdicts if verdict.level == "warn" and verdict.what == "settings"]
    assert ["chmod 600" in text for text in said] == [True, True, False]
    assert "arcade-edge.signing_key" in said[1]
    assert "allow_unsigned" in said[2]


Wire = Callable[[LgpioDoubleBackEnd], None]


def _rests(double: LgpioDoubleBackEnd) -> None:
    double.library.levels[PIN] = True


def _nothing_holds_it(double: LgpioDoubleBackEnd) -> None:
    double.library.levels[PIN] = False


def _short_circuit(double: LgpioDoubleBackEnd) -> None:
    vars(double.library)["gpio_read"] = lambda _handle, _gpio: 0


def _taken(double: LgpioDoubleBackEnd) -> None:
    def busy(*_: Any) -> int:
        raise double.library.error("GPIO busy")

    vars(double.library).update(gpio_claim_input=busy, gpio_claim_output=busy)


@pytest.mark.parametrize(
    ("wire", "level", "words"),
    [
        (_rests, "ok", "at rest"),
        (_nothing_holds_it, "FAIL", "pull resistor to 3.3 V"),
        (_short_circuit, "FAIL", "short circuit"),
        (_taken, "FAIL", "systemctl stop arcade-edge"),
    ],
)
def test_the_coin_line_rests_with_and_without_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wire: Wire, level: str, words: str
) -> None:
    """Undriven it shows what holds it whenever the Pi starts; driven, it shows no active level."""
    double = LgpioDoubleBackEnd(monkeypatch)
    wire(double)
    verdicts = doctor(write_config(tmp_path, free_port()), double.factory())
    double.close()
    assert words in text_of(verdicts, "coin line", level)
    assert all(double.library.seen)


@pytest.mark.parametrize(("ready_now", "over_now"), [(True, False), (False, True)])
def test_the_inputs_levels_are_told(tmp_path: Path, ready_now: bool, over_now: bool) -> None:
    cabinet = SimulatedCabinet(Wiring(PIN, ready_pin=READY, game_over_pin=GAME_OVER))
    ready = cabinet.factory().pin(READY)
    ready.drive_low() if ready_now else ready.drive_high()
    if over_now:
        cabinet.factory().pin(GAME_OVER).drive_low()
    more = f"[ready]\npin = {READY}\n[game_over.gpio]\npin = {GAME_OVER}"
    verdicts = doctor(write_config(tmp_path, free_port(), more=more), cabinet.factory())
    assert levels(verdicts, "ready") == ({"ok"} if ready_now else {"warn"})
    assert levels(verdicts, "game over") == ({"warn"} if over_now else {"ok"})


def test_without_pins_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from arcade_edge.tools import pin_checks

    def none_here(_given: Any) -> Any:
        raise GpioUnavailable("no pins here")

    monkeypatch.setattr(pin_checks, "open_pin_factory", none_here)
    verdicts = doctor(write_config(tmp_path, free_port()), None)
    assert text_of(verdicts, "pins") == "no pins here"


def test_the_serial_port_is_opened(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    try:
        more = f'[game_over.serial]\nport = "{os.ttyname(slave)}"\npattern = "over"'
        assert levels(doctor(write_config(tmp_path, free_port(), more=more)), "serial") == {"ok"}
        more = '[game_over.serial]\nport = "/dev/serial/by-id/nothing"\npattern = "over"'
        assert "/dev/serial/by-id" in text_of(doctor(write_config(tmp_path, free_port(), more=more)), "serial")
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_leaves_no_file_behind_that_the_agent_cannot_open() -> None:
    """`sudo arcade-edge pulse` before the agent's first start must not lock it out of its own journal."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from arcade_edge.tools.account import become_owner_of\n"
        "from arcade_edge.agent.journal import open_journal, read_contents\n"
        "from arcade_edge.errors import JournalInUse\n"
        "folder = Path(sys.argv[1])\n"
        "print(become_owner_of(folder), become_owner_of(folder))\n"
        "open_journal(folder / 'journal.db', 'x').close()\n"
        "print({path.stat().st_uid for path in folder.iterdir()} == {folder.stat().st_uid}, os.geteuid() != 0)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nobody", "None", "True", "True"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_files_that_root_can_read_and_the_agent_cannot_are_named() -> None:
    """As when they were copied with sudo: the agent would not start."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from arcade_edge.tools.doctor import examine\n"
        "for verdict in examine(Path(sys.argv[1]), 1, environ={}, pin_factory=None, serial='x'):\n"
        "    print(verdict)\n"
        "    if verdict.what == 'agent': break\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        config = write_config(folder, free_port())
        text = config.read_text().replace(f'signing_key = "{KEY.hex()}"', 'signing_key_file = "key"')
        config.write_text(
            text.replace("tls = false", 'ca_file = "ca.pem"').replace("journal.db", "state/journal.db")
        )
        (folder / "key").write_text(KEY.hex())
        trustme.CA().cert_pem.write_to_path(str(folder / "ca.pem"))
        for file in (config, folder / "key", folder / "ca.pem"):
            file.chmod(0o600)
        (folder / "state").mkdir()
        os.chown(folder / "state", 65534, 65534)
        done = subprocess.run([sys.executable, "-c", code, config], capture_output=True, text=True, check=True)
    for file in (config, folder / "key", folder / "ca.pem"):
        assert f"the agent's user nobody cannot read {file}: chown nobody {file}" in done.stdout
