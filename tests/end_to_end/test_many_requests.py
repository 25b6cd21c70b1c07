"""One client, one slot, one request after another: none is refused."""

from __future__ import annotations

from tests.end_to_end.server import serving, within


async def test_a_thousand_sequential_predictions_are_a_thousand_times_200() -> None:
    async with serving("echo.py:Predictor") as server:
        with within(60):
            for number in range(1000):
                text = f"number {number}"
                body = {"id": f"p{number}", "input": {"text": text}}
                response = await server.http.post("/predictions", json=body)
                assert response.status_code == 200, (number, response.text)
                answer = response.json()
                assert (answer["id"], answer["output"]) == (f"p{number}", text)
        with within(30):
            assert await server.stop() == 0
