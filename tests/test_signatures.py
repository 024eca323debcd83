"""Signatures: the file that names a minute by its signs, and what it may not hold."""

import pytest

from entropy_ids.alarms.incidents import BASE_SEVERITY
from entropy_ids.errors import ConfigError
from entropy_ids.profile.signatures import (
    CLASSES,
    COUNTS,
    UNNAMED,
    Condition,
    HasCount,
    HasSign,
    HasSize,
    HasValue,
    Look,
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
    return name(Look(placed, numbers), parse_signatures(text))[0]


def class_by(text: str, **named: str) -> str:
    """Name a minute by the values that stand out, written ``feature="one other"``."""
    values = {feature: tuple(some.split()) for feature, some in named.items()}
    return name(Look(named=values), parse_signatures(text))[0]


# -------------------------------------------------------------- the default file


def test_the_default_file_gives_only_known_classes_with_a_meaning():
    assert DEFAULT
    for signature in DEFAULT:
        assert signature.class_name in CLASSES
        assert signature.meaning


def test_the_default_file_does_not_name_the_unnamed():
    assert UNNAMED not in {signature.class_name for signature in DEFAULT}


def made_for(signature: Signature) -> Look:
    """Give a minute that has what a signature asks for, and nothing more."""
    wanted: list[Condition] = [*signature.all_of, *signature.any_of[:1]]
    signs = [c for c in wanted if isinstance(c, HasSign)]
    places = {(c.feature, c.direction or "inbound"): c for c in signs}
    named = {c.feature: c.values[:1] for c in wanted if isinstance(c, HasValue)}
    for condition in wanted:
        if isinstance(condition, HasCount):
            number = COUNTS[condition.count][0]
            others = tuple(f"value-{n}" for n in range(number))
            named[condition.feature] = named.get(condition.feature, others)
    sizes = {place: condition.least for place, condition in places.items()}
    over = [c for c in wanted if isinstance(c, HasSize)]
    sizes |= {(c.feature, c.direction or "inbound"): c.least for c in over}
    return Look({place: c.sign for place, c in places.items()}, sizes, named)


def test_a_size_over_a_number_needs_no_sign():
    text = rule("dos", all=["sent.outbound over 10"])
    sizes = {"sent.outbound": 10}
    assert class_of(text, {}, sizes) == "dos"
    assert class_of(text, {}, {"sent.outbound": 9.9}) == UNNAMED
    assert class_of(text, {}, {"sent.inbound": 99}) == UNNAMED


@pytest.mark.parametrize("signature", DEFAULT, ids=lambda s: s.class_name)
def test_every_class_of_the_default_file_can_be_reached(signature):
    found = name(made_for(signature), DEFAULT)
    assert found == (signature.class_name, signature.technique)


def test_every_class_has_a_severity():
    assert set(BASE_SEVERITY) == set(CLASSES)


def test_a_minute_without_signs_is_unnamed():
    assert name(Look(), DEFAULT) == (UNNAMED, ())


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
    found = name(Look({("flows", "all"): "high"}), parse_signatures(text))
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


# ------------------------------------------------------------------- who stands out


@pytest.mark.parametrize(
    ("count", "numbers"),
    [("one", [1]), ("few", [2, 3, 4, 5]), ("some", [1, 2, 3, 4, 5]), ("none", [0])],
)
def test_a_count_holds_for_so_many_values(count, numbers):
    text = rule(all=[f"orig_h {count}"])
    found = [class_by(text, orig_h="a b c d e"[: 2 * n]) for n in range(6)]
    assert [n for n in range(6) if found[n] == "dos"] == numbers


def test_a_feature_that_nothing_is_known_of_counts_none():
    assert class_by(rule(all=["orig_h none"])) == "dos"
    assert class_by(rule(all=["orig_h some"]), resp_h="a") == UNNAMED


def test_one_of_the_values_must_be_among_those_that_stand_out():
    text = rule(all=["resp_p is 22/tcp 21/tcp"])
    assert class_by(text, resp_p="443/tcp 21/tcp") == "dos"
    assert class_by(text, resp_p="443/tcp 22/udp") == UNNAMED
    assert class_by(text, service="22/tcp") == UNNAMED
    assert class_by(text) == UNNAMED


def test_a_value_is_compared_as_a_whole():
    text = rule(all=["resp_p is 22/tcp"])
    assert class_by(text, resp_p="22/tcpx 122/tcp") == UNNAMED


def test_values_may_be_asked_for_in_any_and_none():
    text = rule(all=["orig_h some"], any=["service is ssh", "resp_p is 22/tcp"])
    assert class_by(text, orig_h="a") == UNNAMED
    assert class_by(text, orig_h="a", resp_p="22/tcp") == "dos"
    text = rule(all=["orig_h some"], none=["conn_state is SF"])
    assert class_by(text, orig_h="a", conn_state="S0") == "dos"
    assert class_by(text, orig_h="a", conn_state="S0 SF") == UNNAMED


def test_signs_of_one_direction_go_with_values_of_the_whole_minute():
    text = rule(all=["fan_out high 10", "orig_h one"])
    place = ("fan_out", "internal")
    look = Look({place: "high"}, {place: 12}, {"orig_h": ("10.0.0.1",)})
    assert name(look, parse_signatures(text))[0] == "dos"


# ------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (rule("dos", all=["ports high"]), "ports high"),
        (rule("dos", all=["flows.sideways high"]), "flows.sideways high"),
        (rule("dos", all=["flows. high"]), "flows. high"),
        (rule("dos", all=["flows upward"]), "flows upward"),
        (rule("dos", all=["flows over"]), "flows over"),
        (rule("dos", all=["flows over ten"]), "flows over ten"),
        (rule("dos", all=["orig_h over 10"]), "orig_h over 10"),
        (rule("dos", all=["flows"]), "'flows'"),
        (rule("dos", all=["flows  high"]), "flows  high"),
        (rule("dos", all=["flows high many"]), "flows high many"),
        (rule("dos", all=["flows high -5"]), "flows high -5"),
        (rule("dos", all=["flows high 5 6"]), "flows high 5 6"),
        (rule("dos", all=["flows high ²"]), "flows high ²"),
        (rule("dos", all=["orig_h dispersed 5"]), "orig_h dispersed 5"),
        (rule("dos", all=["orig_h two"]), "orig_h two"),
        (rule("dos", all=["orig_h one 5"]), "orig_h one 5"),
        (rule("dos", all=["orig_h.inbound one"]), "orig_h.inbound one"),
        (rule("dos", all=["orig_p one"]), "orig_p one"),
        (rule("dos", all=["flows some"]), "flows some"),
        (rule("dos", all=["resp_p is"]), "resp_p is"),
        (rule("dos", all=["resp_p is  "]), "resp_p is  "),
        (rule("dos", all=["flows is 9"]), "flows is 9"),
        (rule("dos", all=["orig_net dispersed"]), "orig_net dispersed"),
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
