"""A secret shows itself only when asked, in lists too."""

from cog import BaseRunner, Secret


class Predictor(BaseRunner):
    def run(self, token: Secret, more: list[Secret] = []) -> list[str]:
        print(token, more)
        return [token.get_secret_value(), *[each.get_secret_value() for each in more]]
