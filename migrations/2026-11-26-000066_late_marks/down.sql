DROP TABLE late_marks;
