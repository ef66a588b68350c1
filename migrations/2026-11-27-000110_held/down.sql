DROP INDEX outgoing_held_for_quality;
