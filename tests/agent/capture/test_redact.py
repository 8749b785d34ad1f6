from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.redact import redact


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://cam.lan:554/stream1", "rtsp://cam.lan:554/stream1"),
        ("rtsp://admin:pw@cam/1", "rtsp://***@cam/1"),
        ("rtsp://admin:p@ss/w0rd@cam/1", "rtsp://***@cam/1"),
        ("http://cam/video?user=admin&pwd=x", "http://cam/video?***"),
        ("rtsp://cam/user=admin_password=x_channel=1.sdp", "rtsp://cam/***"),
        ("/home/pi/a@b?password=x.mp4", "/home/pi/a@b?password=x.mp4"),
        ("0", "0"),
    ],
)
def test_secrets_of_a_url_are_hidden_and_the_host_is_shown(source: str, shown: str) -> None:
    assert redact(source) == shown


@given(
    user=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=10),
    password=st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)
def test_no_password_survives_whatever_it_holds(user: str, password: str) -> None:
    secret = f"§{password}§"
    assert secret not in redact(f"rtsp://{user}:{secret}@cam/stream")
    assert secret not in redact(f"http://cam/stream?key={secret}")
