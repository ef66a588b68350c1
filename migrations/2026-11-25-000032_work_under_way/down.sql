DROP TABLE bulk_items;
DROP TABLE bulk_runs;
DROP TABLE kept_forms;
DROP TABLE presses;
