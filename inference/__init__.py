"""The generation service: jobs, store, engines, workers and media. It knows nothing of chat."""
