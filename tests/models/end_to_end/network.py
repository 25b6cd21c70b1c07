"""A small network of PyTorch: a residual block that is gone through as often as one wants."""

import torch


class Predictor:
    def setup(self):
        torch.manual_seed(0)
        self.block = torch.nn.Sequential(
            torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 64), torch.nn.Tanh()
        ).eval()

    @torch.no_grad()
    def predict(self, values: list[float], blocks: int = 4) -> list[float]:
        print(f"forward through {blocks} blocks", flush=True)
        state = torch.tensor(values).repeat(16, 64 // len(values))
        for _ in range(blocks):
            state = state + self.block(state)
        return state.mean(dim=0)
