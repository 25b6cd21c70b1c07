"""The SDK's `BaseModel` is an object."""

from typing import Optional

from cog import BaseModel, BaseRunner


class Output(BaseModel):
    label: str
    note: Optional[str] = None
    score: float = 0.5


class Predictor(BaseRunner):
    def run(self) -> Output:
        return Output(label="cat")
