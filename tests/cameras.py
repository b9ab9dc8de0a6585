"""A network camera on a loopback port."""

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np
from numpy.typing import NDArray


def numbered(number: int) -> NDArray[np.uint8]:
    """A frame whose grey is its number."""
    return np.full((48, 64, 3), number, np.uint8)


def numbered_jpeg(number: int) -> bytes:
    """The n-th frame has the grey 10 n, modulo 250."""
    return cv2.imencode(".jpg", numbered(10 * number % 250))[1].tobytes()


class CameraServer(http.server.ThreadingHTTPServer):
    """Motion JPEG to whoever connects."""

    daemon_threads = True

    def __init__(
        self,
        frames: int,
        after: Callable[[], object],
        jpeg: Callable[[int], bytes],
        fps: float | None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Camera)
        self.frames, self.after, self.jpeg, self.fps = frames, after, jpeg, fps
        self.connections = 0


class _Camera(http.server.BaseHTTPRequestHandler):
    server: CameraServer

    def do_GET(self) -> None:
        camera = self.server
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        began = time.perf_counter()
        for number in range(camera.frames):
            if camera.fps:
                time.sleep(max(0.0, began + number / camera.fps - time.perf_counter()))
            jpeg = camera.jpeg(number)
            header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(header.encode() + jpeg + b"\r\n")
        self.wfile.write(b"--frame\r\n")
        camera.after()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        self.server.connections += 1
        with suppress(OSError):  # the reader has gone
            super().handle()


@contextmanager
def network_camera(
    frames: int,
    after: Callable[[], object] = lambda: None,
    jpeg: Callable[[int], bytes] = numbered_jpeg,
    fps: float | None = None,
) -> Iterator[CameraServer]:
    """A camera that sends so many frames to each connection, and ends it.

    Args:
        after: what it does before the connection ends.
        jpeg: the frame of a number, which each connection counts from 0.
        fps: as fast as it is read where left out.
    """
    with CameraServer(frames, after, jpeg, fps) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def address(server: CameraServer) -> str:
    """To be opened as a source."""
    return f"http://127.0.0.1:{server.server_port}/a.mjpg"
