"""Models of pydantic are objects, with what they hold."""

import datetime

import pydantic


class Inner(pydantic.BaseModel):
    when: datetime.date


class Output(pydantic.BaseModel):
    inner: Inner
    label: str


class Predictor:
    def predict(self) -> Output:
        return Output(label="cat", inner=Inner(when="2024-02-03"))
