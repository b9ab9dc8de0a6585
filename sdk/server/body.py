"""A request's body, read up to a limit and checked, as a question."""

import base64
import binascii
from collections import defaultdict

from fastapi import Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.types import Message, Receive

from sdk.errors import PhraseError
from sdk.inputs.frames import Region
from sdk.inputs.phrases import as_phrases
from sdk.server.batcher import Question
from sdk.server.errors import MediaTypeError, RequestError, TooLargeError
from sdk.server.limits import Limits
from sdk.server.models import GroundRequest

_SETTINGS = ("alternatives", "region")


async def read_body(request: Request, limits: Limits) -> Question:
    """What a request asks. A region is checked when the size of its picture is known.

    Raises RequestError, TooLargeError, MediaTypeError, PhraseError.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.body_bytes:
        raise _too_large(limits)
    bounded = Request(request.scope, _up_to(limits, request.receive))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        question = await _form(bounded, limits)
    elif kind == "application/json":
        question = await run_in_threadpool(_json, await bounded.body())
    else:
        raise MediaTypeError(
            "expected a body of type multipart/form-data or application/json, got "
            f"{kind[:60] or 'none'!r}; see /docs"
        )
    _check(question, limits)
    return question


def _up_to(limits: Limits, receive: Receive) -> Receive:
    """`receive`, but TooLargeError as soon as more has come than the limit."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limits.body_bytes:
            raise _too_large(limits)
        return message

    return bounded


async def _form(request: Request, limits: Limits) -> Question:
    fields = limits.phrases + len(_SETTINGS) + 1  # one too many is refused below, in better words
    async with request.form(max_files=1, max_fields=fields) as form:
        texts, files = defaultdict[str, list[str]](list), {}
        for name, value in form.multi_items():
            if isinstance(value, str):
                texts[name].append(value)
            else:
                files[name] = value
        unknown = set(texts) - {"phrases", *_SETTINGS}
        if set(files) != {"image"} or unknown or any(len(texts[name]) > 1 for name in _SETTINGS):
            raise RequestError(
                "expected a form with a file 'image', a text field 'phrases' for each phrase, and "
                "'alternatives' and 'region' once or not at all, got fields "
                f"{[name[:40] for name, _ in form.multi_items()]}; with curl: "
                "-F image=@photo.jpg -F 'phrases=the dog'"
            )
        settings = {name: texts[name][0] for name in _SETTINGS if texts[name]}
        return Question(
            image=await files["image"].read(),
            phrases=texts["phrases"],
            alternatives=_whole(settings.get("alternatives", "0"), limits),
            region=_region(settings["region"]) if "region" in settings else None,
        )


def _whole(text: str, limits: Limits) -> int:
    try:
        return int(text)
    except ValueError:
        raise _wrong_alternatives(text[:40], limits) from None


def _region(text: str) -> Region:
    try:
        left, top, right, bottom = map(float, text.split(","))
    except ValueError:
        raise RequestError(
            "expected region as left,top,right,bottom in pixels, got "
            f"{text[:80]!r}; with curl: -F region=40,60,210,300"
        ) from None
    return left, top, right, bottom


def _json(body: bytes) -> Question:
    expected = 'expected {"image": base64 of a picture, "phrases": [text, ...]}'
    try:
        asked = GroundRequest.model_validate_json(body)
        image = base64.b64decode(asked.image, validate=True)
        return Question(image, asked.phrases, asked.alternatives, asked.region)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise RequestError(f"{expected}, got for {where[:60]}: {first['msg']}; see /docs") from None
    except (binascii.Error, ValueError) as error:  # ValueError: not even ASCII
        raise RequestError(
            f"{expected}, got an image that is not base64: {error}; leave out a 'data:' prefix"
        ) from None


def _check(question: Question, limits: Limits) -> None:
    """Refuse before the queue what needs no model to be refused.

    Raises RequestError, PhraseError.
    """
    if not 0 <= question.alternatives <= limits.alternatives:
        raise _wrong_alternatives(question.alternatives, limits)
    phrases = question.phrases
    if len(phrases) > limits.phrases:
        raise PhraseError(
            f"expected at most {limits.phrases} phrases, got {len(phrases)}; ask in several "
            "requests, the frame is encoded once"
        )
    for index, phrase in enumerate(as_phrases(phrases)):
        if len(phrase) > limits.phrase_characters:
            raise PhraseError(
                f"phrase {index}: expected at most {limits.phrase_characters} characters, got "
                f"{len(phrase)}; describe one object in fewer words"
            )


def _wrong_alternatives(got: int | str, limits: Limits) -> RequestError:
    return RequestError(
        f"expected alternatives to be a whole number from 0 to {limits.alternatives}, got {got!r}; "
        "3 gives up to three places besides the best"
    )


def _too_large(limits: Limits) -> TooLargeError:
    return TooLargeError(
        f"expected a body of at most {limits.body_bytes} bytes, got more; scale the picture down "
        "or compress it"
    )
