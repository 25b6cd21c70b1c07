"""Models of pydantic are objects, with what they hold."""

import datetime

import pydantic


class Inner(pydantic.BaseModel):
    when: datetime.date


class Output(pydantic.BaseModel):
    zebra: int
    inner: Inner


class Predictor:
    def predict(self) -> Output:
        return Output(zebra=1, inner=Inner(when="2024-02-03"))
