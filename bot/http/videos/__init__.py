"""The videos resource: routes, bodies, files and events of `/v1/videos`."""
