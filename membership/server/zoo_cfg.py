"""Settings of a membership server -> zoo.cfg, myid and the JVM's command line. Pure.

The values are those of feature-map row MEM-05. zoo.cfg keys that ZooKeeper does not know become
Java system properties with the prefix "zookeeper.", which is what the last ones are meant for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from membership.config import TLS_ROOT_FILE, TLS_SERVER_FILE, MembershipServerConfig

MAIN_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
DEBIAN_JARS = ("/usr/share/java/zookeeper.jar", "/usr/share/java/slf4j-simple.jar")
NETTY_PARTS = (
    *("buffer", "codec", "common", "handler", "resolver", "transport"),
    *("transport-native-epoll", "transport-native-unix-common"),
)  # ZooKeeper does TLS with it; Debian has one file for each
FOUR_LETTER_WORDS = "stat, ruok, conf, isro, srvr"


def zoo_cfg(config: MembershipServerConfig, data_dir: Path, tls_dir: Path | None = None) -> str:
    """The text of zoo.cfg. A single server (an ensemble of one) runs standalone.

    tls_dir: where root.crt and server.pem are; wanted if the settings say TLS.
    """
    own = config.own
    secure = "secureClientPort" if config.tls else "clientPort"
    lines = [
        f"tickTime={config.tick_ms}",
        f"initLimit={config.init_limit_ticks}",
        f"syncLimit={config.sync_limit_ticks}",
        f"dataDir={data_dir}",
        f"{secure}={own.client_port}",
        f"{secure}Address={own.address}",
        "autopurge.snapRetainCount=3",
        "autopurge.purgeInterval=1",
        f"4lw.commands.whitelist={FOUR_LETTER_WORDS}",
        "admin.enableServer=false",
        "maxClientCnxns=0",  # the default of 60 per address is little for a grid on one machine
        "preAllocSize=4096",  # KB by which the log file grows; the default of 64 MB is for disks
    ]
    if len(config.servers) > 1:
        lines += [
            f"server.{server.id}={server.address}:{server.peer_port}:{server.election_port}"
            for server in config.servers
        ]
    if config.tls:
        assert tls_dir is not None
        lines += _tls_lines(tls_dir, quorum=len(config.servers) > 1)
    return "\n".join(lines) + "\n"


def _tls_lines(folder: Path, *, quorum: bool) -> list[str]:
    """Mutual TLS for clients and between servers; there is no port without it."""
    lines = ["serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"]
    for prefix in ("ssl", "ssl.quorum") if quorum else ("ssl",):
        lines += [
            f"{prefix}.keyStore.location={folder / TLS_SERVER_FILE}",
            f"{prefix}.keyStore.type=PEM",
            f"{prefix}.trustStore.location={folder / TLS_ROOT_FILE}",
            f"{prefix}.trustStore.type=PEM",
            f"{prefix}.clientAuth=need",
            f"{prefix}.enabledProtocols=TLSv1.3,TLSv1.2",
        ]
    return [*lines, "sslQuorum=true"] if quorum else lines


def my_id(config: MembershipServerConfig) -> str:
    """The text of the file `myid` in the data directory."""
    return f"{config.id}\n"


def class_path(environment: Mapping[str, str], *, tls: bool = False) -> str:
    """Where ZooKeeper's classes are: an Apache distribution if ZOOKEEPER_HOME is set, or Debian's.

    The JVM expands the asterisk.
    """
    home = environment.get("ZOOKEEPER_HOME", "")
    if home:
        return f"{home}/conf:{home}/lib/*:{home}/*"
    netty = [f"/usr/share/java/netty-{part}.jar" for part in NETTY_PARTS] if tls else []
    return ":".join((*DEBIAN_JARS, *netty))


def java_command(
    config: MembershipServerConfig, cfg_file: Path, environment: Mapping[str, str]
) -> list[str]:
    """The command that runs the server in the foreground. It logs to its standard error."""
    java_home = environment.get("JAVA_HOME", "")
    java = f"{java_home}/bin/java" if java_home else "java"
    return [
        java,
        f"-Xmx{config.heap_mb}m",
        "-Xss512k",
        "-XX:+UseSerialGC",  # one small heap: the least memory and threads
        "-XX:TieredStopAtLevel=1",  # quick to start, and what runs here is not hot
        "-XX:+ExitOnOutOfMemoryError",
        "-Dzookeeper.admin.enableServer=false",
        "-Dzookeeper.jmxremote.disable=true",
        "-Djava.net.preferIPv4Stack=true",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
        "-cp",
        class_path(environment, tls=config.tls),
        MAIN_CLASS,
        str(cfg_file),
    ]
