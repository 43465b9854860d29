"""Settings say everything about themselves once: check, option, help, older names."""

import subprocess
import sys
from dataclasses import dataclass, fields

import pytest

from cdlearn import backbones, config, data, losses, methods
from cdlearn.config import MACHINE, PRESET_SETTINGS, PRESETS, Config
from cdlearn.results import run_folder
from cdlearn.runtime import options
from cdlearn.runtime.commandline import settings_parser
from cdlearn.runtime.errors import UserError
from cdlearn.runtime.options import option


@dataclass(frozen=True)
class Some:
    """Settings of every kind."""

    preset_name: str = option("plain", "where to start", group="", was="rung")
    rate: float = option(0.5, "how fast", group="training", above=0, most=2, because="or it falls over")
    count: int = option(0, "how many", group="data", least=2, unset="all", was="number")
    some: int | None = option(None, "this many 100%", group="data", least=1, unset="all")
    word: str = option("b", "which", group="data", choices=("a", "b"), words_were={"c": "a"})
    pair: tuple[float, float] = option((0.2, 1.0), "from, to", group="views", least=0, most=1)
    on: bool = option(True, "whether", group="views")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (dict(rate=0), "rate 0: must be above 0, at most 2, or it falls over"),
        (dict(rate=2.5), "rate 2.5: must be above 0, at most 2, or it falls over"),
        (dict(rate=float("nan")), "rate nan: must be above 0, at most 2, or it falls over"),
        (dict(rate=True), "rate True: must be a number"),
        (dict(count=1), "count 1: must be at least 2, or 0 for all"),
        (dict(count=10**13), "count is a number of 14 digits; at most 1,000,000,000,000 will do"),
        (dict(count=2.0), "count 2.0: must be a whole number"),
        (dict(some=0), "some 0: must be at least 1"),
        (dict(word="aa"), "unknown word 'aa', did you mean a?; there are a, b"),
        (dict(word=""), "unknown word ''; there are a, b"),
        (dict(pair=(0.2, 1.1)), "pair (0.2, 1.1): must be between 0 and 1"),
        (dict(pair=(0.2,)), "pair (0.2,): must be two numbers"),
        (dict(on=1), "on 1: must be true or false"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_with_what_it_must_be(given, says):
    with pytest.raises(UserError) as error:
        options.check(Some(**given))
    assert str(error.value) == says


@pytest.mark.parametrize(
    "given", [{}, dict(rate=2), dict(count=2), dict(some=1), dict(pair=(0, 1)), dict(pair=[0.1, 0.2]), dict(on=False)]
)
def test_what_lies_in_the_range_is_taken(given):
    options.check(Some(**given))


def test_the_parser_reads_what_the_fields_say():
    parser = settings_parser("some", "About.", Some, {"fast": dict(rate=2, on=False)})
    words = ["--preset=fast", "--rate=1", "--count=3", "--some=4", "--word=a", "--pair", "0", "1", "--no-on"]
    given = dict(preset="fast", rate=1.0, count=3, some=4, word="a", pair=(0.0, 1.0), on=False)
    assert vars(parser.parse_args(words)) == given
    assert vars(parser.parse_args([])) == {}
    told = " ".join(parser.format_help().split())
    for said in (
        "training: --rate X how fast (above 0, at most 2; default: 0.5, fast: 2)",
        "--count N how many (at least 2; default: all)",
        "this many 100% (at least 1; default: all)",
        "which (a, b; default: b)",
        "--pair LOW HIGH from, to (between 0 and 1; default: 0.2 1.0)",
        "whether (default: on, fast: off)",
    ):
        assert said in told


def test_older_names_and_words_are_translated():
    given = {"rung": "x", "number": 3, "word": "c", "rate": 1, "strange": "c"}
    assert options.translated(Some, given) == {"preset_name": "x", "count": 3, "word": "a", "rate": 1, "strange": "c"}
    older = Config.preset("smoke").as_dict()
    older["rung"] = older.pop("preset_name")
    assert Config.from_dict(older | {"entropy_of": "answers"}) == Config.preset("smoke")
    assert Config.preset("smoke", entropy_of="answers") == Config.preset("smoke")


def test_words_of_the_settings_are_those_of_the_rooms():
    known = {each.name: options.option_of(each).choices for each in fields(Config)}
    assert known["method"] == tuple(methods.METHODS)
    assert known["backbone"] == backbones.BACKBONES and known["stem"] == backbones.STEMS
    assert known["heads_similarity"] == losses.SIMILARITIES and known["entropy_of"] == losses.ENTROPIES
    assert known["recipe"] == tuple(config._RECIPES)
    assert data.NAMES == config.NAMES and tuple(PRESET_SETTINGS) == PRESETS
    assert run_folder.MACHINE == MACHINE == ("device", "amp", "compile")


def test_every_setting_is_explained_in_its_group_within_100_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    told = settings_parser("train", "About.", Config, PRESET_SETTINGS).format_help()
    assert max(map(len, told.splitlines())) <= 100
    headings = ["data:", "network:", "loss:", "views:", "training:", "machine:", "scores:"]
    assert [line for line in told.splitlines() if line in headings] == headings
    for each in fields(Config)[1:]:
        known = options.option_of(each)
        assert known.help and known.help[-1] != "." and f"--{each.name.replace('_', '-')}" in told
    flat = " ".join(told.split())
    assert "peak learning rate (above 0; default: 0.001, paper: 0.0003)" in flat
    assert (
        "passes over the images; 0 trains nothing (at least 0; default: as many as --views fills, smoke: 2, gpu: 200"
        in flat
    )


def test_the_settings_load_without_torch():
    code = "import sys; from cdlearn.config import Config; Config.preset('smoke'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
