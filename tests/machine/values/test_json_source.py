"""JSON values by their source: types, the values inside, and the other side of the quotes."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.machine.values.json_source import Value, escape, quote, string_of, type_of
from tests.support.typed_values import NUMBER_TEXTS


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ('"a"', "string"),
        ("{}", "object"),
        (" [1] ", "array"),
        ("true", "boolean"),
        ("null", "null"),
        ("-0", "integer"),
        ("1.0", "integer"),
        ("1e3", "integer"),
        ("1500e-2", "integer"),
        ("1.25e1", "number"),
        ("0.0e-999999999999999999999", "integer"),
        ("1e-999999999999999999999", "number"),
        ("1e999999999999999999999", "integer"),
        ("12345678901234567890123", "integer"),
        ("1e400", "integer"),
        ("0.5", "number"),
    ],
)
def test_the_type_of_a_source(source, kind):
    assert type_of(source) == kind


@pytest.mark.parametrize(
    "source", ["[" * 100_000, "NaN", "0x1F", "'a'", "", " ", "\ud800", "01", "1.", "[1,]", '"\\ud800"', '"\n"', "\u00a01", "{1: 2}"]
)
def test_what_is_no_json_has_no_type(source):
    assert type_of(source) is None


@given(NUMBER_TEXTS)
def test_a_number_is_an_integer_when_it_has_no_fraction(source: str):
    number = Decimal(source)
    assert (type_of(source) == "integer") == (number == number.to_integral_value())


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_can_be_quoted(text: str):
    assert json.loads(quote(text)).encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")
    assert quote(text) == f'"{escape(text)}"'


@given(st.text())
def test_a_quoted_text_is_read_back(text: str):
    assert string_of(quote(text)) == text


@pytest.mark.parametrize("source", ["7", '"a', '"\\ud800"', "", '"a" b'])
def test_what_is_no_string_has_no_text(source):
    assert string_of(source) is None


def test_the_values_inside_keep_their_source():
    value = Value.read(' {"a" : [1.50,  "\\u0061"], "a\\n": {}, "n": 1, "n": 2} ')
    assert value is not None
    assert value.source == b'{"a" : [1.50,  "\\u0061"], "a\\n": {}, "n": 1, "n": 2}'
    assert {key: member.source for key, member in value.members.items()} == {"a": b'[1.50,  "\\u0061"]', "a\n": b"{}", "n": b"2"}
    assert [item.source for item in value.members["a"].items] == [b"1.50", b'"\\u0061"']
    assert (value.count, value.members["a"].count, value.members["n"].count) == (3, 2, 0)
    assert (value.items, value.members["n"].members) == ([], {})


@pytest.mark.parametrize(
    ("source", "other"),
    [("1.50", '"1.50"'), ("true", '"true"'), ('" 7 "', "7"), ('"[1, 2]"', "[1, 2]"), ('"x"', None), ('""', None), ("null", None), ("[]", None)],
)
def test_the_other_side_of_the_quotes(source, other):
    value = Value.read(source)
    assert value is not None
    assert (value.respelled and value.respelled.source.decode()) == other


def test_scalars_are_equal_as_json_schema_has_it():
    def key(source: str) -> object:
        value = Value.read(source)
        assert value is not None
        return value.key

    assert key("1") == key("1.0") == key("10e-1")
    assert len({key("1"), key("true"), key('"1"'), key("null"), key("0"), key("false"), key('""')}) == 7
    assert key("[1]") != key("[1]")
    assert key("1e400") != key("1e400")
