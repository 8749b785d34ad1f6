"""The base of every section of the configuration.

Each stage keeps its own section in its `settings.py` (pydantic only, no heavy import) and is handed
no more than that; `agent.config` joins them to the one file a user writes.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Unknown keys are refused, values are not changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
"""A number in 0..1."""

Point = tuple[Fraction, Fraction]
"""(x, y) as fractions of the picture's width and height, origin top left."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""A name that may stand in an MQTT topic and in a Home Assistant id."""

Seconds = Annotated[float, Field(ge=0.0)]
