"""The durable job queue: model, fair order, dispatch, delivery hand-over."""
