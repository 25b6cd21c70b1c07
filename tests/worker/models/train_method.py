"""In train mode the method `train` is called, not `run`."""

from cog import BaseModel, BaseRunner


class Output(BaseModel):
    loss: float


class Trainer(BaseRunner):
    def run(self) -> str:
        return "ran"

    def train(self, epochs: int = 2) -> Output:
        return Output(loss=1 / epochs)
