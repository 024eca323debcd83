"""Settings: where they come from, what is refused, and what a profile keeps."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy_ids.config import ENVIRONMENT, Config, SensorConfig, utc_minute
from entropy_ids.errors import ConfigError
from entropy_ids.settings import SETTINGS

EXAMPLE = Path(__file__).parents[1] / "examples" / "entropy-ids.toml"
KEYS = [setting.key for setting in SETTINGS]


def with_set(*overrides: str) -> Config:
    return Config.load(overrides=overrides, environment={})


def from_file(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    return Config.load(path, environment={})


@pytest.mark.parametrize("setting", SETTINGS, ids=KEYS)
def test_every_default_is_one_that_may_be_set_and_has_a_reason(setting):
    config = Config({setting.key: (setting.default, "--set")})
    assert config[setting.key] == setting.default
    assert setting.reason


def test_every_setting_stands_in_the_table_once():
    assert len(set(KEYS)) == len(KEYS)


def test_without_anything_given_every_setting_has_its_default():
    config = Config.load(environment={})
    assert {key: config[key] for key in KEYS} == {s.key: s.default for s in SETTINGS}
    assert config.given == set()


def test_environment_wins_over_file_and_set_over_environment(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text('[training]\nseed = 2\nepochs = 2\nbatch = 2\n[site]\nname = "a"\n')
    names = {"ENTROPY_IDS_TRAINING_EPOCHS": "3", "ENTROPY_IDS_TRAINING_BATCH": "3"}
    config = Config.load(path, ["training.batch=4"], names)
    values = [config[f"training.{key}"] for key in ("seed", "epochs", "batch")]
    assert values == [2, 3, 4]
    assert config["site.name"] == "a"


def test_the_later_of_two_overrides_wins():
    assert with_set("training.seed=2", "training.seed=3")["training.seed"] == 3


def test_what_was_given_is_remembered_even_if_it_is_the_default(tmp_path):
    config = from_file(tmp_path, "[training]\nseed = 1\n")
    assert config.given == {"training.seed"}


@pytest.mark.parametrize("setting", SETTINGS, ids=KEYS)
def test_every_setting_can_be_given_in_the_environment(setting):
    name = ENVIRONMENT + setting.key.upper().replace(".", "_")
    text = json.dumps(setting.default)
    config = Config.load(environment={name: text})
    assert config[setting.key] == setting.default
    assert config.given == {setting.key}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("site.name=Main office", "Main office"),
        ("site.name = x=y ", "x=y"),
        ('site.name="7"', "7"),
        ("site.name=", ""),
        ("judging.k=2", 2.0),
        ("entropy.alphas=[0.5, 1, 3]", [0.5, 1, 3]),
        ('site.holidays=["2026-12-25"]', ["2026-12-25"]),
    ],
)
def test_an_override_is_read_as_toml_or_else_as_text(text, value):
    found = with_set(text)[text.partition("=")[0].strip()]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "near"),
    [("judging.kk", "judging.k"), ("training.epoch", "training.epochs")],
)
def test_an_unknown_setting_is_refused_with_the_near_one(key, near):
    with pytest.raises(ConfigError, match=f"found {key}; did you mean {near}"):
        with_set(f"{key}=1")


def test_a_setting_that_is_like_no_other_points_to_the_list():
    with pytest.raises(ConfigError, match="found zzz; see: entropy-ids config show"):
        with_set("zzz=1")


@pytest.mark.parametrize(
    "text",
    [
        "judging.k=true",
        "judging.k=wide",
        "training.epochs=2.0",
        "training.epochs=true",
        "training.epochs=[1]",
        "site.name=5",
        "site.weekend=Sat",
        "site.weekend=[1]",
        'site.local_networks=["10.0.0.0/8", true]',
        "entropy.alphas=1",
        'entropy.alphas=["1"]',
        "entropy.alphas=[true]",
        "site.name={a = 1}",
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_setting(text):
    key = text.partition("=")[0]
    with pytest.raises(ConfigError, match=f"--set: {key}: expected .*, found "):
        with_set(text)


@pytest.mark.parametrize(
    "text",
    [
        "judging.k=0.99",
        "judging.k=2.01",
        "judging.k=nan",
        "judging.k=inf",
        "judging.margin=wide",
        "entropy.kind=shannon",
        "entropy.alphas=[]",
        "entropy.alphas=[21]",
        "entropy.alphas=[nan]",
        "entropy.rarefy_to=3",
        "detector.window_min=1",
        "detector.join=sum",
        "training.seed=-1",
        "threshold.top_percent=0",
        "incidents.quiet_minutes=0",
        "reading.block_kib=0",
        "state.dir=",
        'alarms.dir="a\\u0000b"',
        "alarms.keep_days=-1",
        "daemon.poll_s=0",
        "daemon.listen=9474",
        "daemon.listen=127.0.0.1:65536",
        "daemon.listen=::1:9474",
        "daemon.listen=[::1]",
        "daemon.takeover=always",
        "daemon.most_bounds_moved=1.1",
        "daemon.retrain=weekly",
    ],
)
def test_a_value_out_of_bounds_is_refused_by_its_setting(text):
    key = text.partition("=")[0]
    with pytest.raises(ConfigError, match=f"--set: {key}: expected .*, found "):
        with_set(text)


@pytest.mark.parametrize("address", ["", "[::1]:0", "localhost:80", "10.0.0.1:9474"])
def test_the_daemon_listens_where_it_is_told_or_nowhere(address):
    assert with_set(f"daemon.listen={address}")["daemon.listen"] == address


@pytest.mark.parametrize("times", ["", "0 3 * * sun", "*/5 1,2 1-7 jan mon-fri,sun"])
def test_a_schedule_is_a_cron_expression_or_nothing(times):
    assert with_set(f"daemon.retrain={times}")["daemon.retrain"] == times


@pytest.mark.parametrize(
    "times",
    ["0 3 * * 0", "0 3 * *", "0 3 31 2 *", "0 25 * * sun", "0 3 * * sunday x", "a b c"],
)
def test_a_schedule_with_numbered_days_or_that_never_comes_is_refused(times):
    """Cron counts days from Sunday, the scheduler from Monday: only names are clear."""
    with pytest.raises(ConfigError, match="with names of days"):
        with_set(f"daemon.retrain={times}")


@pytest.mark.parametrize("digits", [400, 5_000])
def test_an_absurdly_long_number_is_refused(digits):
    with pytest.raises(ConfigError, match=r"judging\.k"):
        with_set("judging.k=" + "9" * digits)


def test_an_override_without_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"expected section\.key=value, found no '='"):
        with_set("judging.k")


def test_the_place_of_a_bad_value_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"site\.toml: judging\.k"):
        from_file(tmp_path, "[judging]\nk = 9\n")
    with pytest.raises(ConfigError, match="ENTROPY_IDS_JUDGING_K"):
        Config.load(environment={"ENTROPY_IDS_JUDGING_K": "9"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[site", "expected TOML"),
        ("[site]\nname = a", "expected TOML"),
        ("name = 'a'\n", "found name outside"),
        ("[site.name]\nfirst = 1\n", r"site\.name"),
        ("[sites]\nname = 'a'\n", r"did you mean site\.name"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(tmp_path, text, told):
    with pytest.raises(ConfigError, match=rf"site\.toml: .*{told}"):
        from_file(tmp_path, text)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "site.toml"
    path.write_bytes("[site]\nname = 'Büro'\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="expected TOML"):
        Config.load(path, environment={})


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="expected a readable configuration file"):
        Config.load(tmp_path / name, environment={})


SENSOR = "[[sensor]]\nname = 'dmz'\nlog_dirs = ['/zeek/current']\n"


def test_without_a_sensor_there_is_none(tmp_path):
    assert Config.load(environment={}).sensors == ()
    assert from_file(tmp_path, "sensor = []\n").sensors == ()


def test_sensors_stand_in_the_order_of_the_file(tmp_path):
    text = SENSOR + SENSOR.replace("dmz", "lan")
    text += "archive_dir = '/zeek'\nprofile = 'profiles/lan'\n"
    directories = (Path("/zeek/current"),)
    assert from_file(tmp_path, text).sensors == (
        SensorConfig("dmz", directories),
        SensorConfig("lan", directories, Path("/zeek"), Path("profiles/lan")),
    )


def test_a_single_stream_has_no_name_and_several_that_of_their_directories():
    one = SensorConfig("dmz", (Path("/zeek/current"),))
    assert one.streams == {"": Path("/zeek/current")}
    two = SensorConfig("dmz", (Path("/spool/logger-2"), Path("/spool/logger-1")))
    assert list(two.streams.items()) == [
        ("logger-2", Path("/spool/logger-2")),
        ("logger-1", Path("/spool/logger-1")),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[sensor]\nname = 'a'\n", r"sensor: expected tables headed \[\[sensor\]\]"),
        ("sensor = 'dmz'\n", r"sensor: expected tables headed \[\[sensor\]\]"),
        (SENSOR + "log_dir = 1", r"sensor\[0\]\.log_dir: .*, did you mean log_dirs\?"),
        (SENSOR + "zone = 1", r"sensor\[0\]\.zone: expected a known key, one of name,"),
        ("[[sensor]]\nlog_dirs = ['a']", r"sensor\[0\]\.name: .*, found None"),
        ("[[sensor]]\nname = 'a'", r"sensor\[0\]\.log_dirs: .*, found None"),
        (SENSOR + SENSOR, "sensor names: expected them to differ, found dmz twice"),
        (SENSOR + "archive_dir = ''", r"\.archive_dir: expected a directory, found ''"),
        (SENSOR + "profile = 7", r"\.profile: expected a directory, found 7"),
    ],
)
def test_a_sensor_that_cannot_be_watched_is_refused_by_number_and_key(
    tmp_path, text, told
):
    with pytest.raises(ConfigError, match=rf"site\.toml: .*{told}"):
        from_file(tmp_path, text)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-x", "a/b", "a b", "ü", "a\\n", "x" * 65]
)
def test_a_sensor_is_called_by_what_can_stand_in_every_name_of_a_file(tmp_path, name):
    with pytest.raises(ConfigError, match=r"sensor\[0\]\.name: expected a name of"):
        from_file(tmp_path, SENSOR.replace("'dmz'", f'"{name}"'))


@pytest.mark.parametrize(
    ("directories", "told"),
    [
        ([], "expected a list of directories"),
        ("/zeek/current", "expected a list of directories"),
        (["/zeek", 7], "expected a directory, found 7"),
        (["a\0b"], "expected a directory"),
        (
            ["/one/logger", "/two/logger/"],
            "expected them to differ, found logger twice",
        ),
        (["/one/logger", "/two/.."], "expected a name of letters"),
    ],
)
def test_directories_that_cannot_be_told_apart_are_refused(tmp_path, directories, told):
    text = f"[[sensor]]\nname = 'dmz'\nlog_dirs = {json.dumps(directories)}\n"
    with pytest.raises(ConfigError, match=rf"sensor\[0\]\.log_dirs: .*{told}"):
        from_file(tmp_path, text)


def test_reading_again_takes_the_file_as_it_is_and_the_overrides_as_they_were(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text("[judging]\nk = 1.5\n[training]\nseed = 2\n")
    config = Config.load(path, (one for one in ["training.seed=3"]), {})
    path.write_text(f"[judging]\nk = 1.75\n[training]\nseed = 4\n{SENSOR}")
    again = config.reload().reload()
    assert (again["judging.k"], again["training.seed"]) == (1.75, 3)
    assert [sensor.name for sensor in again.sensors] == ["dmz"]
    assert config["judging.k"] == 1.5


def test_the_example_of_the_daemon_is_accepted_and_says_the_defaults_it_shows():
    config = Config.load(EXAMPLE, environment={})
    assert [sensor.name for sensor in config.sensors] == ["dmz"]
    assert {key: config[key] for key in config.given} == {
        setting.key: setting.default
        for setting in SETTINGS
        if setting.key in config.given
    }
    assert {key for key in KEYS if key.startswith("daemon.")} <= config.given


def test_a_profile_keeps_exactly_the_settings_that_training_uses():
    config = with_set("judging.k=1.5", "incidents.quiet_minutes=9")
    kept = config.trained()
    assert set(kept) == {s.key for s in SETTINGS if s.trained}
    assert kept["judging.k"] == 1.5
    assert "incidents.quiet_minutes" not in kept
    assert json.loads(json.dumps(kept)) == kept


@pytest.mark.parametrize(
    ("text", "minute"),
    [
        ("1713684300", 1_713_684_300),
        ("1713684359.9", 1_713_684_300),
        ("2024-04-21T07:25", 1_713_684_300),
        ("2024-04-21T07:25:59Z", 1_713_684_300),
        ("2024-04-21T09:25+02:00", 1_713_684_300),
        ("2024-04-21", 1_713_657_600),
        ("-1", -60),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise_and_cut_to_its_minute(text, minute):
    assert utc_minute(text) == minute


@pytest.mark.parametrize(
    "text", ["yesterday", "", "2024-13-01", "7:25", "nan", "inf", "-inf", "1e999"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected a UTC time such as .*, found"):
        utc_minute(text)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(KEYS), st.text(max_size=20))
def test_any_text_is_a_value_or_a_configuration_error(key, text):
    try:
        assert with_set(f"{key}={text}").given == {key}
    except ConfigError as err:
        assert key in str(err)
