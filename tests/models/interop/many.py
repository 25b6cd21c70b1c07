from typing import Iterator


class Chunks:
    def predict(self, count: int) -> Iterator[str]:
        for number in range(count):
            yield f"token {number}"


class Lines:
    def predict(self, count: int) -> str:
        for number in range(count):
            print("line", number)
        return "done"
