"""What keys and clicks make of the phrases and the switches, without a window."""

import pytest

from apps.webcam.controls import (
    BACKSPACES,
    ENTER,
    ESCAPE,
    PHRASES,
    TOOLBAR,
    Controls,
)
from apps.webcam.window import ascii_key
from sdk.outputs.drawing import PALETTE
from tests.windows import TAB


def press(controls: Controls, *keys: int | str) -> Controls:
    for key in keys:
        for code in [key] if isinstance(key, int) else map(ord, key):
            controls.press(code)
    return controls


@pytest.mark.parametrize("start", [TAB, ENTER])
def test_typing_another_phrase(start: int) -> None:
    controls = press(Controls(["a cat"]), start, "the quick dog")
    assert controls.typed == "the quick dog"
    assert (controls.phrases, controls.quitting, controls.paused) == (["a cat"], False, False)
    assert controls.prompt == "find: the quick dog_"
    assert controls.title == "grounder: find: the quick dog_"
    press(controls, BACKSPACES[0], BACKSPACES[1], "or", ENTER)
    assert controls.prompt is None
    assert controls.phrases == ["the quick dor"]
    assert controls.title == "grounder: the quick dor"


def test_typing_several_phrases() -> None:
    typed = press(Controls(["a"]), TAB, " a dog ;; a cat; a dog", ENTER)
    assert typed.phrases == ["a dog", "a cat"]


def test_escape_and_an_empty_phrase_keep_the_old_one() -> None:
    controls = press(Controls(["a cat"]), TAB, "dog", ESCAPE)
    assert (controls.phrases, controls.typed, controls.quitting) == (["a cat"], None, False)
    assert press(controls, TAB, BACKSPACES[0], " ; ", ENTER).phrases == ["a cat"]


def test_adding_and_removing() -> None:
    controls = press(Controls(["a cat"]), "a", "a dog; a bus", ENTER)
    assert controls.phrases == ["a cat", "a dog", "a bus"]
    assert press(controls, "+", "a cat", ENTER).phrases == ["a cat", "a dog", "a bus"]
    assert press(controls, "-").phrases == ["a cat", "a dog"]
    controls.click("remove", 0)
    assert controls.phrases == ["a dog"]
    assert press(controls, BACKSPACES[0]).phrases == ["a dog"], "the last one stays"
    assert "at least one phrase" in controls.message


def test_changing_one_of_several() -> None:
    controls = press(Controls(["a cat", "a dog", "a bus"]), "2")
    assert controls.prompt == 'instead of "a dog": a dog_'
    assert press(controls, "s", ENTER).phrases == ["a cat", "a dogs", "a bus"]
    controls.click("edit", 0)
    assert press(controls, *[8] * 5, "x; y", ENTER).phrases == ["x", "y", "a dogs", "a bus"]
    assert press(controls, "3", *[8] * 6, ENTER).phrases == ["x", "y", "a bus"], "emptied: removed"
    assert press(controls, "9").typed is None, "there is no ninth"


def test_a_phrase_keeps_its_colour_as_long_as_it_is_looked_for() -> None:
    controls = Controls(["a", "b", "c"])
    assert [controls.colour(phrase) for phrase in "abc"] == list(PALETTE[:3])
    controls.click("remove", 0)
    assert [controls.colour(phrase) for phrase in "bc"] == list(PALETTE[1:3])
    press(controls, "a", "d; e", ENTER)
    assert [controls.colour(phrase) for phrase in "bcde"] == [PALETTE[i] for i in (1, 2, 0, 3)]
    press(controls, TAB, "e; f", ENTER)
    assert [controls.colour(phrase) for phrase in "ef"] == [PALETTE[3], PALETTE[0]]


def test_more_phrases_than_colours() -> None:
    phrases = [str(number) for number in range(20)]
    controls = Controls(phrases)
    assert controls.phrases == phrases
    assert controls.colour("9") == PALETTE[9 % len(PALETTE)]


def test_a_phrase_that_cannot_be_grounded_is_taken_back() -> None:
    controls = press(Controls(["a cat"]), TAB, "!!", ENTER)
    controls.reject("expected words")
    assert controls.phrases == ["a cat"]
    assert controls.message == "expected words"
    assert press(controls, "h").message == ""


def test_switches_by_key_and_by_click() -> None:
    switches = {"pause": "paused", "record": "recording", "tracking": "tracking"}
    switches |= {"why": "explaining", "help": "helping"}
    keys = {command.name: command.codes for command in TOOLBAR}
    for name, attribute in switches.items():
        for key in keys[name]:
            controls = press(Controls(["a"]), key)
            assert getattr(controls, attribute), name
            controls.click(name, 0)
            assert not getattr(controls, attribute), name


def test_what_is_done_once() -> None:
    controls = press(Controls(["a"]), "sp")
    assert controls.wishes == {"snapshot", "precision"} and not controls.paused
    controls.click("step", 0)
    assert "step" in controls.wishes and controls.paused


def test_quitting() -> None:
    assert press(Controls(["a"]), "q").quitting
    assert press(Controls(["a"]), ESCAPE).quitting
    helped = press(Controls(["a"]), "h", ESCAPE)
    assert not helped.helping and not helped.quitting
    clicked = press(Controls(["a"]), "h")
    clicked.click("quit", 0)
    assert clicked.quitting


def test_the_mouse_while_typing() -> None:
    controls = press(Controls(["a cat"]), TAB, "a do")
    controls.click("pause", 0)
    assert controls.paused and controls.typed == "a do"
    assert press(controls, "g").title == "grounder (paused): find: a dog_"
    controls.click("accept", 0)
    assert controls.phrases == ["a dog"]
    controls.click("add", 0)
    press(controls, "x")
    controls.click("cancel", 0)
    assert (controls.phrases, controls.typed) == (["a dog"], None)


def test_no_key_means_two_things() -> None:
    codes = [code for command in (*TOOLBAR, *PHRASES) for code in command.codes]
    assert len(codes) == len(set(codes))
    assert all(ord(code) < 128 for code in codes)


def test_keys_without_a_meaning() -> None:
    controls = press(Controls(["a"]), "z@", 0, 127 - 1)
    assert (controls.phrases, controls.typed, controls.wishes) == (["a"], None, set())
    assert not (controls.paused or controls.helping or controls.quitting)


@pytest.mark.parametrize(
    ("code", "key"),
    [
        *((-1, None), (ord("a"), ord("a")), (13, ENTER), (10, ENTER), (9, TAB), (27, ESCAPE)),
        *((0xFF0D, ENTER), (0xFF8D, ENTER), (0xFF08, 8), (0xFF1B, ESCAPE)),  # X11 names
        *((0xFFFF, 127), (0x10FFFF, 127)),  # Delete
        *((0x100000 | ord("a"), ord("a")), (0x110000 | 0xFF09, TAB)),  # GTK with Num Lock, Shift
        *((0xFF51, None), (0xFFE1, None), (0x250000, None), (201, None)),  # arrows, Shift, É
    ],
)
def test_key_codes(code: int, key: int | None) -> None:
    assert ascii_key(code) == key


def test_teaching_holds_the_picture_and_says_what_to_do() -> None:
    controls = Controls(["a dog", "the zorbl"])
    press(controls, "0")
    assert not controls.wishes  # it is no phrase's number
    press(controls, "l")
    assert controls.teaching and controls.paused and '"the zorbl"' in controls.message
    press(controls, "0")
    assert controls.wishes == {"absent"}
    press(controls, "L")
    assert not controls.teaching and not controls.paused
