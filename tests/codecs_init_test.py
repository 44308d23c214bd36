"""Specs of codecs: what is accepted, and how the rest is refused."""

import numpy as np
import pytest

from ddjax.errors import InputError
from ddjax.labels.codecs import CODECS, TopK, load, parse


@pytest.mark.parametrize(
    ("spec", "canonical"),
    [
        ("fp32", "fp32"),
        ("int8", "int8"),
        ("topk:k=2", "topk:k=2,keep=logits"),
        (
            "topk:keep=probabilities,k=3",
            "topk:k=3,keep=probabilities,temperature=20",
        ),
        (
            "topk:k=2,keep=probabilities,temperature=2.5",
            "topk:k=2,keep=probabilities,temperature=2.5",
        ),
        (
            "vq:groups=2,codes=256",
            "vq:codes=256,groups=2,dim=32,hidden=64,steps=1000,temperature=20",
        ),
    ],
)
def test_parse_spells_out_every_option(spec, canonical):
    codec = parse(spec)
    assert codec.spec == canonical
    assert parse(canonical).spec == canonical
    assert type(codec) is CODECS[spec.partition(":")[0]]


def test_parse_of_codecs_without_arrays_is_hashable():
    assert parse("topk:k=2") == TopK(2)
    assert len({parse("topk:k=2"), TopK(2), parse("int8"), parse("int8")}) == 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("zip", "'zip', known: fp32, fp16, bf16, int8, topk, vq"),
        ("", "''"),
        ("fp16:k=2", "'k=2'.*known options of fp16: none"),
        ("topk:j=2", "'j=2'.*k, keep, temperature"),
        ("topk:k", r"topk.k: found '', allowed is an integer in \[1, inf\)"),
        ("topk:k=2.5", "k: found '2.5'.*an integer"),
        (
            "topk:k=2,temperature=hot,keep=probabilities",
            "temperature: found 'hot'.*a number",
        ),
        ("topk:k=2,k=3", "k twice"),
        ("topk", "topk requires k="),
        ("topk:k=0", r"topk.k: found 0.*\[1, inf\)"),
        ("topk:k=1,keep=some", "keep: found 'some'.*logits, probabilities"),
        ("topk:k=1,temperature=2", "temperature: found 2.0.*unless keep=probabilities"),
        (
            "topk:k=1,keep=probabilities,temperature=0",
            r"temperature: found 0.0.*number in \(0, inf\)",
        ),
        (
            "topk:k=1,keep=probabilities,temperature=nan",
            r"temperature: found nan.*\(0, inf\)",
        ),
        ("vq:codes=15", "codes: found 15.*power of two"),
        ("vq:codes=512", r"codes: found 512.*\[2, 256\]"),
        ("vq:groups=0", r"groups: found 0.*\[1, inf\)"),
        ("vq:dim=0", r"dim: found 0.*\[1, inf\)"),
        ("vq:hidden=-1", r"hidden: found -1.*\[0, inf\)"),
        ("vq:steps=0", r"steps: found 0.*\[1, inf\)"),
        ("vq:temperature=inf", r"temperature: found inf.*\(0, inf\)"),
        ("vq:decoder=1", "'decoder=1'"),
    ],
)
def test_parse_refuses_in_one_line(spec, message):
    with pytest.raises(InputError, match=f"^codec: .*{message}") as error:
        parse(spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["fp32", "fp16", "bf16", "int8", "topk:k=2"])
def test_codecs_without_arrays_fit_and_load_as_themselves(name):
    codec = parse(name)
    assert codec.fit(None, None) is codec
    assert codec.state() == codec.state(encoder=True) == {}
    assert codec.shared_bits(10) == 0
    assert load(codec.spec, 10, {}) == codec
    with pytest.raises(InputError, match="codec: found arrays table"):
        load(codec.spec, 10, {"table": np.zeros(3)})


@pytest.mark.parametrize("name", ["fp32", "int8", "topk:k=1", "vq"])
def test_check_refuses_fewer_than_two_classes(name):
    parse(name).check(2)
    with pytest.raises(InputError, match="codec: found 1 classes"):
        parse(name).check(1)


def test_load_checks_the_number_of_classes():
    with pytest.raises(InputError, match="topk.k: found 5, allowed is at most 4"):
        load("topk:k=5", 4, {})
