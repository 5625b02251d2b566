"""torch: the default generator; an own Generator() starts from a fixed seed by torch's design."""

import torch

own = torch.Generator()


def sources():
    return {
        "torch.rand": lambda: torch.randint(0, 256, (16,)).tolist(),
        "kept: torch.Generator()": lambda: torch.randint(0, 256, (16,), generator=own).tolist(),
    }
