# SPDX-License-Identifier: BSD-2-Clause
"""Where settings come from, who wins, and what is said about bad ones."""

import os

import pytest

from conftest import DAEMON, OTHER_UID, as_uid, needs_root, run


def check(folder, *args):
    return run([DAEMON, "--config", folder.config, "--check-config", *args])


def dump(config, *args):
    return run([DAEMON, "--config", config, "--dump-config", *args])


def value(folder, key):
    section, name = key.split(".")
    for setting in folder.json("config", "show")["settings"]:
        if (setting["section"], setting["name"]) == (section, name):
            return setting
    raise KeyError(key)


def test_order_of_sources(folder, daemons):
    key = "Retrieval.MaxPeers"
    folder.write(Retrieval__MaxPeers=1)
    line = folder.config.read_text().splitlines().index("MaxPeers = 1") + 1
    daemon = daemons().start()
    assert value(folder, key)["value"] == "1"
    assert value(folder, key)["origin"] == f"{folder.config}:{line}"
    folder.drop_in("[Retrieval]\nMaxPeers = 3\n", "20.conf")
    folder.drop_in("[Retrieval]\nMaxPeers = 2\n", "10.conf")
    folder.drop_in("[Retrieval]\nMaxPeers = 9\n", "30.disabled")
    daemon.reload()
    assert value(folder, key)["value"] == "3"
    assert value(folder, key)["origin"].endswith("/20.conf:2")
    daemon.stop()
    daemon = daemons("--set", f"{key}=4").start()
    assert value(folder, key) == {
        "section": "Retrieval", "name": "MaxPeers", "value": "4",
        "default": "16", "origin": "--set", "locked": False}
    folder.policy("[Retrieval]\nMaxPeers = 5\n")
    daemon.reload()
    assert value(folder, key)["value"] == "5"
    assert value(folder, key)["locked"]
    assert value(folder, key)["origin"].endswith("/policy.d/10.conf:2")
    assert "locked here; --set is ignored" in daemon.log()
    assert value(folder, "Retrieval.PeerStrikes")["origin"] == "built-in"


def test_policy_disables_whatever_others_say(folder, daemons):
    folder.policy("[Service]\nEnable = no\n")
    daemons("--set", "Service.Enable=yes").start()
    assert folder.status()["status"] == "disabled"


def test_lists_append_and_start_afresh(folder, daemons):
    folder.write(Retrieval__Peers="127.0.0.1:1 127.0.0.2:2")
    folder.drop_in("[Retrieval]\nPeers = 127.0.0.3:3\nPeers = [::1]:4\n")
    daemon = daemons().start()
    assert value(folder, "Retrieval.Peers")["value"] == [
        "127.0.0.1:1", "127.0.0.2:2", "127.0.0.3:3", "[::1]:4"]
    folder.policy("[Retrieval]\nPeers = 127.0.0.9:9\n")
    daemon.reload()
    assert value(folder, "Retrieval.Peers")["value"] == ["127.0.0.9:9"]


def test_check_finds_nothing(folder):
    result = check(folder)
    assert (result.code, result.out, result.err) == (0, "", "")


def test_check_names_file_and_line(folder):
    folder.config.write_text(
        "[Service]\nEnable = perhaps\nColour = red\n\n[Metrics]\nListen = :80\n"
        "[Service]\nMode = hybrid\nnonsense\n")
    result = check(folder)
    assert result.code == 1
    assert [line.split(": ")[0] for line in result.out.splitlines()] == [
        f"{folder.config}:{n}" for n in (2, 3, 6, 8, 9)]
    assert "Service.Enable" in result.out
    assert "no such setting" in result.out
    assert result.out.count("not in this release") == 2


@pytest.mark.parametrize("key, text, why", [
    ("Listen", "8080", "ADDRESS:PORT"), ("Listen", "localhost:80", "names"),
    ("Listen", "127.0.0.1", "ADDRESS:PORT"),
    ("Listen", "127.0.0.1:70000", "ADDRESS:PORT"),
    ("Listen", "unix:/run/web.sock", "ADDRESS:PORT"),
    ("Root", "www", "absolute"), ("Root", "./www", "absolute"),
    ("MinSize", "-1", "size"), ("MinSize", "5%", "size"),
    ("MinSize", "64KB", "size"), ("Folder", "/srv", "no such setting")])
def test_check_of_the_web_server(folder, key, text, why):
    folder.write(**{"Web__" + key: text})
    line = folder.config.read_text().splitlines().index(f"{key} = {text}") + 1
    result = check(folder)
    assert result.code == 1
    [told] = result.out.splitlines()
    assert told.startswith(f"{folder.config}:{line}: Web.{key}: ")
    assert why in told
    told = folder.ctl("config", "check", folder.config)
    assert (told.code, told.out) == (7, result.out)


def test_a_web_server_without_folder_is_told(folder, daemons):
    folder.write(Web__Listen="127.0.0.1:0")
    line = folder.config.read_text().splitlines().index(
        "Listen = 127.0.0.1:0") + 1
    told = f"{folder.config}:{line}: Web.Listen is of no use without Web.Root"
    assert check(folder).out.splitlines() == [told]
    daemon = daemons().start()
    assert folder.status()["config_problems"] == 1
    assert told.split(": ", 1)[1] in daemon.log()
    assert not [row for row in folder.status()["listeners"]
                if row["name"] == "web"]
    folder.write(Web__Listen="127.0.0.1:0", Web__Root=folder.path)
    assert check(folder).out == ""


def test_bad_values_do_not_stop_the_start(folder, daemons):
    folder.write(Service__Mode="sideways", Service__Colour="red")
    daemon = daemons().start()
    status = folder.status()
    assert status["mode"] == "local"
    assert status["mode_origin"] == "built-in"
    assert status["config_problems"] == 2
    assert "Service.Colour: no such setting" in daemon.log()
    assert len(folder.json("config", "show")["problems"]) == 2


def test_long_line_is_an_error(folder, daemons):
    with open(folder.config, "a") as out:
        out.write("[Access]\nClientGroups = " + "a" * 200 + "\n")
    line = len(folder.config.read_text().splitlines())
    assert check(folder).code == 2
    assert f"{folder.config}:{line}: line too long" in check(folder).out
    assert daemons().launch().wait() == 2


def test_unreadable_files(folder, daemons):
    folder.config.unlink()
    assert daemons().launch().wait() == 2
    folder.write()
    (folder.path / "policy.d").write_text("not a folder")
    daemon = daemons().launch()
    assert daemon.wait() == 2
    assert "Not a directory" in daemon.log()


@pytest.mark.parametrize("args", [
    ["--nonsense"], ["extra"], ["--set", "Service.Mode"], ["--set"],
    ["--set", "Service.Nothing=1"], ["--set", "Service.Enable=perhaps"],
    ["--log-level", "loud"], ["--config"]])
def test_bad_options(folder, args):
    result = run([DAEMON, "--config", folder.config, *args])
    assert result.code == 2
    assert result.err != ""


def test_log_level_option(folder, daemons):
    daemons("--log-level", "debug").start()
    assert value(folder, "Log.Level")["value"] == "debug"


def test_dump_parses_back_to_itself(folder):
    folder.write(Service__Mode="distributed", Access__ClientGroups="0 12",
                 Access__PublisherGroups="", DataCache__MaxSize="7%",
                 Retrieval__Peers="127.0.0.1:80 [::1]:81",
                 Retrieval__Quarantine="90s", Log__Level="debug")
    first = dump(folder.config)
    assert (first.code, first.err) == (0, "")
    for line in ("Mode = distributed", "Peers = [::1]:81", "ClientGroups = 12",
                 "Quarantine = 90s"):
        assert line in first.out.splitlines()
    copy = folder.path / "copy.conf"
    copy.write_text(first.out)
    assert run([DAEMON, "--config", copy, "--check-config"]).out == ""
    second = dump(copy)
    assert second.out == first.out


def test_dump_of_nothing_is_the_defaults(folder):
    folder.config.write_text("")
    text = dump(folder.config).out
    assert "Socket = /run/peerdist/peerdistd.sock" in text.splitlines()
    assert "HostedCache" not in text


def test_unknown_group_lets_nobody_in(folder):
    folder.write(Access__ClientGroups="no-such-group-here")
    result = check(folder)
    assert result.code == 1
    assert "it is left out" in result.out
    assert "ClientGroups = no-such-group-here" in dump(folder.config).out


def test_reload_off_and_on(folder, daemon):
    assert folder.status()["status"] == "available"
    folder.write(Service__Enable="no")
    daemon.reload()
    status = folder.status()
    assert status["status"] == "disabled"
    assert status["enable_origin"].startswith(str(folder.config))
    folder.write(Service__Enable="yes")
    daemon.reload()
    assert folder.status()["status"] == "available"


def test_reload_of_a_broken_file_keeps_the_old(folder, daemon):
    folder.write(Service__Enable="no")
    good = folder.config.read_text()
    folder.config.write_text(good + "a" * 300)
    daemon.reload()
    assert folder.status()["status"] == "available"
    assert "the old ones stay" in daemon.log()
    result = folder.ctl("--json", "reload")
    assert result.code == 1
    assert result.json["reloaded"] is False
    assert "line too long" in result.json["problems"][0]
    folder.config.unlink()
    daemon.reload()
    assert folder.status()["status"] == "available"
    folder.config.write_text(good)
    assert folder.json("reload")["reloaded"] is True
    assert folder.status()["status"] == "disabled"


def test_reload_says_what_needs_a_restart(folder, daemon):
    folder.write(Service__Socket=folder.path / "new.sock")
    daemon.reload()
    assert "needs a restart" in daemon.log()
    assert folder.status()["status"] == "available"
    folder.write(Service__Workers=7)
    assert any("Service.Workers needs a restart" in problem
               for problem in folder.json("reload")["problems"])


def test_reload_changes_the_cache_limit(folder, daemon):
    folder.write(DataCache__MaxSize="32M")
    daemon.reload()
    assert folder.status()["store"]["max_bytes"] == 32 << 20


@needs_root
def test_file_without_permission(folder, daemons):
    # Root reads everything: an ordinary user tries.
    folder.config.chmod(0o600)
    os.chown(folder.path, OTHER_UID, OTHER_UID)
    daemon = daemons(prefix=as_uid(OTHER_UID)).launch()
    assert daemon.wait() == 2
    assert "Permission denied" in daemon.log()


# The size of a cache that peerdistctl set.

def set_size(folder, cache, size):
    return folder.ctl("cache", "set-size", cache, size)


def test_size_stays(folder, daemons):
    del folder.settings["DataCache.MaxSize"]
    folder.write()
    daemon = daemons().start()
    assert set_size(folder, "data", "48M").code == 0
    assert set_size(folder, "hash", "3%").code == 0
    kept = folder.state / "settings.conf"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert folder.status()["store"]["max_bytes"] == 48 << 20
    data = value(folder, "DataCache.MaxSize")
    hashes = value(folder, "HashCache.MaxSize")
    assert (data["value"], hashes["value"]) == ("48M", "3%")
    assert data["origin"].startswith(f"{kept}:")
    daemon.reload()
    assert folder.status()["store"]["max_bytes"] == 48 << 20
    daemon.stop()
    daemon = daemons().start()
    assert folder.status()["store"]["max_bytes"] == 48 << 20
    assert value(folder, "HashCache.MaxSize") == hashes
    kept.unlink()
    daemon.reload()
    assert value(folder, "DataCache.MaxSize")["origin"] == "built-in"


def test_size_is_over_the_files(folder, daemon):
    folder.drop_in("[DataCache]\nMaxSize = 32M\n")
    assert set_size(folder, "data", "48M").code == 0
    assert set_size(folder, "hash", "7M").code == 0
    daemon.reload()
    status = folder.status()
    assert status["store"]["max_bytes"] == 48 << 20
    assert status["hash"]["max_bytes"] == 7 << 20


def test_size_that_others_determine(folder, daemons):
    daemon = daemons("--set", "DataCache.MaxSize=20M").start()
    assert set_size(folder, "data", "48M").code == 5
    assert not (folder.state / "settings.conf").exists()
    folder.policy("[HashCache]\nMaxSize = 9M\n")
    assert set_size(folder, "hash", "8M").code == 0
    daemon.reload()
    assert value(folder, "HashCache.MaxSize")["value"] == "9M"
    assert set_size(folder, "hash", "7M").code == 5
    assert folder.status()["store"]["max_bytes"] == 20 << 20
    # What --set hides stays for a start without it.
    assert "8M" in (folder.state / "settings.conf").read_text()


@pytest.mark.parametrize("size", ["", "0", "1K", "much", "101%", "-1"])
def test_bad_sizes(folder, daemon, size):
    result = folder.ctl("cache", "set-size", "data", "--", size)
    assert result.code == (1 if size in ("0", "1K") else 2)
    assert ("at least 1M" in result.err) == (result.code == 1)
    assert folder.status()["store"]["max_bytes"] == 64 << 20
    assert not (folder.state / "settings.conf").exists()


def test_broken_file_of_sizes(folder, daemons):
    folder.state.mkdir(mode=0o700)
    kept = folder.state / "settings.conf"
    kept.write_text("[Service]\nEnable = no\n[DataCache]\nMaxSize = much\n")
    daemon = daemons().start()
    status = folder.status()
    assert status["status"] == "available"
    assert status["config_problems"] == 2
    assert f"{kept}:2" in daemon.log()
    kept.write_bytes(b"\0")
    result = set_size(folder, "data", "48M")
    assert result.code == 1
    assert kept.read_bytes() == b"\0"


# What only a restart changes.

def test_pending_settings(folder, daemon):
    old = str(folder.path / "cache")
    new = str(folder.path / "elsewhere")
    folder.write(DataCache__Directory=new, Service__Workers=3)
    problems = folder.json("reload")["problems"]
    assert any("DataCache.Directory needs a restart" in p for p in problems)
    shown = {(s["section"], s["name"]): s
             for s in folder.json("config", "show")["settings"]}
    directory = shown["DataCache", "Directory"]
    assert (directory["value"], directory["pending"]) == (old, new)
    assert shown["Service", "Workers"]["value"] == "auto"
    assert shown["Service", "Workers"]["pending"] == "3"
    assert shown["Service", "Workers"]["origin"] == "built-in"
    assert "pending" not in shown["HashCache", "Directory"]
    assert (f"Directory = {old}   # after a restart: {new}\n"
            in folder.ctl("config", "show").out)
    # Told again, and gone when it is as before.
    assert any("Workers" in p for p in folder.json("reload")["problems"])
    folder.write(DataCache__Directory=old)
    del folder.settings["Service.Workers"]
    folder.write()
    assert folder.json("reload")["problems"] == []
    assert not any("pending" in s for s in
                   folder.json("config", "show")["settings"])


@needs_root
def test_check_by_somebody_else(folder, daemons):
    daemon = daemons().start()
    assert set_size(folder, "data", "48M").code == 0
    result = run([*as_uid(OTHER_UID), DAEMON, "--config", folder.config,
                  "--check-config"])
    assert (result.code, result.out, result.err) == (0, "", "")
    # The daemon itself must be able to read it.
    os.chown(folder.path, OTHER_UID, OTHER_UID)
    os.chown(folder.state, OTHER_UID, OTHER_UID)
    os.chown(folder.key, OTHER_UID, OTHER_UID)
    assert daemon.stop() == 0
    daemon = daemons(prefix=as_uid(OTHER_UID)).launch()
    assert daemon.wait() == 2
    assert "settings.conf, PROBLEM=Permission denied" in daemon.log()
