"""Expressions that one word makes untrue: another colour, or another noun of the same family.

"a girl in a red shirt" where nobody wears green becomes "a girl in a green shirt", "the dog" where
no cat is becomes "the cat". They look like what is there more than any borrowed phrase does, so
they teach to read every word. A word is swapped in only where nothing that is known of the photo
supports it; a few are left for the yardsticks and never swapped in here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from train.data.coco import COCO_CLASSES
from train.data.colours import COLOUR, NAMES, alike
from train.data.landmarks import UNTRUE
from train.data.nouns import noun_for
from train.data.samples import Expression, Photo, is_described
from train.data.swap_words import FAMILIES, ROLES, SAID_OTHERWISE

COLOURS = tuple(name for name in NAMES if name not in ("grey", "pink", "purple"))
"""What is swapped in; the rest is for the yardsticks."""
_GENDERS = ({"man", "men", "guy", "boy", "male"}, {"woman", "women", "lady", "girl", "female"})
_DRESSED_UP = frozenset({"uniform", "uniforms", "costume", "costumes", "army", "military", "armor"})
_GENDER_SWAPS = {"man": "woman", "boy": "girl", "woman": "man", "girl": "boy"}
_NOUN = {noun: family for family in FAMILIES for noun in family}
_ANY_NOUN = re.compile(
    rf"(?<![\w-])({'|'.join(sorted(_NOUN, key=len, reverse=True))})\b", re.IGNORECASE
)
_ANY_PERSON = re.compile(rf"\b({'|'.join(_GENDER_SWAPS)})\b", re.IGNORECASE)


def swapped_expressions(
    photo: Photo, rng: random.Random, asked: Sequence[Expression] = ()
) -> list[Expression]:
    """Up to two expressions that a swapped word makes untrue of the photo.

    The first is a false colour where its captions name one: were "red" true nearly always, what the
    pixels say would be unlearned. Where they can be, they are some of `asked` but for the word:
    side by side the two teach what it says.
    """
    texts = list(swaps(photo, rng, asked))
    texts = texts[:1] + rng.sample(texts[1:], min(1, len(texts[1:])))
    return [Expression(text, (), UNTRUE) for text in texts]


def swaps(photo: Photo, rng: random.Random, asked: Sequence[Expression] = ()) -> Iterator[str]:
    """One swap of each kind that the photo allows, a colour of its captions first; of what is asked
    where that has a word to swap."""
    told = {e.text for e in asked}
    if is_described(photo):
        said = said_words(photo)
        texts = [e.text for e in photo.expressions if e.boxes]
        for pattern, options in (
            (COLOUR, lambda word: other_colours({word}) - said),
            (_ANY_NOUN, lambda word: other_nouns(word, photo, said)),
            (_ANY_PERSON, lambda word: other_people(word, said)),
            (_ANY_PERSON, lambda _: roles(said)),
        ):
            found = [(text, match) for text in texts for match in pattern.finditer(text)]
            if found:
                text, match = rng.choice([one for one in found if one[0] in told] or found)
                words = sorted(options(match.group().lower()))
                if words:
                    yield with_articles(
                        text[: match.start()] + rng.choice(words) + text[match.end() :]
                    )
    yield from labelled_swaps(photo, rng, {e.label for e in asked})


def labelled_swaps(photo: Photo, rng: random.Random, asked: set[str]) -> Iterator[str]:
    """Swaps that labels allow: a class of the same family, a colour that no instance has."""
    known = sorted({i.label for i in photo.instances} & photo.known_labels)
    if not known:
        return
    label = rng.choice([label for label in known if label in asked] or known)
    family = sorted(other_nouns(label, photo, frozenset()) & photo.known_labels)
    if family:
        form = rng.choice(("{}", "the {}", "a {}", "the {} on the left", "the {} on the right"))
        yield with_articles(form.format(noun_for(rng.choice(family), rng)))
    colours = [i.colour for i in photo.instances if i.label == label]
    if label != "person" and all(colours):
        others = sorted(other_colours({colour for colour in colours if colour}))
        if others:
            article = rng.choice(("the", "a"))
            yield with_articles(f"{article} {rng.choice(others)} {noun_for(label, rng)}")


def with_articles(text: str) -> str:
    """The text with "a" or "an" as the letter behind it asks."""
    text = re.sub(r"\b(a) (?=[aeiou])", r"\1n ", text, flags=re.IGNORECASE)
    return re.sub(r"\b(a)n (?=[^aeiouh])", r"\1 ", text, flags=re.IGNORECASE)


def said_words(photo: Photo) -> frozenset[str]:
    """Every word of the photo's expressions, and each without an s at its end."""
    words = {word for e in photo.expressions for word in re.findall(r"[a-z-]+", e.text.lower())}
    return frozenset(words | {word.removesuffix("s") for word in words})


def other_colours(colours: set[str]) -> set[str]:
    """Colours that none of the named ones passes for."""
    colours = {"grey" if colour == "gray" else colour for colour in colours}
    return {name for name in COLOURS if not any(alike(name, colour) for colour in colours)}


def other_nouns(noun: str, photo: Photo, said: frozenset[str]) -> set[str]:
    """Nouns of the same family that neither words nor labels of the photo support.

    A detector's class must be known to be absent where the photo has labels.
    """
    present = {instance.label for instance in photo.instances}
    return {
        other
        for other in _NOUN.get(noun, ())
        if other != noun
        and other not in present
        and not may_be_said(other, said)
        and (other not in COCO_CLASSES or not photo.known_labels or other in photo.known_labels)
    }


def may_be_said(noun: str, said: frozenset[str]) -> bool:
    """Whether words of a photo may mean what the noun does."""
    return bool(({noun, *noun.split()} | SAID_OTHERWISE.get(noun, set())) & said)


def roles(said: frozenset[str]) -> set[str]:
    """Roles that nobody in the photo is said to have, where nobody is dressed up."""
    return set() if _DRESSED_UP & said else {r for r in ROLES if not may_be_said(r, said)}


def other_people(word: str, said: frozenset[str]) -> set[str]:
    """The other gender, where every person of the photo is of one."""
    other = _GENDER_SWAPS[word]
    genders = [bool(gender & said) for gender in _GENDERS]
    unclear = {"people", "person", "child", "children", "kid", "player", "crowd", "group", "baby"}
    return {other} if sum(genders) == 1 and not unclear & said else set()
