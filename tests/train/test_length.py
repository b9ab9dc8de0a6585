"""Few photos get enough steps, and what a run will not learn is said before it."""

from pathlib import Path

from train.config import TrainConfig
from train.data.samples import REFERRING, Expression, Photo
from train.length import LEAST_ON, LEAST_STEPS, fitted, notes, steps_of

BOX = ((0.1, 0.1, 0.5, 0.5),)


def photos(count: int, kind: str = "other", *, absent: bool = False) -> list[Photo]:
    said = (Expression("a mug", BOX, kind), *([Expression("a dog", ())] if absent else []))
    return [Photo(Path(f"{number}.jpg"), said) for number in range(count)]


def test_forty_photos_get_enough_passes() -> None:
    plain = TrainConfig()
    assert steps_of(plain, photos(40), 1) == 12
    config = fitted(plain, (), photos(40), 1)
    assert steps_of(config, photos(40), 1) == LEAST_STEPS and config.epochs == 100
    assert config.batch_photos == plain.batch_photos
    assert "100 passes, 200 steps in all" in notes(config, photos(40), 1)[0]
    assert not [line for line in notes(config, photos(40), 1) if "warning" in line]


def test_a_run_that_goes_on_from_weights_is_shorter() -> None:
    given = TrainConfig(side_weights="default_checkpoint.safetensors")
    config = fitted(given, {"side_weights"}, photos(30), 1)
    assert config.epochs == steps_of(config, photos(30), 1) == LEAST_ON == 40
    assert not [line for line in notes(config, photos(30), 1) if "warning" in line]
    short = TrainConfig(side_weights="default_checkpoint.safetensors", epochs=3)
    assert any("fewer than 40 steps" in line for line in notes(short, photos(30), 1))


def test_what_is_asked_for_is_left_as_it_is_and_warned_of() -> None:
    for given, config in (
        ({"epochs"}, TrainConfig(epochs=3)),
        ({"steps"}, TrainConfig(steps=50)),
    ):
        assert fitted(config, given, photos(40), 1) == config
        assert any("fewer than 200 steps" in line for line in notes(config, photos(40), 1))


def test_fewer_photos_than_a_batch_are_one_batch_unless_it_was_asked_for() -> None:
    assert fitted(TrainConfig(), (), photos(7), 1).batch_photos == 7
    assert fitted(TrainConfig(), (), photos(7), 2).batch_photos == 3
    assert fitted(TrainConfig(), {"batch_photos"}, photos(7), 1).batch_photos == 16


def test_many_photos_change_nothing() -> None:
    assert fitted(TrainConfig(), (), photos(640), 1) == TrainConfig()


def test_a_score_that_cannot_learn_is_said() -> None:
    def unsaid(config: TrainConfig, data: list[Photo]) -> bool:
        return any("no phrase is absent" in line for line in notes(config, data, 1))

    assert not unsaid(TrainConfig(), photos(640))
    assert unsaid(TrainConfig(negatives=0), photos(640))
    assert not unsaid(TrainConfig(negatives=0), photos(640, absent=True))
    assert unsaid(TrainConfig(), photos(640, REFERRING))
    assert not unsaid(TrainConfig(), photos(640, REFERRING, absent=True))
