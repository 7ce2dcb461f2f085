"""What the system tests share: servers, installations of Sluice on them, workers, events, answers, registries."""
