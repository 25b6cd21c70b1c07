"""What is logged is in the logs."""

import logging

logging.basicConfig(level="INFO", format="%(levelname)s %(message)s")


class Predictor:
    def predict(self) -> str:
        logging.info("loading")
        logging.warning("careful")
        return "done"
