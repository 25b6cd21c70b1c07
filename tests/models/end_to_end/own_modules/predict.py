"""Has modules of its own whose names are ours."""

import httpx
import protocol
import supervisor
import tests
import worker


class Predictor:
    def predict(self) -> list[str]:
        import protocol as imported_late

        return [one.MARK for one in (worker, protocol, supervisor, tests, httpx, imported_late)]
