"""Results in the forms that other tools read.

    to_supervision(results)             supervision.Detections: annotators, trackers, zones
    to_coco(results, image_id=7)        COCO's results format, for its evaluation
    to_json_line(results, frame=12)     one line of JSON Lines per frame, to append to a file

`Grounding.to_dict` gives a plain dict. Each takes what `ground` returns, one result or a list.
"""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sdk._internal.extras import missing
from sdk.errors import GroundingError
from sdk.results import Box, Grounding, Place

if TYPE_CHECKING:
    from supervision import Detections


def to_supervision(
    results: Grounding | Sequence[Grounding], *, found_only: bool = True
) -> "Detections":
    """`supervision.Detections`: a row for everything that each phrase names.

    Args:
        results: what `ground` returns, one result or a list.
        found_only: leave out the best boxes of what is not found, and the alternatives.

    Returns:
        N rows with these fields:

            - `xyxy`: (N, 4) float32 pixels of the frame.
            - `confidence`: (N,) float32 scores.
            - `class_id`: (N,) the phrase's index.
            - `data`: "class_name", (N,), the phrases.
            - `tracker_id`: (N,) the track ids of a stream's results; None where nothing is
              followed.

    Raises:
        DependencyError: supervision is not installed.
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise missing("supervision", error) from error
    rows = list(_rows(results, found_only))
    ids = np.array([place.track_id for _, _, place in rows], np.int64)
    return Detections(
        xyxy=np.array([place.box for _, _, place in rows], np.float32).reshape(-1, 4),
        confidence=np.array([place.score for _, _, place in rows], np.float32),
        class_id=np.array([index for index, _, _ in rows], np.int64),
        data={"class_name": np.array([text for _, text, _ in rows], np.str_)},
        tracker_id=ids if ids.any() else None,
    )


def to_coco(
    results: Grounding | Sequence[Grounding],
    *,
    image_id: int,
    category_ids: Sequence[int] | None = None,
    found_only: bool = False,
) -> list[dict[str, Any]]:
    """COCO's results format: one dict per box, with `bbox` as [left, top, width, height] in pixels.

    All scores are given, because average precision ranks them.

    Args:
        results: what `ground` returns, one result or a list.
        image_id: of the picture, in COCO's annotations.
        category_ids: one per phrase, in their order; by default the phrase's index.
        found_only: as in `to_supervision`.

    Raises:
        GroundingError: there are not as many categories as phrases.
    """
    count = 1 if isinstance(results, Grounding) else len(results)
    categories = range(count) if category_ids is None else category_ids
    if len(categories) != count:
        raise GroundingError(f"expected {count} category_ids, one per phrase, got {category_ids}")
    return [
        {
            "image_id": image_id,
            "category_id": categories[index],
            "bbox": _xywh(place.box),
            "score": place.score,
        }
        for index, _, place in _rows(results, found_only)
    ]


def to_json_line(results: Grounding | Sequence[Grounding], **fields: Any) -> str:
    r"""One line of JSON without its end: `fields`, then "results", a list of dicts.

    Args:
        results: what `ground` returns, one result or a list.
        **fields: of your own, of JSON's types.

    Raises:
        GroundingError: a field is not of JSON's types, or is NaN or infinity.

    Examples:
        >>> file.write(to_json_line(results, frame=12, seconds=0.4) + "\n")
    """
    answers = [result.to_dict() for result in _as_list(results)]
    try:
        return json.dumps({**fields, "results": answers}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise GroundingError(
            f"expected fields of JSON's types, got {list(fields)}: {error}; turn NumPy's into "
            "Python's with .tolist()"
        ) from error


def _rows(
    results: Grounding | Sequence[Grounding], found_only: bool
) -> Iterator[tuple[int, str, Place]]:
    """Of each place the index and the text of its phrase."""
    for index, result in enumerate(_as_list(results)):
        for place in result.instances if found_only else result.places():
            yield index, result.text, place


def _as_list(results: Grounding | Sequence[Grounding]) -> Sequence[Grounding]:
    return [results] if isinstance(results, Grounding) else results


def _xywh(box: Box) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]
