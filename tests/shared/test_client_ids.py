"""Client ids: what nobody else can make, and when to leave one to somebody else."""

from arcade_shared.client_ids import ENOUGH, FRESH_EVERY_S, MAX_LENGTH, WINDOW_S, ClientId


def made(key: bytes = b"key", label: str = "arcade-cab-01", identity: str = "cab-01") -> ClientId:
    return ClientId(key, label, identity)


def test_it_is_the_same_after_every_restart_and_another_for_each_key_and_identity() -> None:
    assert made().text == made().text
    assert len({made().text, made(b"another").text, made(identity="cab-02").text}) == 3


def test_it_begins_with_what_people_read_and_is_never_too_long() -> None:
    assert made().text.startswith("arcade-cab-01-")
    long = [made(label="h" * 200, identity=name).text for name in ("a", "b")]
    assert len(set(long)) == 2
    assert {len(text) for text in long} == {MAX_LENGTH}


def test_connections_lost_now_and_then_leave_the_id_as_it_is() -> None:
    client_id, before = made(), made().text
    for number in range(100):
        assert not client_id.lost(number * WINDOW_S / (ENOUGH - 1) * 1.01, taken_over=False)
    assert client_id.text == before


def test_whoever_is_thrown_off_again_and_again_takes_a_fresh_one_that_is_no_guess() -> None:
    one, other = made(), made()
    for client_id in (one, other):
        assert [client_id.lost(number * 1.0, taken_over=False) for number in range(ENOUGH)][-1]
    assert len({one.text, other.text, made().text}) == 3


def test_where_the_broker_says_so_half_as_many_are_enough() -> None:
    client_id = made()
    assert [client_id.lost(1.0, taken_over=True) for _ in range(ENOUGH // 2)][-1]
    assert client_id.text != made().text


def test_the_broker_is_not_filled_with_sessions() -> None:
    client_id, seen = made(), set()
    for second in range(int(FRESH_EVERY_S)):
        client_id.lost(float(second), taken_over=True)
        seen.add(client_id.text)
    assert len(seen) == 2
