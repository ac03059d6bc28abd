"""What is raised when one field of a message cannot be used."""

from __future__ import annotations

from da3_ros.errors import MessageError


class FieldError(MessageError):
    """Raised when one field of a message is wrong; names the source and the field.

    Args:
        source: who sent it, for example `camera front, topic /front/image_raw`.
        field: name of the message's field.
        problem: what was expected, what came, what to do.
    """

    def __init__(self, source: str, field: str, problem: str) -> None:
        super().__init__(f'{source}, field {field}: {problem}')
        self.source = source
        self.field = field
        self.problem = problem
