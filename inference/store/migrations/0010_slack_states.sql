-- States of Slack installations are signed now, and no longer kept.
DROP TABLE slack_states;
