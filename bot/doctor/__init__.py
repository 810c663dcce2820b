"""Doctor: examines the machine, the data and every service that Rushes uses; changes nothing."""
