"""A request's body, read up to a limit and checked, as a picture and phrases."""

import base64
import binascii

from fastapi import Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.types import Message, Receive

from sdk.errors import PhraseError
from sdk.phrases import as_phrases
from sdk.server.errors import MediaTypeError, RequestError, TooLargeError
from sdk.server.limits import Limits
from sdk.server.models import GroundRequest


async def read_body(request: Request, limits: Limits) -> tuple[bytes, list[str]]:
    """The encoded picture and the phrases of a request.

    Raises RequestError, TooLargeError, MediaTypeError, PhraseError.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.body_bytes:
        raise _too_large(limits)
    bounded = Request(request.scope, _up_to(limits, request.receive))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        image, phrases = await _form(bounded, limits)
    elif kind == "application/json":
        image, phrases = await run_in_threadpool(_json, await bounded.body())
    else:
        raise MediaTypeError(
            "expected a body of type multipart/form-data or application/json, got "
            f"{kind[:60] or 'none'!r}; see /docs"
        )
    _check(phrases, limits)
    return image, phrases


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


async def _form(request: Request, limits: Limits) -> tuple[bytes, list[str]]:
    async with request.form(max_files=1, max_fields=limits.phrases + 1) as form:
        image, phrases = form.get("image"), form.getlist("phrases")
        unknown = sorted(set(form) - {"image", "phrases"})
        texts = [phrase for phrase in phrases if isinstance(phrase, str)]
        if not isinstance(image, UploadFile) or unknown or len(texts) < len(phrases):
            raise RequestError(
                "expected a form with a file 'image' and a text field 'phrases' for each phrase, "
                f"got fields {[name[:40] for name in form]}; with curl: "
                "-F image=@photo.jpg -F 'phrases=the dog'"
            )
        return await image.read(), texts


def _json(body: bytes) -> tuple[bytes, list[str]]:
    expected = 'expected {"image": base64 of a picture, "phrases": [text, ...]}'
    try:
        asked = GroundRequest.model_validate_json(body)
        return base64.b64decode(asked.image, validate=True), asked.phrases
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise RequestError(f"{expected}, got for {where[:60]}: {first['msg']}; see /docs") from None
    except (binascii.Error, ValueError) as error:  # ValueError: not even ASCII
        raise RequestError(
            f"{expected}, got an image that is not base64: {error}; leave out a 'data:' prefix"
        ) from None


def _check(phrases: list[str], limits: Limits) -> None:
    """Refuse before the queue what needs no model to be refused. Raises PhraseError."""
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


def _too_large(limits: Limits) -> TooLargeError:
    return TooLargeError(
        f"expected a body of at most {limits.body_bytes} bytes, got more; scale the picture down "
        "or compress it"
    )
