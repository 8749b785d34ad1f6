"""An IP camera for `on_device.sh`: a moving square as Motion JPEG over HTTP, at 10 pictures a second.

python mjpeg_server.py PORT
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

RATE = 10.0


class Camera(BaseHTTPRequestHandler):
    """Streams to whoever asks, until they leave."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
        self.end_headers()
        noise = np.random.default_rng(0)
        number = 0
        try:
            while True:
                image = noise.integers(60, 70, (240, 320, 3), dtype=np.uint8)
                x = 20 + 5 * number % 240
                image[100:160, x : x + 40] = 220
                data = cv2.imencode(".jpg", image)[1].tobytes()
                head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                number += 1
                time.sleep(1 / RATE)
        except (BrokenPipeError, ConnectionResetError):
            return

    def log_message(self, *arguments: object) -> None:
        """Requests are no news."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Camera).serve_forever()
