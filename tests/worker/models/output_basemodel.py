"""The SDK's `BaseModel` is an object."""

from typing import Optional

from cog import BaseModel, BaseRunner


class Output(BaseModel):
    text: str
    score: float = 0.5
    note: Optional[str] = None


class Predictor(BaseRunner):
    def run(self) -> Output:
        return Output(text="cat")
