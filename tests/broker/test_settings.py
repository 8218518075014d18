"""The hub's settings: command line, environment, file, defaults, in this order."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.reach import Allowed
from broker.settings import Settings, read_settings
from lintas.errors import BadSettings


def test_defaults() -> None:
    """Without any setting a hub lives in the working directory and listens on loopback."""
    assert Settings(
        data=Path("lintas-data"),
        database="sqlite:///lintas-data/hub.db",
        checkpoint=Path("lintas-data/newest.checkpoint"),
        host="127.0.0.1",
        port=8470,
        log_level="info",
    ) == read_settings({})


def test_log_key_file() -> None:
    """The log's key lies in the data directory."""
    assert Path("d/log.key") == read_settings({}, data="d").log_key_file


def test_witnesses(tmp_path: Path) -> None:
    """The policy's file is named by the environment or in the file; an empty variable names none."""
    write(tmp_path, 'witnesses = "/etc/lintas/policy"')

    assert Path("/etc/lintas/policy") == read_settings({}, data=str(tmp_path)).witnesses
    assert Path("p") == read_settings({"LINTAS_WITNESSES": "p"}, data=str(tmp_path)).witnesses
    assert None is read_settings({"LINTAS_WITNESSES": ""}).witnesses


def write(folder: Path, text: str) -> str:
    """Write a settings file into a data directory."""
    (folder / "settings.toml").write_text(text)
    return str(folder)


def test_order(tmp_path: Path) -> None:
    """The command line wins over the environment, the environment over the file, the file over the defaults."""
    data = write(tmp_path, 'host = "file"\nport = 1\nlog_level = "debug"\n')

    found = read_settings({"LINTAS_HOST": "environment", "LINTAS_PORT": "2", "LINTAS_DATA": data}, port=3)

    assert ("environment", 3, "debug") == (found.host, found.port, found.log_level)


def test_data_of_the_command_line(tmp_path: Path) -> None:
    """The data directory of the command line wins over that of the environment."""
    assert tmp_path == read_settings({"LINTAS_DATA": "elsewhere"}, data=str(tmp_path)).data


def test_named_file(tmp_path: Path) -> None:
    """A settings file can be named; the one in the data directory is then not read."""
    data = write(tmp_path, "port = 1\n")
    named = tmp_path / "other.toml"
    named.write_text('port = 2\ndatabase = "sqlite:///x.db"\n')

    found = read_settings({"LINTAS_SETTINGS": str(named), "LINTAS_DATA": data})

    assert (2, "sqlite:///x.db") == (found.port, found.database)


def test_named_file_that_is_missing(tmp_path: Path) -> None:
    """A settings file that is named must be there."""
    with pytest.raises(BadSettings, match=r"missing.toml cannot be read"):
        read_settings({"LINTAS_SETTINGS": str(tmp_path / "missing.toml")})


def test_file_that_is_no_toml(tmp_path: Path) -> None:
    """A settings file that is no TOML is refused by name."""
    with pytest.raises(BadSettings, match=r"settings.toml cannot be read"):
        read_settings({}, data=write(tmp_path, "port: 1"))


@pytest.mark.parametrize("content", [b"host = '\xff'", b"a = " + b"[" * 5_000, b"port = " + b"1" * 5_000])
def test_file_of_strange_bytes(tmp_path: Path, content: bytes) -> None:
    """Bytes that are no text, nesting without end and endless numbers are refused as any other fault is."""
    (tmp_path / "settings.toml").write_bytes(content)

    with pytest.raises(BadSettings):
        read_settings({}, data=str(tmp_path))


@pytest.mark.parametrize("name", ["prot", "data", "LINTAS_PORT"])
def test_unknown_key(tmp_path: Path, name: str) -> None:
    """A key that means nothing in a settings file is refused by name; the data directory cannot be set there."""
    with pytest.raises(BadSettings, match=f"unknown key: {name}"):
        read_settings({}, data=write(tmp_path, f"{name} = 1\n"))


@pytest.mark.parametrize("port", ["65536", "-1", "http", "1.5", "\u0661"])
def test_port(port: str) -> None:
    """A port outside its range is refused by the name of the setting."""
    with pytest.raises(BadSettings, match="LINTAS_PORT is a number from 0 to 65535"):
        read_settings({"LINTAS_PORT": port})


@pytest.mark.parametrize("port", [0, 65_535])
def test_port_at_the_limit(port: int) -> None:
    """Any free port, and the last one, may be asked for."""
    assert port == read_settings({}, port=port).port


@pytest.mark.parametrize("days", ["-1", "3651", "1.5", "\u0661"])
def test_purge_after_days(days: str) -> None:
    """Days outside their range are refused by the name of the setting."""
    with pytest.raises(BadSettings, match="LINTAS_PURGE_AFTER_DAYS is a number from 1 to 3650"):
        read_settings({"LINTAS_PURGE_AFTER_DAYS": days})


@pytest.mark.parametrize("days", [1, 3_650])
def test_purge_after_days_at_the_limit(days: int) -> None:
    """A day, or ten years, may be asked for; less than a day would take what readers rely on."""
    assert days == read_settings({"LINTAS_PURGE_AFTER_DAYS": str(days)}).purge_after_days
    with pytest.raises(BadSettings):
        read_settings({"LINTAS_PURGE_AFTER_DAYS": "0"})


@pytest.mark.parametrize("factor", ["-1", "1001", "0.5", "1" * 5_000])
def test_rate_factor(factor: str) -> None:
    """A factor outside its range is refused by the name of the setting."""
    with pytest.raises(BadSettings, match="LINTAS_RATE_FACTOR is a number from 0 to 1000"):
        read_settings({"LINTAS_RATE_FACTOR": factor})


@pytest.mark.parametrize("factor", [0, 1_000])
def test_rate_factor_at_the_limit(factor: int) -> None:
    """No limit at all, or the highest, may be asked for."""
    assert factor == read_settings({"LINTAS_RATE_FACTOR": str(factor)}).rate_factor


def test_trusted_proxy(tmp_path: Path) -> None:
    """Proxies are named by address or network; what is neither is refused by the name of the setting."""
    write(tmp_path, 'trusted_proxy = "127.0.0.1, fd00:20::/64"')

    found = read_settings({}, data=str(tmp_path)).trusted_proxy

    assert ["127.0.0.1/32", "fd00:20::/64"] == list(map(str, found))
    with pytest.raises(BadSettings, match="LINTAS_TRUSTED_PROXY: 'proxy' does not appear"):
        read_settings({"LINTAS_TRUSTED_PROXY": "proxy"})


def test_log_level() -> None:
    """A log level outside its set is refused by the name of the setting."""
    with pytest.raises(BadSettings, match="LINTAS_LOG_LEVEL is one of debug, info, warning, error"):
        read_settings({"LINTAS_LOG_LEVEL": "loud"})


def test_empty_variable() -> None:
    """A variable that is set to nothing counts as not set."""
    assert 8470 == read_settings({"LINTAS_PORT": ""}).port


def test_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another mapping the environment of the process is read."""
    monkeypatch.setenv("LINTAS_PORT", "8480")

    assert 8480 == read_settings().port


def test_frozen() -> None:
    """Settings do not change while a hub runs."""
    with pytest.raises(AttributeError):
        read_settings({}).port = 1  # type: ignore[misc]


def test_webhook_exceptions(tmp_path: Path) -> None:
    """Exceptions for webhooks are read from the environment or the file."""
    data = write(tmp_path, 'webhook_allow = "inner.example:8443"\n')

    assert (Allowed("inner.example", None, 8443),) == read_settings({}, data=data).webhook_allow


def test_unreadable_webhook_exception() -> None:
    """An exception that cannot be read stops the hub instead of being skipped."""
    with pytest.raises(BadSettings, match="LINTAS_WEBHOOK_ALLOW"):
        read_settings({"LINTAS_WEBHOOK_ALLOW": "inner.example"})


def test_operations(tmp_path: Path) -> None:
    """Form of the log, address of figures, time to leave are read; without them none, none, none at all."""
    data = write(tmp_path, 'log_format = "text"\nmetrics = "[::1]:9470"\ndrain_s = 10\n')
    found, plain = read_settings({}, data=data), read_settings({})

    assert ("text", ("::1", 9470), 10) == (found.log_format, found.metrics, found.drain_s)
    assert (None, None, 0) == (plain.log_format, plain.metrics, plain.drain_s)


@pytest.mark.parametrize(
    "address", ["9470", ":9470", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "x:" + "9" * 5_000]
)
def test_address_of_figures(address: str) -> None:
    """An address of figures without host or port is refused by the name of the setting."""
    with pytest.raises(BadSettings, match="LINTAS_METRICS"):
        read_settings({"LINTAS_METRICS": address})


@pytest.mark.parametrize("seconds", ["-1", "301", "1.5"])
def test_time_to_leave(seconds: str) -> None:
    """A time to leave outside its range is refused by the name of the setting."""
    with pytest.raises(BadSettings, match="LINTAS_DRAIN_S is a number from 0 to 300"):
        read_settings({"LINTAS_DRAIN_S": seconds})


def test_log_format() -> None:
    """A form of the log that is none is refused by the name of the setting."""
    with pytest.raises(BadSettings, match="LINTAS_LOG_FORMAT is one of json, text"):
        read_settings({"LINTAS_LOG_FORMAT": "xml"})
