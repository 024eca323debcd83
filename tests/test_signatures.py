"""Signatures: the file that names a minute by its signs, and what it may not hold."""

import pytest

from entropy_ids.alarms.incidents import BASE_SEVERITY
from entropy_ids.errors import ConfigError
from entropy_ids.profile.signatures import (
    CLASSES,
    UNNAMED,
    Condition,
    Signature,
    default_text,
    name,
    parse_signatures,
)

DEFAULT = parse_signatures(default_text())


def rule(class_name: str = "dos", **conditions: list[str]) -> str:
    """Write one signature as TOML."""
    lines = [f"{key} = {texts!r}" for key, texts in conditions.items()]
    return "\n".join(["[[signature]]", f"class = '{class_name}'", *lines, ""])


def class_of(text: str, signs: dict[str, str], sizes: dict[str, float] | None = None):
    """Name a minute; places are written ``feature.direction``."""
    placed = {tuple(place.split(".")): sign for place, sign in signs.items()}
    numbers = {tuple(place.split(".")): n for place, n in (sizes or {}).items()}
    return name(placed, numbers, parse_signatures(text))[0]


# -------------------------------------------------------------- the default file


def test_the_default_file_gives_only_known_classes_with_a_meaning():
    assert DEFAULT
    for signature in DEFAULT:
        assert signature.class_name in CLASSES
        assert signature.meaning


def test_the_default_file_does_not_name_the_unnamed():
    assert UNNAMED not in {signature.class_name for signature in DEFAULT}


def made_for(signature: Signature) -> tuple[dict, dict]:
    """Give the signs and sizes that a signature asks for, and nothing more."""
    wanted: list[Condition] = [*signature.all_of, *signature.any_of[:1]]
    places = {(c.feature, c.direction or "inbound"): c for c in wanted}
    signs = {place: condition.sign for place, condition in places.items()}
    return signs, {place: condition.least for place, condition in places.items()}


@pytest.mark.parametrize("signature", DEFAULT, ids=lambda s: s.class_name)
def test_every_class_of_the_default_file_can_be_reached(signature):
    signs, sizes = made_for(signature)
    assert name(signs, sizes, DEFAULT) == (signature.class_name, signature.technique)


def test_every_class_has_a_severity():
    assert set(BASE_SEVERITY) == set(CLASSES)


def test_a_minute_without_signs_is_unnamed():
    assert name({}, {}, DEFAULT) == (UNNAMED, ())


def test_no_signatures_leave_every_minute_unnamed():
    assert parse_signatures("# nothing\n") == []
    assert class_of("", {"flows.all": "low"}) == UNNAMED


# ------------------------------------------------------------------------ matching


def test_the_first_signature_that_fits_gives_the_class():
    dos, worm = rule("dos", all=["flows high"]), rule("worm", all=["flows high"])
    assert class_of(dos + worm, {"flows.all": "high"}) == "dos"
    assert class_of(worm + dos, {"flows.all": "high"}) == "worm"


def test_the_techniques_are_those_of_the_signature_that_fits():
    text = rule("worm", all=["flows low"], technique=["T1"])
    text += rule("dos", all=["flows high"], technique=["T2", "T3"])
    found = name({("flows", "all"): "high"}, {}, parse_signatures(text))
    assert found == ("dos", ("T2", "T3"))


def test_every_condition_of_all_must_hold():
    text = rule(all=["flows high", "resp_h concentrated"])
    both = {"flows.inbound": "high", "resp_h.inbound": "concentrated"}
    assert class_of(text, both) == "dos"
    assert class_of(text, both | {"resp_h.inbound": "dispersed"}) == UNNAMED
    assert class_of(text, {"flows.inbound": "high"}) == UNNAMED


@pytest.mark.parametrize("direction", ["all", "inbound", "outbound", "internal"])
def test_conditions_without_a_direction_hold_in_any_one_direction(direction):
    text = rule(all=["flows high", "resp_h concentrated"])
    signs = {f"flows.{direction}": "high", f"resp_h.{direction}": "concentrated"}
    assert class_of(text, signs) == "dos"


def test_conditions_without_a_direction_must_hold_in_the_same_one():
    text = rule(all=["flows high", "resp_h concentrated"])
    signs = {"flows.inbound": "high", "resp_h.outbound": "concentrated"}
    assert class_of(text, signs) == UNNAMED


def test_a_condition_with_a_direction_holds_in_that_one_alone():
    text = rule(all=["flows.outbound high"])
    assert class_of(text, {"flows.outbound": "high"}) == "dos"
    assert class_of(text, {"flows.inbound": "high", "flows.all": "high"}) == UNNAMED


def test_a_direction_may_be_fixed_for_one_condition_and_free_for_another():
    text = rule(all=["flows.all high", "resp_p dispersed"])
    signs = {"flows.all": "high", "resp_p.internal": "dispersed"}
    assert class_of(text, signs) == "dos"


@pytest.mark.parametrize("number", [0, 9, 9.9])
def test_a_size_below_its_least_number_does_not_count(number):
    text = rule(all=["fan_out high 10"])
    assert class_of(text, {"fan_out.all": "high"}, {"fan_out.all": number}) == UNNAMED


def test_a_size_counts_from_its_least_number_on():
    text = rule(all=["fan_out high 10"])
    assert class_of(text, {"fan_out.all": "high"}, {"fan_out.all": 10}) == "dos"


def test_a_least_number_does_not_replace_the_sign():
    text = rule(all=["fan_out high 10"])
    assert class_of(text, {}, {"fan_out.all": 500}) == UNNAMED
    assert class_of(text, {"fan_out.all": "high"}) == UNNAMED


def test_a_least_number_is_asked_in_the_direction_of_the_sign():
    text = rule(all=["fan_out high 10"])
    sizes = {"fan_out.outbound": 500, "fan_out.inbound": 3}
    assert class_of(text, {"fan_out.inbound": "high"}, sizes) == UNNAMED


def test_one_condition_of_any_is_enough_but_needed():
    text = rule(all=["flows high"], any=["orig_h dispersed", "resp_h concentrated"])
    high = {"flows.all": "high"}
    assert class_of(text, high) == UNNAMED
    assert class_of(text, high | {"orig_h.all": "dispersed"}) == "dos"
    assert class_of(text, high | {"resp_h.all": "concentrated"}) == "dos"


def test_no_condition_of_none_may_hold():
    text = rule(all=["flows high"], none=["orig_h dispersed", "resp_h dispersed"])
    assert class_of(text, {"flows.all": "high"}) == "dos"
    for feature in ("orig_h", "resp_h"):
        signs = {"flows.all": "high", f"{feature}.all": "dispersed"}
        assert class_of(text, signs) == UNNAMED


# ------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (rule("dos", all=["ports high"]), "ports high"),
        (rule("dos", all=["flows.sideways high"]), "flows.sideways high"),
        (rule("dos", all=["flows. high"]), "flows. high"),
        (rule("dos", all=["flows upward"]), "flows upward"),
        (rule("dos", all=["flows"]), "'flows'"),
        (rule("dos", all=["flows  high"]), "flows  high"),
        (rule("dos", all=["flows high many"]), "flows high many"),
        (rule("dos", all=["flows high -5"]), "flows high -5"),
        (rule("dos", all=["flows high 5 6"]), "flows high 5 6"),
        (rule("dos", all=["flows high ²"]), "flows high ²"),
        (rule("dos", all=["orig_h dispersed 5"]), "orig_h dispersed 5"),
        (rule("dos", all=["flows high"], any=["flow high"]), "flow high"),
        (rule("dos", all=["flows high"], none=["flow high"]), "flow high"),
        (rule("dso", all=["flows high"]), "dso"),
        (rule("dos", all=["flows high"], alll=["flows high"]), "alll"),
        (rule("dos"), "all"),
        (rule("dos", all=[]), "all"),
        ("[[signature]]\nall = ['flows high']\n", "class"),
        ("[[signature]]\nclass = 'dos'\nall = 'flows high'\n", "flows high"),
        ("[[signature]]\nclass = 'dos'\nall = [5]\n", "5"),
        (rule("dos", all=["flows high"]) + "technique = 'T1'\n", "T1"),
    ],
)
def test_what_is_unknown_is_refused_by_name(text, named):
    with pytest.raises(ConfigError) as told:
        parse_signatures(text, "site.toml")
    assert str(told.value).startswith("site.toml: ")
    assert named in str(told.value)


@pytest.mark.parametrize("condition", ["flows dispersed", "orig_h high", "orig_h low"])
def test_a_sign_that_a_feature_never_has_is_refused(condition):
    with pytest.raises(ConfigError, match=condition):
        parse_signatures(rule("dos", all=[condition]))


@pytest.mark.parametrize(
    "text",
    [
        "[signature]\nclass = 'dos'\nall = ['flows high']\n",
        "[[signatures]]\nclass = 'dos'\nall = ['flows high']\n",
        "signature = 5\n",
        "signature = ['dos']\n",
    ],
    ids=["table", "misspelled", "number", "texts"],
)
def test_a_file_of_another_shape_is_refused(text):
    with pytest.raises(ConfigError, match=r"site\.toml: expected .*signature"):
        parse_signatures(text, "site.toml")


def test_a_file_that_is_no_toml_is_refused():
    with pytest.raises(ConfigError, match=r"site\.toml: expected TOML, found"):
        parse_signatures("[[signature]\nclass =", "site.toml")
