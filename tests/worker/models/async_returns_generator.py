"""An async function that answers a generator, of either kind."""


def plainly():
    yield "a"
    yield "b"


async def asynchronously():
    yield "a"
    yield "b"


class Predictor:
    async def predict(self, kind: str):
        return plainly() if kind == "sync" else asynchronously()
