from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import ValidationError

from agent.alerts.schema import (
    AlertPayload,
    ModelPart,
    SnapshotPart,
    build_payload,
    json_schema,
    new_id,
)
from agent.records import Alert, Phase
from tests.agent.alerts.conftest import make_alert

VALIDATOR = Draft202012Validator(json_schema(), format_checker=FormatChecker())


def payload_of(alert: Alert, sequence: int = 1, **parts: object) -> dict[str, object]:
    built = build_payload(
        alert,
        id=new_id(),
        sequence=sequence,
        device="porch",
        camera="front",
        clock_synchronised=True,
        **parts,  # type: ignore[arg-type]
    )
    decoded: dict[str, object] = json.loads(built.to_json())
    return decoded


def test_schema_is_itself_valid_and_names_its_draft() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("phase", list(Phase))
def test_payload_of_every_phase_fits_the_published_schema(phase: Phase) -> None:
    payload = payload_of(
        make_alert(phase=phase),
        model=ModelPart(name="person-320", version="2"),
        snapshot=SnapshotPart(
            topic="edgetrack/porch/front/snapshot/gate", sha256="0" * 64, width=640, height=480
        ),
    )
    VALIDATOR.validate(payload)
    assert payload["phase"] == phase.value
    assert set(payload) <= set(json_schema()["properties"])


def test_payload_without_a_track_leaves_it_out_and_fits() -> None:
    payload = payload_of(make_alert(track=None, zone=None, tripwire="gate"))
    VALIDATOR.validate(payload)
    assert "track" not in payload
    assert "zone" not in payload


def test_alert_of_the_device_itself_has_no_frame_and_fits() -> None:
    payload = payload_of(make_alert(kind="gap", track=None, zone=None, frame_size=(0, 0)))
    VALIDATOR.validate(payload)
    assert "frame" not in payload


def test_schema_refuses_what_the_contract_forbids() -> None:
    good = payload_of(make_alert())
    for broken in (
        {**good, "schema": 2},
        {**good, "id": "not-a-ulid"},
        {**good, "sequence": 0},
        {**good, "phase": "maybe"},
        {key: value for key, value in good.items() if key != "incident"},
    ):
        assert not VALIDATOR.is_valid(broken)


def test_box_is_told_in_px_and_as_fractions_cut_at_the_picture() -> None:
    alert = make_alert()
    assert alert.track is not None
    outside = make_alert(
        track=type(alert.track)(1, "car", 0.5, (-10.0, 20.0, 700.0, 500.0), 0.0, 1.0, (0.0, 0.0))
    )
    track = payload_of(outside)["track"]
    assert isinstance(track, dict)
    assert track["box_px"] == [-10.0, 20.0, 700.0, 500.0]
    assert track["box"] == [0.0, round(20 / 480, 4), 1.0, 1.0]


def test_times_are_utc_and_durations_monotonic() -> None:
    payload = payload_of(make_alert(time_s=100.0, started_s=58.5, wall_s=1_790_000_000.25))
    moment = datetime.fromisoformat(str(payload["time"]))
    assert moment.utcoffset() is not None
    assert moment.timestamp() == 1_790_000_000.25
    assert str(payload["time"]).endswith("Z")
    assert payload["duration_s"] == 41.5


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats()
    | st.text()
    | st.sampled_from([np.float32("nan"), np.int64(3), np.array([1.5, np.inf])]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(evidence=st.dictionaries(st.text(), JSONISH, max_size=5), score=st.floats(), edge=st.floats(width=32))
def test_any_evidence_and_any_numbers_become_strict_json_that_fits(
    evidence: dict[str, object], score: float, edge: float
) -> None:
    track = make_alert().track
    assert track is not None
    odd = type(track)(7, "person", score, (edge, 0.0, 50.0, edge), 0.0, 1.0, (edge, 0.0), ((edge, edge),))
    built = build_payload(
        make_alert(evidence=evidence, track=odd),
        id=new_id(),
        sequence=1,
        device="porch",
        camera="front",
        clock_synchronised=False,
    )

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    decoded = json.loads(built.to_json(), parse_constant=refuse)
    VALIDATOR.validate(decoded)
    assert AlertPayload.model_validate_json(built.to_json()).sequence == 1


def test_receivers_ignore_fields_that_a_later_v1_adds() -> None:
    payload = {**payload_of(make_alert()), "colour": "red"}
    assert AlertPayload.model_validate(payload).rule == "gate"
    assert VALIDATOR.is_valid(payload)


def test_alert_with_an_incident_that_is_no_ulid_is_refused() -> None:
    with pytest.raises(ValidationError, match="incident"):
        payload_of(make_alert(incident="1"))


def test_ids_are_ulids_and_never_repeat() -> None:
    ids = [new_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(
        Draft202012Validator({"pattern": r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}).is_valid(id_) for id_ in ids
    )
