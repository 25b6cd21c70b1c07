"""Many lines, none of them lost."""


class Predictor:
    def predict(self, count: int) -> int:
        for number in range(count):
            print(number)
        return count
