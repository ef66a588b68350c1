DROP TABLE reached;
DROP TABLE meta_numbers;
