"""The independent checker: says from Kafka and Postgres alone whether a run kept Sluice's promises.

Shares no code with the workers, on purpose. `world` is what was seen, `load` fetches it, `check` judges it; the others are
the parts of the judgement. Nothing here changes what it looks at."""
