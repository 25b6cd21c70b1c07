import time

from cog import BaseModel, Input


class TrainingOutput(BaseModel):
    weights: str


def train(steps: int = Input(ge=1, le=5), end: str = Input(default="", choices=["", "fail", "wait"])) -> TrainingOutput:
    print("training")
    if end == "fail":
        raise ValueError("boom")
    if end == "wait":
        print("started", flush=True)
        while True:
            time.sleep(0.01)
    return TrainingOutput(weights=f"after {steps}")
