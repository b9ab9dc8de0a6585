"""Ground phrases from a web page, in the webcam or in pictures.

python apps/web_demo.py --open
"""

import argparse
import mimetypes
import sys
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":  # started as a file: the repository is not on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sdk.application import add_model_options, report_errors
from sdk.server import serve

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

FOLDER = Path(__file__).parent / "web"
PAGES = {"/": "index.html", "/app.js": "app.js", "/style.css": "style.css"}
HEADERS = {
    # Nothing but this server's own files and the camera's and the user's pictures.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Serve a page that finds what phrases describe, in the webcam or in pictures."
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    serve.add_arguments(parser)
    add_model_options(parser)
    parser.set_defaults(teach=True)
    args = parser.parse_args(argv)
    return report_errors(lambda: run(args))


def run(args: argparse.Namespace) -> None:
    app = serve.make_app(args)
    add_pages(app)
    serve.serve(app, args, _open_browser if args.open else None)


def add_pages(app: "FastAPI") -> None:
    """Serve the files of `FOLDER` beside the interface."""
    for path, name in PAGES.items():
        app.add_api_route(path, _sender(FOLDER / name), include_in_schema=False)


def _sender(file: Path) -> "Callable[[], Awaitable[Response]]":
    from fastapi.responses import Response  # an optional package: see `serve.make_app`

    # Whole, not FileResponse: that answers a bad Range header in another form than all errors have.
    content, (media_type, _) = file.read_bytes(), mimetypes.guess_type(file.name)

    async def send() -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)

    return send


def _open_browser(address: str) -> None:
    # In a thread: a browser of the terminal returns only when it is closed.
    threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
