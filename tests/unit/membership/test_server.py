"""Settings of a membership server, zoo.cfg, the answers of a server, and restarting it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from membership.config import (
    BadSettingsError,
    MembershipServerConfig,
    check,
    client_file,
    parse_config,
    parse_servers,
    render_config,
)
from membership.server.policy import (
    Action,
    CancelTimer,
    End,
    Event,
    Exited,
    Hung,
    Kill,
    Phase,
    RestartPolicy,
    RestartSettings,
    Spawn,
    StartAsked,
    StartTimer,
    StopAsked,
    Terminate,
    TimerFired,
)
from membership.server.probe import parse_srvr
from membership.server.zoo_cfg import MAIN_CLASS, java_command, my_id, zoo_cfg

SERVERS = parse_servers("ms_host1!2181,ms_host2!2181, ms_host3!2181")
CONFIG = MembershipServerConfig(id=2, servers=SERVERS)


def test_zoo_cfg_has_the_documented_settings() -> None:
    lines = zoo_cfg(CONFIG, Path("/data")).splitlines()
    for wanted in (
        "tickTime=250",
        "initLimit=40",
        "syncLimit=12",
        "clientPort=2181",
        "clientPortAddress=ms_host2",
        "dataDir=/data",
        "server.1=ms_host1:2888:3888",
        "server.3=ms_host3:2888:3888",
        "autopurge.snapRetainCount=3",
        "autopurge.purgeInterval=1",
        "admin.enableServer=false",
    ):
        assert wanted in lines
    words = next(line for line in lines if line.startswith("4lw.commands.whitelist="))
    assert {"stat", "ruok", "conf", "isro"} <= set(words.partition("=")[2].split(", "))
    assert my_id(CONFIG) == "2\n"


def test_a_single_server_is_no_ensemble() -> None:
    alone = MembershipServerConfig(id=1, servers=parse_servers("127.0.0.1!2181"))
    assert "server.1" not in zoo_cfg(alone, Path("/data"))


def test_the_java_command_uses_debians_jars_or_zookeeper_home() -> None:
    command = java_command(CONFIG, Path("/x/zoo.cfg"), {})
    assert command[0] == "java"
    assert "-Xmx64m" in command
    assert command[-2:] == [MAIN_CLASS, "/x/zoo.cfg"]
    assert command[-3].split(":")[0] == "/usr/share/java/zookeeper.jar"
    other = java_command(
        CONFIG, Path("/x/zoo.cfg"), {"ZOOKEEPER_HOME": "/opt/zk", "JAVA_HOME": "/opt/jre"}
    )
    assert other[0] == "/opt/jre/bin/java"
    assert "/opt/zk/lib/*" in other[-3]


def test_settings_survive_their_file() -> None:
    assert parse_config(render_config(CONFIG)) == CONFIG
    assert client_file(SERVERS) == "Servers ms_host1!2181,ms_host2!2181,ms_host3!2181\n"


@pytest.mark.parametrize(
    ("servers", "own", "complaint"),
    [
        ("a!1,b!1", 1, "odd number"),
        ("a!1,b!1,c!1", 4, "not among"),
        ("a!1!2!3,a!1!4!5,b!1", 1, "used twice"),
        ("a!1!1!3", 1, "used twice"),
        ("a!70000", 1, "70000"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    servers: str, own: int, complaint: str
) -> None:
    with pytest.raises(BadSettingsError, match=complaint):
        check(MembershipServerConfig(id=own, servers=parse_servers(servers)))


@pytest.mark.parametrize("text", ["", "!1", "a!b", "a!1!2", "a!1,,b!1", "a!-1"])
def test_server_lists_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(BadSettingsError):
        parse_servers(text)


@pytest.mark.parametrize("text", ["id = 1", "id = 1\nservers = []\nx = 2", "id =", "id = 'a'"])
def test_files_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(BadSettingsError):
        parse_config(text)


def test_srvr_answers_are_understood() -> None:
    status = parse_srvr(
        "Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2022-02-25\n"
        "Latency min/avg/max: 0/0.5/12\nReceived: 10\nSent: 9\nConnections: 4\n"
        "Outstanding: 0\nZxid: 0x100000002\nMode: follower\nNode count: 5\n"
    )
    assert (status.role, status.version, status.connections, status.znodes) == (
        "follower",
        "3.8.0",
        4,
        5,
    )
    assert status.serves
    waiting = parse_srvr("This ZooKeeper instance is not currently serving requests\n")
    assert waiting.role == "no quorum"
    assert not waiting.serves
    assert not parse_srvr("").serves


# -- restarts -------------------------------------------------------------------------------------
SETTINGS = RestartSettings(
    first_pause_s=1, pause_factor=2, pause_max_s=5, healthy_after_s=60, final_codes=frozenset({78})
)


def crash(policy: RestartPolicy, at_s: float) -> float:
    """Crash and restart; returns the pause before the restart."""
    (pause,) = policy.handle(Exited(1), at_s)
    assert isinstance(pause, StartTimer)
    assert policy.handle(TimerFired(), at_s + pause.seconds) == [Spawn()]
    return pause.seconds


def test_pauses_grow_to_a_limit_and_are_forgotten_after_a_good_run() -> None:
    policy = RestartPolicy(SETTINGS)
    assert policy.handle(StartAsked(), 0) == [Spawn()]
    assert [crash(policy, 1) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert crash(policy, 1000) == 1
    assert policy.restarts == 6


def test_an_exit_that_no_restart_can_mend_ends_it() -> None:
    policy = RestartPolicy(SETTINGS)
    policy.handle(StartAsked(), 0)
    (end,) = policy.handle(Exited(78), 1)
    assert isinstance(end, End)
    assert (end.code, policy.phase) == (78, Phase.ENDED)


def test_it_gives_up_after_so_many_crashes_in_a_row_if_told_so() -> None:
    policy = RestartPolicy(RestartSettings(crashes_max=2))
    policy.handle(StartAsked(), 0)
    assert crash(policy, 0) > 0
    assert isinstance(policy.handle(Exited(1), 0)[0], End)


def test_a_stop_is_a_term_then_a_kill_then_the_end() -> None:
    policy = RestartPolicy(SETTINGS)
    policy.handle(StartAsked(), 0)
    assert policy.handle(StopAsked(), 5) == [Terminate(), StartTimer(SETTINGS.stop_timeout_s)]
    assert policy.handle(StopAsked(), 6) == []
    assert policy.handle(TimerFired(), 15) == [Kill()]
    assert policy.handle(Exited(-9), 15) == [CancelTimer(), End(-9, "stopped")]
    assert policy.handle(StartAsked(), 16) == []


def test_a_hung_process_is_killed_and_started_again() -> None:
    policy = RestartPolicy(SETTINGS)
    policy.handle(StartAsked(), 0)
    assert policy.handle(Hung(), 30) == [Kill()]
    assert crash(policy, 30) == 1


def test_whatever_happens_there_is_one_process_and_an_asked_stop_ends_it() -> None:
    events: list[Event] = [StartAsked(), TimerFired(), Hung(), StopAsked()]
    for seed in range(500):
        rng = random.Random(seed)
        policy, running, timer = RestartPolicy(SETTINGS), False, False
        ended = asked = False
        for step in range(40):
            event = rng.choice([*events, Exited(rng.choice([0, 1, 78, -9]))])
            if (isinstance(event, Exited) and not running) or (
                isinstance(event, TimerFired) and not timer
            ):
                continue  # cannot happen
            running = running and not isinstance(event, Exited)
            timer = timer and not isinstance(event, TimerFired)
            asked = asked or (isinstance(event, StopAsked) and policy.phase is not Phase.ENDED)
            actions: list[Action] = policy.handle(event, step)
            for action in actions:
                assert not ended, "nothing after the end"
                if isinstance(action, Spawn):
                    assert not running, f"{seed=}: two at once"
                    assert not asked, f"{seed=}: a start after the stop"
                    running = True
                timer = timer or isinstance(action, StartTimer)
                ended = ended or isinstance(action, End)
            assert ended or running or timer or policy.phase is Phase.STOPPED, f"{seed=}: stuck"
        assert not (ended and running)
